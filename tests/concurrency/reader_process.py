"""``python -m tests.concurrency.reader_process KIND BASE_DIR FIRST_RUN_MS LAST_RUN_MS [PARTS]``: reads until the end.

KIND: ``market``, ``file`` (CandleFileReader), ``duckdb`` (plain SQL on the files), ``ready`` and ``complete`` (the two
ways to wait). It prints a line when it begins, and at the end one with the number of reads, of failed ones, and what
was wrong. PARTS: JSON, see ``Witness``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from kit.errors import BmacError, NotReadyError
from kit.market import Market
from kit.words import from_ms, to_ms
from tests.concurrency.witness import Witness

if TYPE_CHECKING:
    from kit.candle_reader import CandleFileReader

ERRORS = (BmacError, OSError, pl.exceptions.PolarsError)
LATER_THAN_WRITERS = 10
"""How nice readers are: they take all the time that there is, and the writers must not wait for it."""
PATIENCE_S = 150.0
READ_SYMBOLS = 3
SQL = """
    SELECT DISTINCT symbol::VARCHAR AS symbol, candle_begin_time, close, trade_num
    FROM read_parquet('{}/[brs]*_*.parquet') ORDER BY symbol, candle_begin_time
"""


def read_market(base_dir: Path, last_ms: int, witness: Witness) -> None:
    """The whole window, again and again, until the last period is all there."""
    market = Market(base_dir)
    columns = ["close", "trade_num"]
    while True:
        frame = witness.attempt(lambda: market.candles(columns=columns), ERRORS)
        if frame is not None and len(market.ready(from_ms(last_ms))) >= frame["symbol"].n_unique() > 0:
            return


def read_files(base_dir: Path, last_ms: int, witness: Witness) -> None:
    """Some symbols by BMAC's reader; a witness for each."""
    from kit.candle_reader import CandleFileReader  # noqa: PLC0415 - pandas, which the other kinds do without

    reader = CandleFileReader(next(base_dir.glob("usdt_*_1[sm]")))
    symbols = _some(reader)
    witnesses = {symbol: Witness() for symbol in symbols}
    pending = set(symbols)
    while pending:
        for symbol, its in witnesses.items():
            its.attempt(partial(_as_polars, reader, symbol), ERRORS)
            if reader.check_ready(symbol, from_ms(last_ms)):
                pending.discard(symbol)
    for its in witnesses.values():
        witness.reads += its.reads
        witness.failed += its.failed
        witness.problems += its.problems


def _some(reader: CandleFileReader) -> list[str]:
    while len(symbols := reader.get_all_symbols()) < READ_SYMBOLS:
        pass
    return symbols[:: len(symbols) // READ_SYMBOLS]


def _as_polars(reader: CandleFileReader, symbol: str) -> pl.DataFrame:
    frame = reader.read_candle(symbol)
    begins = pl.Series(frame["candle_begin_time"].dt.tz_localize(None).to_numpy()).dt.replace_time_zone("UTC")
    values = {name: pl.Series(frame[name].to_numpy()) for name in ("close", "trade_num")}
    return pl.DataFrame({"symbol": pl.repeat(symbol, len(frame), eager=True), "candle_begin_time": begins, **values})


def read_by_sql(base_dir: Path, last_ms: int, witness: Witness) -> None:
    """All files by their names; a candle that lies in several of them must be the same in each."""
    import duckdb  # noqa: PLC0415 - as above

    begin = (last_ms - 1000) / 1000
    folder = next(base_dir.glob("usdt_*_1[sm]"))
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        while True:
            frame = witness.attempt(lambda: connection.sql(SQL.format(folder)).pl(), (*ERRORS, duckdb.Error))
            if frame is not None and frame["candle_begin_time"].max().timestamp() > begin:  # type: ignore[union-attr]  # times
                return


async def wait_ready(base_dir: Path, first_ms: int, last_ms: int, witness: Witness) -> None:
    """Be woken for each period when all symbols are readable: they are."""
    market = Market(base_dir)
    before = from_ms(first_ms - market.config.interval.ms)
    while not (symbols := market.ready(before)):  # noqa: ASYNC110 - whom to wait for is not known yet
        await asyncio.sleep(0.1)
    for run_ms in range(first_ms, last_ms + 1, market.config.interval.ms):
        witness.reads += 1
        try:
            await market.wait_ready(symbols, from_ms(run_ms), PATIENCE_S)
        except NotReadyError as error:
            witness.failed += 1
            witness.problems.append(str(error))
        newest = market.candles(columns=[], last=1)
        if to_ms(newest["candle_begin_time"].max()) + market.config.interval.ms < run_ms:  # type: ignore[arg-type]  # times
            witness.problems.append(f"woken for {run_ms}, and it is not readable")


async def wait_complete(base_dir: Path, first_ms: int, last_ms: int, witness: Witness) -> None:
    """Be woken for each period when the ledger says complete: so it is."""
    market = Market(base_dir)
    for run_ms in range(first_ms, last_ms + 1, market.config.interval.ms):
        witness.reads += 1
        try:
            record = await market.wait_complete(from_ms(run_ms), PATIENCE_S)
        except NotReadyError as error:
            witness.failed += 1
            witness.problems.append(str(error))
            continue
        readable = len(market.ready(from_ms(run_ms)))
        if readable != record.expected - len(record.excused):
            witness.problems.append(f"complete with {record.expected}, readable {readable}: {record.run_time}")


def main(kind: str, base_dir: Path, first_ms: int, last_ms: int, parts: str = "{}") -> None:
    """The command."""
    os.nice(LATER_THAN_WRITERS)
    witness = Witness(json.loads(parts))
    print(json.dumps({"begins": kind}), flush=True)  # noqa: T201 - said so above
    if kind == "market":
        read_market(base_dir, last_ms, witness)
    elif kind == "file":
        read_files(base_dir, last_ms, witness)
    elif kind == "duckdb":
        read_by_sql(base_dir, last_ms, witness)
    elif kind == "ready":
        asyncio.run(wait_ready(base_dir, first_ms, last_ms, witness))
    else:
        asyncio.run(wait_complete(base_dir, first_ms, last_ms, witness))
    told = {"kind": kind, "reads": witness.reads, "failed": witness.failed, "problems": witness.problems[:5]}
    print(json.dumps(told), flush=True)  # noqa: T201 - same


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
