"""Everything that decodes bytes from outside, each under a name, with sound examples to begin from.

A decoder gives a value or raises a ``BmacError``; whatever else comes out of ``Decoder.feed`` is a finding. What it
gave is also *used* the way the program uses it next (shown, stored, compared), since a value that breaks later is none.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import structlog
from multidict import CIMultiDict

from kit.budget.store import Store
from kit.buffer.assets import load_assets
from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.files import candle_table, encode
from kit.buffer.fills import Revision, read_revisions
from kit.buffer.funding import FundingStore
from kit.buffer.layout import Folder, parse_name, time_word
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.buffer.read import read_candles
from kit.buffer.states import load_states, save_states
from kit.calculators.store import FactorStore
from kit.candle_reader import CandleFileReader
from kit.config import load_config
from kit.dialect.answers import Answer, judge
from kit.dialect.funding import decode_funding_info, decode_funding_rates, decode_premium_index
from kit.dialect.klines import ClosedKline, Control, decode_frame, decode_rows, stream_of_frame
from kit.dialect.rest import _server_time
from kit.dialect.symbols import SymbolInfo, decode_exchange_info, select
from kit.errors import BmacError, StopError
from kit.notify.dingtalk import verdict
from kit.resample.changes import load_state
from kit.status import market_status, status_table
from kit.words import Candle, Interval, Source, TradeType, Venue, from_ms
from tests.dialect.recorded import REAL

BEGIN_MS = 1_787_949_600_000
CONFIG = {"interval": "1m", "trade_type": "usdt_perp", "keep_symbols": ["BTCUSDT"], "factors": [["PctChg", 5]]}
CANDLE = Candle("BTCUSDT", BEGIN_MS, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0, 3, 5.0, 7.5)


@dataclass(frozen=True)
class Decoder:
    """``feed`` decodes and uses bytes; ``examples`` are sound ones."""

    name: str
    feed: Callable[[bytes], object]
    examples: tuple[bytes, ...]


def refusal_of(decoder: Decoder, data: bytes) -> BmacError | None:
    """The typed refusal, or None where the bytes were taken. Anything else that is raised goes through."""
    try:
        decoder.feed(data)
    except BmacError as error:
        assert str(error).isprintable()  # noqa: PT017 - whatever it says
        return error
    return None


def _frame(data: bytes) -> None:
    stream_of_frame(data)
    told = decode_frame(data)
    if isinstance(told, ClosedKline):
        encode(candle_table([(told.candle, told.event_ms)], Source.STREAM), "parquet")
    elif isinstance(told, Control):
        for text in (told.message, told.event):
            assert text.isprintable()
            assert len(text) < 1000
        json.dumps([*told.streams, told.event, told.message, told.id, told.code], ensure_ascii=False).encode()


def _rows(data: bytes) -> None:
    candles = decode_rows(Venue.UM, "BTCUSDT", data)
    encode(candle_table([(candle, candle.begin_ms) for candle in candles], Source.REST), "parquet")


def _exchange_info(venue: Venue) -> Callable[[bytes], None]:
    def feed(data: bytes) -> None:
        info = decode_exchange_info(venue, data)
        assert info.weight_limit is None or 0 < info.weight_limit < 2**31
        kinds = list(TradeType)
        for trade_type in kinds:
            select(trade_type, info.symbols)
        with _folder() as folder:
            store = ExchangeInfoStore(folder)
            folder.exchange_info.mkdir(parents=True)
            store.save([symbol.to_dict() for symbol in info.symbols], from_ms(BEGIN_MS))
            for row in store.latest() or []:
                SymbolInfo.from_dict({name: value for name, value in row.items() if value is not None})
        for symbol in info.symbols:
            assert symbol.symbol.isprintable()
            for moment in (symbol.onboard_ms, symbol.delivery_ms):
                if moment is not None:
                    from_ms(moment)

    return feed


def _funding(data: bytes) -> None:
    for rate in decode_funding_rates(Venue.UM, data):
        from_ms(rate.funding_ms)
        from_ms(rate.settled_ms)


def _premium(data: bytes) -> None:
    for index in decode_premium_index(Venue.UM, data):
        from_ms(index.time_ms)
        from_ms(index.next_funding_ms or 0)


def _funding_info(data: bytes) -> None:
    for info in decode_funding_info(Venue.UM, data):
        assert 0 < info.interval_hours <= 24 * 366


def _time(data: bytes) -> None:
    from_ms(_server_time(Answer("", 200, {}, data)))


def _answer(data: bytes) -> None:
    """Status, headers and body, as ``403\\nHeader: value\\n\\nbody``."""
    head, _, body = data.partition(b"\n\n")
    status, *lines = head.decode("latin-1").split("\n")
    headers = CIMultiDict((name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    code = int(status) if status.isascii() and status.isdigit() and len(status) < 4 else 200
    answer = Answer("http://127.0.0.1/x", code, headers, body)
    now_ms = answer.date_ms or BEGIN_MS
    assert answer.used_weight is None or answer.used_weight >= 0
    problem = judge(answer, now_ms)
    if isinstance(problem, StopError):
        from_ms(problem.until_ms)
    if problem is not None:
        assert len(str(problem)) < 2000
        raise problem


class _folder:  # noqa: N801 - used as a function
    """A market's folder that lives as long as the block."""

    def __enter__(self) -> Folder:
        self._temporary = tempfile.TemporaryDirectory(dir=_scratch())
        return Folder(Path(self._temporary.name), TradeType.USDT_PERP, Interval.M1)

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()


@cache
def _scratch() -> str | None:
    """Memory where the machine has such a place: thousands of small files are written and thrown away."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - private folders inside it


def _in_folder(use: Callable[[Folder], object], place: Callable[[Folder], Path]) -> Callable[[bytes], None]:
    def feed(data: bytes) -> None:
        with _folder() as folder:
            (folder.base_dir / "config.json").write_text(json.dumps(CONFIG))
            path = place(folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            use(folder)

    return feed


def _use_ledger(folder: Folder) -> None:
    ledger = Ledger(folder)
    for record in ledger.between(BEGIN_MS - 3_600_000, BEGIN_MS + 3_600_000).values():
        json.dumps(record.as_dict(), ensure_ascii=False).encode()
    ledger.put([RECORD])
    assert ledger.get(RECORD.run_time) == RECORD


def _use_states(folder: Folder) -> None:
    states = load_states(folder)
    save_states(folder, states)
    for state in states.symbols.values():
        for hole in (*state.gaps, *state.unanswered):
            from_ms(hole.first_ms)
            from_ms(hole.last_ms)
        for moment in (state.first_ms, state.listed_ms, state.stopped_ms, state.since_ms):
            from_ms(moment or 0)


def _use_assets(folder: Folder) -> None:
    for moments in load_assets(folder).values():
        for moment in moments:
            from_ms(moment)


def _use_status(folder: Folder) -> None:
    status = market_status(folder.base_dir)
    json.dumps(status, ensure_ascii=False).encode()
    from rich.console import Console  # noqa: PLC0415 - drawn as the command draws it

    with open("/dev/null", "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device
        Console(file=nowhere, width=80).print(status_table(status))


def _use_reader(folder: Folder) -> None:
    folder.candles.mkdir(exist_ok=True)
    CandleFileReader(folder.candles).read_candle("BTCUSDT")


def _use_budget(folder: Folder) -> None:
    store = Store(folder.base_dir / "pool.budget")
    try:
        store.read()
        store.update(lambda state: (state, None))
    finally:
        store.close()


def _name(data: bytes) -> None:
    file = parse_name(data.decode("utf-8", "surrogateescape"))
    if file is not None:
        assert file.first_ms <= file.last_ms
        for moment in (file.first_ms, file.last_ms):
            time_word(moment)
        assert file.seq < 10**20


RECORD = LedgerRecord(
    run_time=datetime.fromtimestamp(BEGIN_MS / 1000 + 60, UTC),
    expected=2,
    by_stream=1,
    by_rest=0,
    missing=["币安人生USDT"],
    excused={},
    complete=False,
)


def _lines(*structs: object) -> bytes:
    import msgspec  # noqa: PLC0415 - for the examples alone

    return b"\n".join(map(msgspec.json.encode, structs)) + b"\n"


def _revision() -> bytes:
    return _lines(
        Revision(
            symbol="BTCUSDT",
            candle_begin_time=from_ms(BEGIN_MS),
            old=CANDLE,
            old_source="stream",
            new=CANDLE._replace(close=1.25),
            reason="audit",
            at=from_ms(BEGIN_MS + 90_000),
        )
    )


def _real(*names: str, most: int = 3000) -> tuple[bytes, ...]:
    """Recorded payloads that are small enough to be changed in places that matter; none where they are not here."""
    found = [path.read_bytes() for name in names for path in sorted(REAL.glob(name))]
    pieces = [line for data in found for line in _pieces(data)]
    return tuple(piece for piece in pieces if len(piece) <= most)[:12]


def _pieces(data: bytes) -> list[bytes]:
    """A recorded file is one payload, or a line of JSON a frame, with what the recorder added around it."""
    lines = data.splitlines()
    if len(lines) < 2 or not all(line.startswith(b"{") for line in lines[:2]):
        return [data]
    wrapped = [json.loads(line) for line in lines]
    return [each["raw"].encode() if "raw" in each else line for each, line in zip(wrapped, lines, strict=True)]


FRAME = (
    b'{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1787949660485,"s":"BTCUSDT","k":{"t":1787949600000,'
    b'"T":1787949659999,"s":"BTCUSDT","i":"1m","f":1,"L":2,"o":"1.0","c":"1.5","h":"2.0","l":"0.5","v":"10","n":3,'
    b'"x":true,"q":"15","V":"5","Q":"7.5","B":"0"}}}'
)
FRAMES = (
    FRAME,
    b'{"result":null,"id":1}',
    b'{"result":["btcusdt@kline_1m"],"id":3}',
    b'{"code":2,"msg":"Invalid request: no such stream"}',
    b'{"error":{"code":-1,"msg":"no"},"id":1}',
    b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
    '{"stream":"龙虾usdt@kline_1m","data":{"e":"depthUpdate","E":1,"s":"龙虾USDT"}}'.encode(),
)
ROWS = (
    b'[[1787949600000,"1.0","2.0","0.5","1.5","10",1787949659999,"15",3,"5","7.5","0"],'
    b'[1787949660000,"1.0","2.0","0.5","1.5","10",1787949719999,"15",3,"5","7.5","0"]]'
)
ENTRY = {
    "symbol": "币安人生USDT",
    "pair": "币安人生USDT",
    "contractType": "PERPETUAL",
    "deliveryDate": 4133404800000,
    "onboardDate": 1569398400000,
    "status": "TRADING",
    "baseAsset": "币安人生",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "underlyingType": "COIN",
    "underlyingSubType": ["PoW"],
    "filters": [{"filterType": "PRICE_FILTER", "tickSize": "0.10"}, {"filterType": "LOT_SIZE", "stepSize": "0.001"}],
}
LIMITS = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}]
SPOT_ENTRY = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"}
SPOT_ENTRY |= {"isSpotTradingAllowed": True}  # type: ignore[dict-item]  # one flag among texts
CM_ENTRY = {**{name: value for name, value in ENTRY.items() if name != "status"}, "contractStatus": "TRADING"}


def _infos(entry: dict[str, object], recorded: str) -> tuple[bytes, ...]:
    made = json.dumps({"rateLimits": LIMITS, "symbols": [entry]}, ensure_ascii=False).encode()
    return made, *_real(recorded, most=6000)


ANSWERS = (
    b'418\nRetry-After: 120\nDate: Sun, 22 Nov 2026 18:00:00 GMT\n\n{"code":-1003,"msg":"banned until 1795370460000"}',
    b'429\nX-MBX-USED-WEIGHT-1M: 2400\n\n{"code":-1003,"msg":"Too much request weight used"}',
    b'400\n\n{"code":-1122,"msg":"Invalid symbol status."}',
    b'503\n\n{"239999": "The system is under maintenance, please try again later."}',
    b"403\n\n<html>no</html>",
    b'200\nDate: Sun, 22 Nov 2026 18:00:00 +0100\nx-mbx-used-weight-1m: 7\n\n{"serverTime":1787949600000}',
    b"202\nx-amzn-waf-action: challenge\n\n",
)
HEARTBEAT = {
    "pid": 1,
    "written_at": "2026-11-22T18:00:00+00:00",
    "running": True,
    "rss_bytes": 1000,
    "wanted_streams": 3,
    "delivering_streams": 3,
}
STATES = {
    "symbols": {"BTCUSDT": {"status": "TRADING", "first_ms": BEGIN_MS, "gaps": [[BEGIN_MS, BEGIN_MS, "", 0]]}},
    "reread_until_ms": BEGIN_MS,
}
RESAMPLED = {
    "base": "1m",
    "target": "1h",
    "step_ms": 60_000,
    "num_candles": 10,
    "assets": None,
    "run_ms": BEGIN_MS,
    "taken_ms": BEGIN_MS,
    "seen": {"rest_x_1.parquet": [1, 2]},
}
NAMES = (
    b"stream_20261122T070500Z_1795370460000000000.parquet",
    b"block_20261122T064000Z_20261122T071500Z_000000000042.feather",
    b"rest_20261122T060000Z_20261122T070500Z_000000000001.parquet",
)


def _candle_file(save_type: str) -> bytes:
    return encode(candle_table([(CANDLE, BEGIN_MS)], Source.STREAM), save_type).to_pybytes()


def _candles(kind: str, save_type: str) -> Decoder:
    """A corrupted file of the buffer: read, or refused by a sentence that names it."""
    word = time_word(BEGIN_MS + 60_000)
    name = f"stream_{word}_5.{save_type}" if kind == "slice" else f"block_{word}_{word}_{5:012d}.{save_type}"

    def use(folder: Folder) -> None:
        try:
            read_candles(folder, text=True)
        except BmacError as error:
            assert name in str(error), error  # noqa: PT017 - it goes on
            raise

    feed = _in_folder(use, lambda folder: folder.candles / name)
    return Decoder(f"{kind}-{save_type}", feed, (_candle_file(save_type),))


def _stored(put: Callable[[Folder], Path]) -> tuple[bytes, ...]:
    """The bytes of a file that the program itself writes."""
    with _folder() as folder:
        folder.open_for_writing()
        return (put(folder).read_bytes(),)


def _put_info(folder: Folder) -> Path:
    store = ExchangeInfoStore(folder)
    store.save([{"symbol": "BTCUSDT", "status": "TRADING", "onboard_ms": 1}], from_ms(BEGIN_MS))
    return store.versions()[-1]


def _put_factors(folder: Folder) -> Path:
    import polars as pl  # noqa: PLC0415 - for the example alone

    from kit.calculators.result import FactorResult  # noqa: PLC0415 - same

    frame = pl.DataFrame({"symbol": ["BTCUSDT"], "close": [1.0], "PctChg_5": [0.5]})
    return FactorStore(folder).put(FactorResult(from_ms(BEGIN_MS), frame, (), ()))


def _put_funding(folder: Folder) -> Path:
    from kit.buffer.funding import FundingRate  # noqa: PLC0415 - for the example alone

    FundingStore(folder).add([FundingRate("BTCUSDT", from_ms(BEGIN_MS), 0.1, None, "Regular")])
    return next(folder.funding.glob("*.parquet"))


def _put_budget(folder: Folder) -> Path:
    path = folder.base_dir / "pool.budget"
    store = Store(path)
    store.update(lambda state: (type(state)(window=7, limit=2400), None))
    store.close()
    return path


def _ledger_path(folder: Folder) -> Path:
    return Ledger(folder)._path(BEGIN_MS + 60_000)


def all_decoders() -> dict[str, Decoder]:
    """Every decoder by name."""
    found = (
        Decoder("frame", _frame, (*FRAMES, *_real("*/ws_*.jsonl"))),
        Decoder("klines", _rows, (ROWS, *_real("doc_derived/*Klines.json"))),
        Decoder("exchange-info-spot", _exchange_info(Venue.SPOT), _infos(SPOT_ENTRY, "doc_derived/Spot*Info.json")),
        Decoder("exchange-info-um", _exchange_info(Venue.UM), _infos(ENTRY, "doc_derived/Usd*ExchangeInfo.json")),
        Decoder("exchange-info-cm", _exchange_info(Venue.CM), _infos(CM_ENTRY, "doc_derived/Coin*ExchangeInfo.json")),
        Decoder("funding-rates", _funding, _real("um/funding*.json", "doc_derived/*FundingRates.json") or (b"[]",)),
        Decoder("premium-index", _premium, _real("um/premium*.json") or (b"[]",)),
        Decoder("funding-info", _funding_info, _real("doc_derived/*FundingInfo.json") or (b"[]",)),
        Decoder("server-time", _time, (b'{"serverTime":1787949600000}',)),
        Decoder("answer", _answer, ANSWERS),
        Decoder("dingtalk", lambda data: verdict(200, data), (b'{"errcode":310000,"errmsg":"sign not match"}',)),
        Decoder(
            "config",
            _in_folder(lambda folder: load_config(folder.base_dir), lambda folder: folder.base_dir / "config.json"),
            (json.dumps(CONFIG).encode(), b'{"interval":"1m","trade_type":"usdt_spot","notify":["json://x"]}'),
        ),
        Decoder("ledger", _in_folder(_use_ledger, _ledger_path), (_lines(RECORD), _lines(RECORD, RECORD))),
        Decoder("revisions", _in_folder(read_revisions, lambda folder: folder.revisions / "1.jsonl"), (_revision(),)),
        Decoder("states", _in_folder(_use_states, lambda folder: folder.symbol_states), (json.dumps(STATES).encode(),)),
        Decoder("assets", _in_folder(_use_assets, lambda folder: folder.assets), (b'{"LITUSDT":[1787949600000]}',)),
        Decoder(
            "heartbeat",
            _in_folder(_use_status, lambda folder: folder.base_dir / "streamer.json"),
            (json.dumps(HEARTBEAT).encode(),),
        ),
        Decoder(
            "format",
            _in_folder(lambda folder: folder.check_version(), lambda folder: folder.format_file),
            (b'{"format_version": 1}',),
        ),
        Decoder(
            "reader-config",
            _in_folder(_use_reader, lambda folder: folder.base_dir / "config.json"),
            (json.dumps(CONFIG).encode(),),
        ),
        Decoder(
            "resample-state",
            _in_folder(
                lambda folder: load_state(folder.base_dir / "s.json"), lambda folder: folder.base_dir / "s.json"
            ),
            (json.dumps(RESAMPLED).encode(),),
        ),
        Decoder(
            "budget",
            _in_folder(_use_budget, lambda folder: folder.base_dir / "pool.budget"),
            tuple(data[:400] for data in _stored(_put_budget)),
        ),
        Decoder("name", _name, NAMES),
        _candles("slice", "parquet"),
        _candles("block", "parquet"),
        _candles("slice", "feather"),
        _candles("block", "feather"),
        Decoder(
            "stored-exchange-info",
            _in_folder(
                lambda folder: ExchangeInfoStore(folder).latest(),
                lambda folder: folder.exchange_info / "20261122T070001Z.parquet",
            ),
            _stored(_put_info),
        ),
        Decoder(
            "stored-factors",
            _in_folder(
                lambda folder: FactorStore(folder).get(from_ms(BEGIN_MS)),
                lambda folder: FactorStore(folder).path / f"{time_word(BEGIN_MS)}.parquet",
            ),
            _stored(_put_factors),
        ),
        Decoder(
            "stored-funding",
            _in_folder(lambda folder: FundingStore(folder).read(), lambda folder: folder.funding / "202611.parquet"),
            _stored(_put_funding),
        ),
    )
    return {decoder.name: decoder for decoder in found}


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """What decoders say of thousands of bad inputs is not logged meanwhile."""
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(processors=[_drop], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.reset_defaults()
        if before is not None:
            structlog.configure(**before)


def _drop(*_: object) -> object:
    raise structlog.DropEvent
