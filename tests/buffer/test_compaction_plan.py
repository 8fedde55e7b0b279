"""What compaction decides, from file names alone: simulated days and arbitrary listings."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from kit.buffer.compaction import Build, aligned_ranges, plan
from kit.buffer.layout import BLOCK_SIZES, CandleFile, parse_name, time_word
from kit.buffer.view import choose, superseded
from tests.builders import MINUTE, NOON

SEALING = 3


def made(kind: str, first_ms: int, last_ms: int, seq: int) -> CandleFile:
    times = time_word(first_ms) if kind == "stream" else f"{time_word(first_ms)}_{time_word(last_ms)}"
    file = parse_name(f"{kind}_{times}_{seq}.parquet")
    assert file is not None
    return file


def build_all(files: list[CandleFile], builds: list[Build]) -> list[CandleFile]:
    """The listing after the builds, nothing deleted yet."""
    for build in builds:
        seq = 1 + max((file.seq for file in files if file.kind != "stream"), default=0)
        files = [*files, made("retired" if build.retired else "block", build.first_ms, build.last_ms, seq)]
    return files


def loose(files: list[CandleFile], sealed_ms: int) -> list[CandleFile]:
    """What is read beside blocks although it is sealed."""
    view = choose(files, MINUTE)
    return [file for file in (*view.streams, *(each.file for each in view.rests)) if file.last_ms <= sealed_ms]


@given(first=st.integers(0, 3000), count=st.integers(0, 1500))
def test_places_are_aligned_and_follow_each_other_without_holes(first: int, count: int) -> None:
    last = first + count
    places = list(aligned_ranges(first * MINUTE, last * MINUTE, MINUTE))
    for start, end in places:
        size = (end - start) // MINUTE + 1
        assert size in BLOCK_SIZES
        assert start // MINUTE % size == 0
        assert end <= last * MINUTE
    assert all(end + MINUTE == start for (_, end), (start, _) in pairwise(places))
    if places:
        assert places[0][0] <= first * MINUTE
        assert places[-1][1] > (last - min(BLOCK_SIZES)) * MINUTE


def test_a_day_of_minutes_never_needs_more_than_thirty_files_of_a_window_of_1500() -> None:
    window = 1500
    files = [made("rest", NOON - (window - 1) * MINUTE, NOON, 1)]
    most = 0
    for minute in range(1, 1440):
        run_ms = NOON + minute * MINUTE
        files.append(made("stream", run_ms, run_ms, 1))
        if minute % 10 == 0:  # a candle now and then comes by REST
            files.append(made("rest", run_ms, run_ms, 1 + max(file.seq for file in files if file.kind != "stream")))
        sealed_ms = run_ms - SEALING * MINUTE
        arguments = {"interval_ms": MINUTE, "sealed_ms": sealed_ms, "window_ms": run_ms - (window - 1) * MINUTE}
        files = build_all(files, plan(files, **arguments))
        assert plan(files, **arguments) == [], "a second plan finds nothing to do"
        view = choose(files, MINUTE)
        files = [file for file in files if file not in superseded(files, view)]
        most = max(most, len(view.files))
        assert all(file.last_ms > sealed_ms - min(BLOCK_SIZES) * MINUTE for file in view.streams)
    assert most <= 32


@st.composite
def listings(draw: st.DrawFn) -> list[CandleFile]:
    """Streams and fills, compacted at some moments by clocks and windows that went up and down."""
    files: list[CandleFile] = []
    for _ in range(draw(st.integers(1, 8))):
        first = draw(st.integers(0, 1400))
        if draw(st.booleans()):
            files.append(made("stream", NOON + first * MINUTE, 0, draw(st.integers(1, 2))))
        else:
            seq = 1 + max((file.seq for file in files if file.kind != "stream"), default=0)
            last = first + draw(st.integers(0, 300))
            kind = draw(st.sampled_from(["rest", "rest", "revision"]))
            files.append(made(kind, NOON + first * MINUTE, NOON + last * MINUTE, seq))
        if draw(st.booleans()):
            files = compacted(files, draw(st.integers(0, 1800)), draw(st.integers(1, 1800)))
    return files


def compacted(files: list[CandleFile], sealed: int, window: int) -> list[CandleFile]:
    sealed_ms = NOON + sealed * MINUTE
    return build_all(files, plan(files, interval_ms=MINUTE, sealed_ms=sealed_ms, window_ms=sealed_ms - window * MINUTE))


@settings(max_examples=300, deadline=None)
@given(files=listings(), sealed=st.integers(0, 1800), window=st.integers(1, 1800))
def test_a_plan_is_done_after_it_was_done_once(files: list[CandleFile], sealed: int, window: int) -> None:
    after = compacted(files, sealed, window)
    assert compacted(after, sealed, window) == after


@settings(max_examples=300, deadline=None)
@given(files=listings())
def test_blocks_that_are_read_never_overlap(files: list[CandleFile]) -> None:
    blocks = choose(files, MINUTE).blocks
    assert all(first.last_ms < second.first_ms for first, second in pairwise(blocks))


@settings(max_examples=300, deadline=None)
@given(files=listings(), sealed=st.integers(0, 1800), window=st.integers(1, 1800))
def test_only_sealed_run_times_are_built_and_all_of_them_up_to_the_last_eight(
    files: list[CandleFile], sealed: int, window: int
) -> None:
    sealed_ms = NOON + sealed * MINUTE
    builds = plan(files, interval_ms=MINUTE, sealed_ms=sealed_ms, window_ms=sealed_ms + (SEALING + 1 - window) * MINUTE)
    known = {(file.first_ms, file.last_ms) for file in files if file.kind in ("block", "retired")}
    for build in builds:
        assert build.last_ms <= sealed_ms or (build.first_ms, build.last_ms) in known, "clock went back"
    after = build_all(files, builds)
    newest_ms = max((file.last_ms for file in choose(files, MINUTE).files), default=sealed_ms)
    left = loose(after, min(sealed_ms, newest_ms) - min(BLOCK_SIZES) * MINUTE)
    assert left == []
    assert all(build.last_ms <= newest_ms or build.retired for build in builds), "a block is named beyond the data"


def test_a_window_shorter_than_the_sealing_time_retires_nothing_unsealed() -> None:
    place_ms = NOON - NOON % (max(BLOCK_SIZES) * MINUTE) + max(BLOCK_SIZES) * MINUTE
    files = [made("stream", place_ms - MINUTE, 0, 1), made("stream", place_ms, 0, 1)]
    builds = plan(files, interval_ms=MINUTE, sealed_ms=place_ms - SEALING * MINUTE, window_ms=place_ms)
    assert all(build.last_ms <= place_ms - SEALING * MINUTE for build in builds)


def test_a_clock_that_is_a_thousand_years_ahead_costs_nothing() -> None:
    files = [made("stream", NOON, NOON, 1)]
    builds = plan(files, interval_ms=MINUTE, sealed_ms=NOON + 1000 * 365 * 1440 * MINUTE, window_ms=NOON - MINUTE)
    assert builds == []
