"""Everything that may happen to a buffer, in any order, beside a dictionary of what must be readable then."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from kit.buffer import compaction
from kit.buffer.assets import MARK, add_boundary, load_assets, ticker_of
from kit.buffer.compaction import compact
from kit.buffer.files import SCHEMA, VALUE_COLUMNS
from kit.buffer.fills import differences, read_revisions, store_rest, store_revisions, stored_candles
from kit.buffer.layout import sealed_after_ms
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.buffer.read import Span, read_candles
from kit.buffer.slices import SliceWriter
from kit.market import Market
from kit.words import Candle, Interval, from_ms
from tests.buffer.disk import ACCIDENTS, Accident, Crash, How, disk_with
from tests.builders import MINUTE, NOON, candle, folder_in

SYMBOLS = ("AUSDT", "BUSDT", "龙虾USDT", "BTCUSDT_261225")
SEALED_MS = sealed_after_ms(Interval.M1)

Key = tuple[str, int]
Stored = dict[Key, tuple[Candle, str]]


class BufferMachine(RuleBasedStateMachine):
    """``model`` is what a reader must see: the candle and its source by ticker and begin time.

    ``boundaries`` are the begin times from which a ticker is another asset; ``records`` is the ledger.
    """

    save_type = "parquet"

    @initialize(minute=st.integers(0, 600))
    def begin(self, minute: int) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="buffer-"))
        self.folder = folder_in(self.path, save_type=self.save_type)
        self.now_ms = self.latest_ms = NOON + minute * MINUTE
        self.model: Stored = {}
        self.pending: dict[Key, Candle] = {}
        self.boundaries: dict[str, list[int]] = {}
        self.records: dict[int, LedgerRecord] = {}
        config = {"interval": "1m", "trade_type": "usdt_perp", "save_type": self.save_type, "num_candles": 10_000}
        (self.path / "config.json").write_text(json.dumps(config))
        self.market = Market(self.path)
        self.restart()

    def teardown(self) -> None:
        if hasattr(self, "path"):
            self.other_programs_read_every_file()
            shutil.rmtree(self.path)

    def restart(self) -> None:
        """A new incarnation of the streamer; what was not on disk is gone."""
        self.writer = SliceWriter(self.folder)
        self.writer._exchange_now_ms = lambda: self.latest_ms  # it would go on by the machine's clock
        self.pending = {}

    # What happens.

    @rule(minutes=st.sampled_from([1, 1, 1, 2, 5, 9, 70, 300, -3]))
    def time_passes(self, minutes: int) -> None:
        self.now_ms += minutes * MINUTE
        self.latest_ms = max(self.latest_ms, self.now_ms)

    @rule(
        age=st.sampled_from([0, 0, 0, 1, 2, 5]),
        waited=st.booleans(),  # in the socket of a streamer that stood still
        symbols=st.sets(st.sampled_from(SYMBOLS)),
        variant=st.integers(0, 1),
    )
    def finals_arrive(self, age: int, waited: bool, symbols: set[str], variant: int) -> None:
        run_ms = self.now_ms - age * MINUTE
        sent_ms = (run_ms if waited else self.now_ms) + 300
        for symbol in symbols:
            row = candle(symbol, run_ms - MINUTE, variant)
            if self.writer.add(row, sent_ms, self.now_ms + 310):
                self.pending[symbol, row.begin_ms] = row

    @rule(accident=ACCIDENTS)
    def streamer_flushes(self, accident: Accident | None) -> None:
        horizon_ms = self.latest_ms - 2 * SEALED_MS
        after = dict(self.model)
        for key, row in self.pending.items():
            if row.begin_ms + MINUTE >= horizon_ms:
                after.setdefault(key, (row, "stream"))
        match self.suffers(accident, self.writer.flush, after, whole_periods=True):
            case "died":
                self.restart()
            case "refused":
                assert self.writer.pending, "what a full disk refused is forgotten"
            case _:
                assert not self.writer.pending
                self.pending = {}

    @rule()
    def streamer_restarts(self) -> None:
        self.restart()

    @rule(
        back=st.sampled_from([1, 2, 3]) | st.integers(1, 500),  # often where the stream is at work
        count=st.integers(1, 90),
        symbols=st.sets(st.sampled_from(SYMBOLS), min_size=1),
        variant=st.integers(0, 1),
        accident=ACCIDENTS,
    )
    def rest_fills(self, back: int, count: int, symbols: set[str], variant: int, accident: Accident | None) -> None:
        """What the flow asked for because it was missing; of the newest periods the stream may have had it since."""
        racing_ms = self.now_ms - 3 * SEALED_MS
        first_ms = self.now_ms - back * MINUTE
        rows = [
            candle(symbol, begin_ms, variant)
            for symbol in sorted(symbols)
            for begin_ms in range(first_ms, min(first_ms + count * MINUTE, self.now_ms), MINUTE)
            if begin_ms >= max(self.boundaries.get(symbol, [0]))  # nobody asks for what was another asset
            and ((symbol, begin_ms) not in self.model or begin_ms + MINUTE >= racing_ms)
        ]
        after = {(row.symbol, row.begin_ms): (row, "rest") for row in rows} | self.model
        self.suffers(
            accident, lambda: store_rest(self.folder, rows, received_ms=self.now_ms, racing_from_ms=racing_ms), after
        )

    @rule(data=st.data(), accident=ACCIDENTS)
    def exchange_says_otherwise(self, data: st.DataObject, accident: Accident | None) -> None:
        if not self.model:
            return
        keys = data.draw(st.sets(st.sampled_from(sorted(self.model)), min_size=1, max_size=3))
        truth = [candle(symbol, begin_ms, data.draw(st.integers(0, 5))) for symbol, begin_ms in sorted(keys)]
        revisions = differences(self.model, truth, "test")
        after = self.model | {(row.symbol, row.begin_ms): (row, "revision") for row in (each.new for each in revisions)}
        before = len(read_revisions(self.folder))
        if self.suffers(accident, lambda: store_revisions(self.folder, revisions), after) == "did it":
            assert len(read_revisions(self.folder)) == before + len(revisions)
        recorded = {(each.old, each.new) for each in read_revisions(self.folder)}
        for each in revisions:
            if self.model[each.symbol, each.new.begin_ms][0] == each.new:
                assert (each.old, each.new) in recorded, "a candle was changed and it is not recorded"

    @rule(
        window=st.sampled_from([1, 10, 60, 300, 900]),
        gone=st.sampled_from([(), (), SYMBOLS[:1], SYMBOLS[1:3], SYMBOLS]),
        grace=st.sampled_from([0.0, 1e9]),
        filling=st.booleans(),
        accident=ACCIDENTS,
    )
    def flow_compacts(
        self, window: int, gone: tuple[str, ...], grace: float, filling: bool, accident: Accident | None
    ) -> None:
        active = [symbol for symbol in SYMBOLS if symbol not in gone]
        window_ms = self.now_ms - (window - 1) * MINUTE
        # What the market's symbols had before the window may go; nothing else may.
        may_go = {key for key in self.model if key[1] + MINUTE < window_ms and self.name_of(key) in active}

        def work() -> None:
            compact(self.folder, exchange_ms=self.now_ms, window_ms=window_ms, active=active, filling=filling)

        with mock.patch.object(compaction, "GRACE", mock.Mock(total_seconds=lambda: grace - 1)):
            self.suffers(accident, work, self.model, may_go)
            self.suffers(None, work, self.model, may_go)
            assert self.is_compacted(window_ms, filling=filling), "a second compaction would build again"

    def is_compacted(self, window_ms: int, *, filling: bool) -> bool:
        sealed_ms = self.now_ms - 3 * SEALED_MS
        files = self.folder.list_candle_files()
        return not compaction.plan(files, interval_ms=MINUTE, sealed_ms=sealed_ms, window_ms=window_ms, filling=filling)

    @rule(symbol=st.sampled_from(SYMBOLS), back=st.integers(0, 300), accident=ACCIDENTS)
    def ticker_comes_back_as_another_asset(self, symbol: str, back: int, accident: Accident | None) -> None:
        begin_ms = self.now_ms - back * MINUTE
        known = self.boundaries.get(symbol, [])
        after = {**self.boundaries, symbol: sorted({*known, begin_ms})}
        try:
            with disk_with(accident, lambda: None):
                add_boundary(self.folder, symbol, begin_ms)
        except (Crash, OSError):
            assert load_assets(self.folder) in ({**self.boundaries}, after)
        else:
            assert load_assets(self.folder) == after
        self.boundaries = {ticker: list(moments) for ticker, moments in load_assets(self.folder).items()}
        assert self.stored() == self.model

    @rule(back=st.integers(0, 200), count=st.integers(1, 70), missing=st.booleans(), accident=ACCIDENTS)
    def flow_keeps_the_ledger(self, back: int, count: int, missing: bool, accident: Accident | None) -> None:
        first_ms = self.now_ms - back * MINUTE
        fresh = {
            run_ms: record(run_ms, missing=missing) for run_ms in range(first_ms, first_ms + count * MINUTE, MINUTE)
        }
        after = self.records | fresh
        crashed = False
        try:
            with disk_with(accident, lambda: self.check_ledger(after)):
                Ledger(self.folder).put(fresh.values())
        except (Crash, OSError):
            crashed = True
        self.check_ledger(after)
        self.records = Ledger(self.folder).between(NOON - 10**9, NOON + 10**12) if crashed else after
        assert all(self.market.ledger(from_ms(run_ms)) == kept for run_ms, kept in list(self.records.items())[:5])

    def check_ledger(self, after: dict[int, LedgerRecord]) -> None:
        """Each record is as it was or as it is to be; none is lost."""
        found = Ledger(self.folder).between(min(after), max(after))
        assert not self.records.keys() - found.keys(), "a record is lost"
        assert all(kept in (self.records.get(run_ms), after.get(run_ms)) for run_ms, kept in found.items())

    def suffers(
        self,
        accident: Accident | None,
        work: Callable[[], object],
        after: Stored,
        may_go: set[Key] | None = None,
        *,
        whole_periods: bool = False,
    ) -> str:
        """Do it on a disk with that accident; whether the process ``did it``, ``died`` or was ``refused``.

        Every candle must then be as it was (``model``), or as it was to be (``after``), between any two system calls
        too; what it is then is the model from now on. ``whole_periods``: the new candles of a period appear together.
        """
        end = "did it"

        def look() -> None:
            self.check(self.stored(), self.model, after, may_go, whole_periods=whole_periods)

        try:
            with disk_with(accident, look):
                work()
        except Crash:
            end = "died"
        except OSError:
            assert accident is not None
            assert accident.how is How.FULL
            end = "refused"
        before, self.model = self.model, self.stored()
        expected = after if end == "did it" else before
        self.check(self.model, expected, after, may_go, whole_periods=whole_periods)
        return end

    # What must hold.

    @staticmethod
    def check(now: Stored, before: Stored, after: Stored, may_go: set[Key] | None, *, whole_periods: bool) -> None:
        for key, value in now.items():
            assert value in (before.get(key), after.get(key)), f"{key} became {value}"
        lost = before.keys() - now.keys() - (may_go or set())
        assert not lost, f"lost {sorted(lost)[:3]}"
        if whole_periods:
            new = after.keys() - before.keys()
            seen, unseen = ({begin_ms for _, begin_ms in keys} for keys in (new & now.keys(), new - now.keys()))
            assert not seen & unseen, "half of a period's slice is readable"

    def name_of(self, key: Key) -> str:
        """The asset whose candle that is: ``AUSDT#1`` before the first boundary of AUSDT."""
        ticker, begin_ms = key
        number = next((n for n, at in enumerate(self.boundaries.get(ticker, []), start=1) if begin_ms < at), None)
        return ticker if number is None else f"{ticker}{MARK}{number}"

    def stored(self) -> Stored:
        frame = read_candles(self.folder, retired=True)
        keys = list(zip(frame["symbol"].cast(pl.String), frame["candle_begin_time"].dt.epoch("ms"), strict=True))
        assert keys == sorted(set(keys)), "not sorted, or a candle twice"
        by_ticker = [(ticker_of(name), begin_ms) for name, begin_ms in keys]
        assert [self.name_of(key) for key in by_ticker] == [name for name, _ in keys], "two assets are joined"
        begin_ms = pl.col("candle_begin_time").dt.epoch("ms")
        plain = frame.with_columns(pl.col("symbol", "source").cast(pl.String), begin_ms)
        rows = plain.drop("received_time").rows()
        return {key: (Candle(key[0], *row[1:-1]), row[-1]) for key, row in zip(by_ticker, rows, strict=True)}

    @rule(last=st.integers(1, 400), back=st.integers(0, 400))
    def user_reads(self, last: int, back: int) -> None:
        """The public reader says the same, of what has not been retired."""
        if any(file.kind == "retired" for file in self.folder.list_candle_files()):
            return
        run_ms = self.now_ms - back * MINUTE
        ready = {self.name_of(key) for key in self.model if key[1] + MINUTE == run_ms}
        assert self.market.ready(from_ms(run_ms)) == ready
        assert self.market.symbols() == sorted({self.name_of(key) for key in self.model})
        newest_ms = max((begin_ms for _, begin_ms in self.model), default=0)
        frame = self.market.candles(columns=["close"], last=last, source=True)
        read = zip(
            frame["symbol"], frame["candle_begin_time"].dt.epoch("ms"), frame["close"], frame["source"], strict=True
        )
        assert list(read) == sorted(
            (self.name_of(key), key[1], row.close, source)
            for key, (row, source) in self.model.items()
            if key[1] > newest_ms - last * MINUTE
        )

    @rule(data=st.data())
    def reader_narrows(self, data: st.DataObject) -> None:
        whole = read_candles(self.folder, retired=True)
        symbols = data.draw(
            st.none() | st.lists(st.sampled_from([*SYMBOLS, "NONE", f"AUSDT{MARK}1"]), unique=True), label="symbols"
        )
        columns = data.draw(st.lists(st.sampled_from([*VALUE_COLUMNS, "source"]), unique=True), label="columns")
        first = self.now_ms - data.draw(st.integers(0, 400), label="first") * MINUTE
        span = Span(first, first + data.draw(st.integers(0, 300), label="length") * MINUTE)
        begin = pl.col("candle_begin_time").dt.epoch("ms")
        wanted = whole.filter(begin.is_between(span.first_ms - MINUTE, span.last_ms - MINUTE))
        if symbols is not None:
            wanted = wanted.filter(pl.col("symbol").cast(pl.String).is_in(symbols))
        part = read_candles(self.folder, columns=columns, symbols=symbols, span=span, retired=True)
        assert part.equals(wanted.select("symbol", "candle_begin_time", *columns))
        keys = set(zip(wanted["symbol"].cast(pl.String), wanted["candle_begin_time"].dt.epoch("ms"), strict=True))
        assert set(stored_candles(self.folder, span, symbols)) <= keys

    def other_programs_read_every_file(self) -> None:
        for file in self.folder.list_candle_files():
            path = str(self.folder.candles / file.name)
            if self.save_type == "feather":
                assert pa.ipc.open_file(path).read_all().schema.equals(SCHEMA)
                continue
            table = pa.parquet.read_table(path)
            assert table.schema.equals(SCHEMA)
            query = "select count(*), count(distinct symbol) from read_parquet(?)"
            names = set(table["symbol"].to_pylist())
            assert duckdb.execute(query, [path]).fetchall() == [(table.num_rows, len(names))]


def record(run_ms: int, *, missing: bool) -> LedgerRecord:
    """A record of that run time."""
    return LedgerRecord(
        run_time=from_ms(run_ms),
        expected=2,
        by_stream=1,
        by_rest=0 if missing else 1,
        missing=["AUSDT"] if missing else [],
        excused={},
        complete=not missing,
    )
