"""Everything that may happen to a buffer, in any order, beside a dictionary of what must be readable then."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
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
from kit.buffer.compaction import compact
from kit.buffer.files import SCHEMA, VALUE_COLUMNS
from kit.buffer.fills import differences, read_revisions, store_rest, store_revisions, stored_candles
from kit.buffer.layout import sealed_after_ms
from kit.buffer.read import Span, read_candles
from kit.buffer.slices import SliceWriter
from kit.words import Candle, Interval
from tests.builders import MINUTE, NOON, candle, folder_in

SYMBOLS = ("AUSDT", "BUSDT", "龙虾USDT", "BTCUSDT_261225")
SEALED_MS = sealed_after_ms(Interval.M1)

Key = tuple[str, int]
Stored = dict[Key, tuple[Candle, str]]


class Crash(BaseException):
    """The process dies here."""


class BufferMachine(RuleBasedStateMachine):
    """``model`` is what a reader must see: the candle and its source by symbol and begin time."""

    save_type = "parquet"

    @initialize(minute=st.integers(0, 600))
    def begin(self, minute: int) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="buffer-"))
        self.folder = folder_in(self.path, save_type=self.save_type)
        self.now_ms = self.latest_ms = NOON + minute * MINUTE
        self.model: Stored = {}
        self.pending: dict[Key, Candle] = {}
        self.revised: list[tuple[Candle, Candle]] = []
        self.stack = ExitStack()
        # Durability is the kernel's; what is tested here is the order of things.
        self.stack.enter_context(mock.patch("os.fsync"))
        self.restart()

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.other_programs_read_every_file()
            self.stack.close()
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

    @rule(age=st.integers(0, 1), symbols=st.sets(st.sampled_from(SYMBOLS)), variant=st.integers(0, 1))
    def finals_arrive(self, age: int, symbols: set[str], variant: int) -> None:
        run_ms = self.now_ms - age * MINUTE
        for symbol in symbols:
            row = candle(symbol, run_ms - MINUTE, variant)
            if self.writer.add(row, self.now_ms + 300, self.now_ms + 310):
                self.pending[symbol, row.begin_ms] = row

    @rule(crash_at=st.none() | st.integers(0, 5))
    def streamer_flushes(self, crash_at: int | None) -> None:
        horizon_ms = self.latest_ms - 2 * SEALED_MS
        after = dict(self.model)
        for key, row in self.pending.items():
            if row.begin_ms + MINUTE >= horizon_ms:
                after.setdefault(key, (row, "stream"))
        if self.crashes(crash_at, self.writer.flush, after):
            self.restart()
        self.pending = {}

    @rule()
    def streamer_restarts(self) -> None:
        self.restart()

    @rule(
        back=st.sampled_from([1, 2, 3]) | st.integers(1, 500),  # often where the stream is at work
        count=st.integers(1, 90),
        symbols=st.sets(st.sampled_from(SYMBOLS), min_size=1),
        variant=st.integers(0, 1),
        crash_at=st.none() | st.integers(0, 2),
    )
    def rest_fills(self, back: int, count: int, symbols: set[str], variant: int, crash_at: int | None) -> None:
        """What the flow asked for because it was missing; of the newest periods the stream may have had it since."""
        racing_ms = self.now_ms - 3 * SEALED_MS
        first_ms = self.now_ms - back * MINUTE
        rows = [
            candle(symbol, begin_ms, variant)
            for symbol in sorted(symbols)
            for begin_ms in range(first_ms, min(first_ms + count * MINUTE, self.now_ms), MINUTE)
            if (symbol, begin_ms) not in self.model or begin_ms + MINUTE >= racing_ms
        ]
        after = {(row.symbol, row.begin_ms): (row, "rest") for row in rows} | self.model
        self.crashes(
            crash_at, lambda: store_rest(self.folder, rows, received_ms=self.now_ms, racing_from_ms=racing_ms), after
        )

    @rule(data=st.data(), crash_at=st.none() | st.integers(0, 3))
    def exchange_says_otherwise(self, data: st.DataObject, crash_at: int | None) -> None:
        if not self.model:
            return
        keys = data.draw(st.sets(st.sampled_from(sorted(self.model)), min_size=1, max_size=3))
        truth = [candle(symbol, begin_ms, data.draw(st.integers(0, 5))) for symbol, begin_ms in sorted(keys)]
        revisions = differences(self.model, truth, "test")
        after = self.model | {(row.symbol, row.begin_ms): (row, "revision") for row in (each.new for each in revisions)}
        before = len(read_revisions(self.folder))
        if not self.crashes(crash_at, lambda: store_revisions(self.folder, revisions), after):
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
        crash_at=st.none() | st.integers(0, 12),
    )
    def flow_compacts(
        self, window: int, gone: tuple[str, ...], grace: float, filling: bool, crash_at: int | None
    ) -> None:
        active = [symbol for symbol in SYMBOLS if symbol not in gone]
        window_ms = self.now_ms - (window - 1) * MINUTE
        # What the market's symbols had before the window may go; nothing else may.
        may_go = {key for key in self.model if key[1] + MINUTE < window_ms and key[0] in active}

        def work() -> None:
            compact(self.folder, exchange_ms=self.now_ms, window_ms=window_ms, active=active, filling=filling)

        with mock.patch.object(compaction, "GRACE", mock.Mock(total_seconds=lambda: grace - 1)):
            self.crashes(crash_at, work, self.model, may_go)
            self.crashes(None, work, self.model, may_go)
            assert self.is_compacted(window_ms, filling=filling), "a second compaction would build again"

    def is_compacted(self, window_ms: int, *, filling: bool) -> bool:
        sealed_ms = self.now_ms - 3 * SEALED_MS
        files = self.folder.list_candle_files()
        return not compaction.plan(files, interval_ms=MINUTE, sealed_ms=sealed_ms, window_ms=window_ms, filling=filling)

    def crashes(
        self, crash_at: int | None, work: Callable[[], object], after: Stored, may_go: set[Key] | None = None
    ) -> bool:
        """Do it, perhaps dying just before or just after one of the steps on disk; whether it died.

        Every candle must then be as it was (``model``), or as it was to be (``after``); which is the model from now on.
        """
        steps = 0

        def dying(real: Callable[..., object], *, around: bool) -> Callable[..., object]:
            def step(*args: object, **names: object) -> object:
                nonlocal steps
                steps += 1
                if crash_at is not None and steps == crash_at // 2 + 1 and not around:
                    raise Crash
                result = real(*args, **names)
                if crash_at is not None and steps == crash_at // 2 + 1:
                    raise Crash
                return result

            return step

        odd = crash_at is not None and crash_at % 2 == 1
        crashed = False
        try:
            with (
                mock.patch("os.rename", dying(os.rename, around=odd)),
                mock.patch.object(Path, "unlink", dying(Path.unlink, around=odd)),
            ):
                work()
        except Crash:
            crashed = True
        before, self.model = self.model, self.stored()
        allowed = [before, after] if crashed else [after]
        for key, value in self.model.items():
            assert value in [each.get(key) for each in allowed], f"{key} became {value}"
        lost = (before if crashed else after).keys() - self.model.keys() - (may_go or set())
        assert not lost, f"lost {sorted(lost)[:3]}"
        return crashed

    # What must hold.

    def stored(self) -> Stored:
        frame = read_candles(self.folder, retired=True)
        keys = list(zip(frame["symbol"].cast(pl.String), frame["candle_begin_time"].dt.epoch("ms"), strict=True))
        assert keys == sorted(set(keys)), "not sorted, or a candle twice"
        begin_ms = pl.col("candle_begin_time").dt.epoch("ms")
        plain = frame.with_columns(pl.col("symbol", "source").cast(pl.String), begin_ms)
        rows = plain.drop("received_time").rows()
        return {(row[0], row[1]): (Candle(*row[:-1]), row[-1]) for row in rows}

    @rule(data=st.data())
    def reader_narrows(self, data: st.DataObject) -> None:
        whole = read_candles(self.folder, retired=True)
        symbols = data.draw(st.none() | st.lists(st.sampled_from([*SYMBOLS, "NONE"]), unique=True), label="symbols")
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
