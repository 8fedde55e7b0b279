"""All the writing that the product does in a base directory, in steps that can be done again, and what each promises.

A value may be found from the moment at which its writing began (``tries``), and has to be found once the call that
writes it returned (``keeps``), until a later call begins to replace it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import polars as pl

from kit.budget.rules import Stop, StopKind
from kit.budget.store import Store
from kit.buffer import compaction as buffer_compaction
from kit.buffer.assets import add_boundary
from kit.buffer.compaction import compact
from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.fills import differences, store_rest, store_revisions
from kit.buffer.funding import FundingRate, FundingStore
from kit.buffer.layout import Folder
from kit.buffer.ledger import RECORDS_A_FILE, Ledger, LedgerRecord
from kit.buffer.locks import hold
from kit.buffer.read import Span, read_candles
from kit.buffer.slices import SliceWriter
from kit.buffer.states import States, SymbolState, save_states
from kit.calculators.result import FactorResult
from kit.calculators.store import FactorStore
from kit.config import MarketConfig, parse_config
from kit.resample import compaction as resample_compaction
from kit.resample.series import series_of
from kit.resample.update import update_resample
from kit.resample.windows import windows_of
from kit.words import Candle, from_ms
from streamer.status import write_status
from tests.builders import MINUTE, NOON, candle
from tests.power_loss.reader import Found, Reader, candles_in

SYMBOLS = ("AUSDT", "BUSDT", "龙虾USDT")
PERIODS = 20
GONE_AT_ONCE = timedelta(seconds=-1)
"""Absorbed files are deleted by the next call, and not two minutes later."""


@dataclass
class Promises:
    """What may be found and what has to be, by when: ``now`` counts what was done on the disk so far."""

    now: Callable[[], int] = lambda: 0
    tried: dict[Hashable, list[tuple[int, Any]]] = field(default_factory=dict)
    kept: dict[Hashable, list[tuple[int, int | None]]] = field(default_factory=dict)

    def tries(self, values: Found) -> None:
        """These may be found from now on, beside what was there."""
        for key, value in values.items():
            versions = self.tried.setdefault(key, [])
            if not versions or versions[-1][1] != value:
                versions.append((self.now(), value))

    def keeps(self, keys: Iterable[Hashable]) -> None:
        """From now on the newest value of these has to be there, or one that is tried after it."""
        for key in keys:
            self.kept.setdefault(key, []).append((self.now(), len(self.tried[key]) - 1))

    def frees(self, keys: Iterable[Hashable]) -> None:
        """From now on these may be gone."""
        for key in keys:
            self.kept.setdefault(key, []).append((self.now(), None))

    def broken(self, kind: str, found: Found, at: int) -> list[str]:
        """What is wrong with what is found of a kind when the first ``at`` things were done: lost or made up."""
        problems = []
        for key, value in found.items():
            allowed = [version for since, version in self.tried.get(key, ()) if since <= at]
            if value not in allowed:
                problems.append(f"made up: {key} = {value}, tried {allowed}")
        for key, moments in self.kept.items():
            newest = None
            for since, version in moments if key[0] == kind else ():
                newest = version if since <= at else newest
            if newest is None:
                continue
            if key not in found:
                problems.append(f"lost: {key}")
            elif found[key] not in [version for since, version in self.tried[key][newest:] if since <= at]:
                problems.append(f"gone back: {key} = {found[key]}")
        return problems

    def copy(self) -> Promises:
        """As they are now."""
        copied = ({key: list(values) for key, values in each.items()} for each in (self.tried, self.kept))
        return Promises(self.now, *copied)

    def freed(self, key: Hashable, at: int) -> bool:
        """Whether this may be gone."""
        return any(version is None and since <= at for since, version in self.kept.get(key, ()))


@dataclass
class Judge:
    """Says what is wrong with what was found, and does not look at the same thing twice."""

    promises: Promises
    _known: dict[Hashable, list[str]] = field(default_factory=dict)
    _at: int = -1

    def problems(self, found: dict[str, Found], at: int) -> list[str]:
        """What is lost, made up, or contradicts something else, when the first ``at`` things were done."""
        if at != self._at:
            self._at, self._known = at, {}
        problems = []
        for kind, part in found.items():
            problems += self._once((kind, id(part)), partial(self.promises.broken, kind, part, at))
        candles, ledger, revisions = (found[kind] for kind in ("candle", "ledger", "revision"))
        problems += self._once((id(candles), id(ledger)), partial(self._false_completes, candles, ledger, at))
        return problems + self._once((id(candles), id(revisions), "revisions"), partial(unrecorded, candles, revisions))

    def _once(self, key: Hashable, look: Callable[[], list[str]]) -> list[str]:
        if key not in self._known:
            self._known[key] = look()
        return self._known[key]

    def _false_completes(self, candles: Found, ledger: Found, at: int) -> list[str]:
        return [
            f"false complete: {run_ms} without {symbol}"
            for (_, run_ms), record in ledger.items()
            if record.complete
            for symbol in SYMBOLS
            if ("candle", symbol, run_ms - MINUTE) not in candles
            and not self.promises.freed(("candle", symbol, run_ms - MINUTE), at)
        ]


def unrecorded(candles: Found, revisions: Found) -> list[str]:
    """Candles that are not what they were first, and no revision says so."""
    recorded = {new for _, _, new in revisions}
    known = (value for value in candles.values() if value.trade_num != 1)  # the variant is written there
    return [f"changed without a record: {value}" for value in known if value not in recorded]


@dataclass
class Work:
    """A base directory at work. Each method is one step, and may be called again when it failed."""

    root: Path
    save_type: str = "parquet"
    promises: Promises = field(default_factory=Promises)

    def __post_init__(self) -> None:
        raw = {"trade_type": "usdt_perp", "interval": "1m", "num_candles": 400, "save_type": self.save_type}
        raw |= {"resample": {"interval": "5m", "base_offset": "1m"}}
        self.config: MarketConfig = parse_config(self.root, raw)
        self.folder = Folder(self.root, self.config.trade_type, self.config.interval, self.save_type)
        self.budget = self.root / "state" / "futures.budget"
        self.truth: dict[tuple[str, int], Candle] = {}

    def reader(self, path: Path) -> Reader:
        """Of trees of this work, which it puts below ``path``."""
        folder = Folder(path, self.folder.trade_type, self.folder.interval, self.save_type)
        return Reader(self.config, folder, path / "state" / "futures.budget")

    @contextmanager
    def keeping(self, values: Found):
        """Around the call that writes the values."""
        self.promises.tries(values)
        yield
        self.promises.keeps(values)

    # The steps.

    def opens(self) -> None:
        self.folder.open_for_writing()
        for writer in ("streamer", "flow"):
            with hold(self.folder, writer):
                pass

    def exchange_info(self, status: str) -> None:
        rows = [{"symbol": symbol, "status": status, "permissions": ["A", "B"]} for symbol in SYMBOLS]
        with self.keeping({("info",): (status,) * len(SYMBOLS)}):
            ExchangeInfoStore(self.folder).save(rows, from_ms(NOON))

    def states(self, status: str) -> None:
        states = {symbol: SymbolState(status=status, first_ms=NOON) for symbol in SYMBOLS}
        with self.keeping({("state", symbol): state for symbol, state in states.items()}):
            save_states(self.folder, States(symbols=states))

    def slices(self, first: int, last: int) -> None:
        """The streamer's finals of these minutes: some come in two flushes. ``BUSDT`` misses each third."""
        writer = SliceWriter(self.folder)
        for minute in range(first, last):
            run_ms = NOON + (minute + 1) * MINUTE
            rows = [candle(symbol, NOON + minute * MINUTE) for symbol in SYMBOLS]
            rows = [row for row in rows if row.symbol != "BUSDT" or minute % 3]
            for part in (rows[:1], rows[1:]):
                for row in part:
                    writer.add(row, run_ms + 500, run_ms + 510)
                with self.keeping(candles(part)):
                    writer.flush()
                self.truth |= {(row.symbol, row.begin_ms): row for row in part}

    def fill(self, first: int, last: int, *, racing: bool = False) -> None:
        """REST fills what is missing in these minutes, and the ledger says so."""
        begins = range(NOON + first * MINUTE, NOON + last * MINUTE, MINUTE)
        rows = [candle(symbol, begin) for symbol in SYMBOLS for begin in begins if (symbol, begin) not in self.truth]
        with self.keeping(candles(rows)):
            racing_from_ms = begins[0] if racing else 1 << 60
            store_rest(self.folder, rows, received_ms=NOON, racing_from_ms=racing_from_ms)
        self.truth |= {(row.symbol, row.begin_ms): row for row in rows}
        self.ledger(begins)

    def ledger(self, begins: Sequence[int]) -> None:
        """The records of periods, complete where everything is readable now."""
        readable = {key[1:] for key in candles_in(self.folder)}
        records = [record_of(begin + MINUTE, [s for s in SYMBOLS if (s, begin) not in readable]) for begin in begins]
        with self.keeping({("ledger", record_ms(record)): record for record in records}):
            Ledger(self.folder).put(records)

    def revises(self, *minutes: int, variant: int = 1) -> None:
        news = [candle("AUSDT", NOON + minute * MINUTE, variant) for minute in minutes]
        stored = {(row.symbol, row.begin_ms): (self.truth[row.symbol, row.begin_ms], "stream") for row in news}
        revisions = differences(stored, news, "test")
        self.promises.tries({("revision", each.old, each.new): "test" for each in revisions})
        with self.keeping(candles(news)):
            store_revisions(self.folder, revisions)
        self.promises.keeps(("revision", each.old, each.new) for each in revisions)
        self.truth |= {(row.symbol, row.begin_ms): row for row in news}

    def compacts(
        self, last: int, *, window: int = -(1 << 20), active: Sequence[str] = SYMBOLS, deletes: bool = False
    ) -> None:
        """Compaction at that minute; the window begins with the minute ``window``."""
        window_ms = NOON + window * MINUTE
        goes = [key for key in self.truth if key[1] + MINUTE < window_ms and key[0] in active]
        runs = {begin_ms + MINUTE for _, begin_ms in goes}
        self.promises.frees([*(("candle", *key) for key in goes), *(("ledger", run_ms) for run_ms in runs)])
        Ledger(self.folder).forget_before(window_ms - window_ms % (RECORDS_A_FILE * MINUTE))
        with mock.patch.object(buffer_compaction, "GRACE", GONE_AT_ONCE if deletes else buffer_compaction.GRACE):
            compact(self.folder, exchange_ms=NOON + (last + 4) * MINUTE, window_ms=window_ms, active=active)

    def funding(self, hours: int, rate: float) -> None:
        times = [datetime(2026, 11, 22, hour, tzinfo=UTC) for hour in range(hours)]
        rates = [FundingRate(symbol, moment, rate, None, "Regular") for symbol in SYMBOLS for moment in times]
        with self.keeping({("funding", each.symbol, each.funding_time): each.funding_rate for each in rates}):
            FundingStore(self.folder).add(rates)

    def another_asset(self, ticker: str, begin_ms: int) -> None:
        with self.keeping({("asset", ticker, begin_ms): begin_ms}):
            add_boundary(self.folder, ticker, begin_ms)

    def resamples(self, last: int) -> None:
        """Every resampled candle that can be made now is kept; one of which a part was revised is the newer one."""
        series = series_of(self.config)
        assert series is not None
        span = Span(NOON - 500 * MINUTE, NOON + last * MINUTE)
        windows = windows_of(read_candles(self.folder, span=span), series, span)
        made: Found = {}
        for offset_ms in series.offsets_ms:
            plain = windows.of_offset(offset_ms).with_columns(
                pl.col("symbol").cast(pl.String), pl.col("candle_begin_time").dt.epoch("ms")
            )
            for row in plain.rows():
                made["resampled", offset_ms, row[0].partition("#")[0], row[1]] = Candle(
                    row[0].partition("#")[0], *row[1:]
                )
        with ExitStack() as patches:
            for module in (resample_compaction, buffer_compaction):
                patches.enter_context(mock.patch.object(module, "GRACE", GONE_AT_ONCE))
            with self.keeping(made):
                update_resample(self.folder, self.config, from_ms(NOON + last * MINUTE))

    def factors(self, minute: int) -> None:
        frame = pl.DataFrame(
            {"symbol": list(SYMBOLS), "close": [1.0, 2.0, 3.0], "PctChg_1": [float(minute), 0.5, None]}
        )
        run_ms = NOON + minute * MINUTE
        with self.keeping({("factor", run_ms): tuple(frame.rows())}):
            FactorStore(self.folder).put(FactorResult(from_ms(run_ms), frame, (), ()))

    def stop_of_the_exchange(self, minute: int) -> None:
        """A ban, and what is written after it."""
        store = Store(self.budget)
        stop = Stop(StopKind.BAN, NOON + minute * MINUTE)
        with self.keeping({("stop",): stop.until_ms}):
            store.update(lambda old: (msgspec.structs.replace(old, stop=stop), None))
        for header in range(1, 5):
            store.update(lambda old, header=header: (msgspec.structs.replace(old, header=old.header + header), None))
        store.close()

    def heartbeat(self) -> None:
        write_status(self.root, {"running": True})

    def steps(self) -> list[tuple[str, Callable[[], None]]]:
        """A life: what is called one after the other."""
        return [
            ("opens", self.opens),
            ("first exchange info", lambda: self.exchange_info("TRADING")),
            ("states", lambda: self.states("TRADING")),
            ("first slices", lambda: self.slices(0, 3)),
            ("heartbeat", self.heartbeat),
            ("fill", lambda: self.fill(-14, 3)),
            ("resample, all", lambda: self.resamples(3)),
            ("factors", lambda: self.factors(3)),
            ("ban", lambda: self.stop_of_the_exchange(5)),
            ("more slices", lambda: self.slices(3, PERIODS)),
            ("racing fill", lambda: self.fill(3, PERIODS, racing=True)),
            ("revision", lambda: self.revises(1, 5, 17)),
            ("funding", lambda: self.funding(9, 0.0001)),
            ("resample, more", lambda: self.resamples(PERIODS)),
            ("blocks", lambda: self.compacts(PERIODS)),
            ("deletes", lambda: self.compacts(PERIODS, deletes=True)),
            ("second exchange info", lambda: self.exchange_info("BREAK")),
            ("other states", lambda: self.states("BREAK")),
            ("second revision", lambda: self.revises(2, variant=2)),
            ("old history", lambda: self.fill(-300, -14)),
            ("large blocks", lambda: self.compacts(PERIODS)),
            ("deletes again", lambda: self.compacts(PERIODS, deletes=True)),
            ("another asset", lambda: self.another_asset("龙虾USDT", NOON - 100 * MINUTE)),
            ("resample, all again", lambda: self.resamples(PERIODS)),
            ("funding, newer word", lambda: self.funding(17, 0.0002)),
            ("factors again", lambda: self.factors(PERIODS)),
            ("longer ban", lambda: self.stop_of_the_exchange(50)),
            ("retires", lambda: self.compacts(PERIODS, window=PERIODS - 1, active=SYMBOLS[:1])),
            (
                "deletes at last",
                lambda: self.compacts(PERIODS, window=PERIODS - 1, active=SYMBOLS[:1], deletes=True),
            ),
        ]


def candles(rows: Iterable[Candle]) -> Found:
    """As they are found."""
    return {("candle", row.symbol, row.begin_ms): row for row in rows}


def record_of(run_ms: int, missing: list[str]) -> LedgerRecord:
    return LedgerRecord(
        run_time=from_ms(run_ms),
        expected=len(SYMBOLS),
        by_stream=0,
        by_rest=len(SYMBOLS) - len(missing),
        missing=missing,
        excused={},
        complete=not missing,
    )


def record_ms(record: LedgerRecord) -> int:
    return int(record.run_time.timestamp() * 1000)
