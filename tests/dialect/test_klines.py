from __future__ import annotations

import contextlib
import json
import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.dialect.hosts import host_of
from kit.dialect.klines import (
    ClosedKline,
    Control,
    ControlKind,
    FrameError,
    decode_frame,
    decode_rows,
    kline_weight,
    plan_pages,
    stream_name,
    stream_of_frame,
)
from kit.errors import BadAnswerError
from kit.words import Candle, Interval, Venue
from tests.dialect.recorded import recorded, recorded_lines

MINUTE = 60_000
BEGIN = 1_795_348_800_000


def row(**changes: object) -> list[object]:
    values: dict[str, object] = {
        "begin": BEGIN,
        "open": "0.01634790",
        "high": "0.80000000",
        "low": "0.01575800",
        "close": "0.01577100",
        "volume": "148976.11427815",
        "end": BEGIN + MINUTE - 1,
        "quote": "2434.19055334",
        "trades": 308,
        "taker_base": "1756.87402397",
        "taker_quote": "28.46694368",
        "ignore": "0",
    }
    return list((values | changes).values())


def body(*rows: list[object]) -> bytes:
    return json.dumps(rows).encode()


def kline(**changes: object) -> dict[str, object]:
    values = {"t": BEGIN, "T": BEGIN + MINUTE - 1, "s": "BTCUSDT", "i": "1m", "f": 1, "L": 9, "o": "1.0", "c": "1.5"}
    rest = {"h": "2.0", "l": "0.5", "v": "10", "n": 9, "x": True, "q": "15.5", "V": "4", "Q": "6.25", "B": "0"}
    return {"e": "kline", "E": BEGIN + MINUTE + 500, "s": "BTCUSDT", "k": values | rest | changes}


def combined(event: dict[str, object]) -> bytes:
    return json.dumps({"stream": "btcusdt@kline_1m", "data": event}).encode()


CANDLE = Candle("BTCUSDT", BEGIN, 1.0, 2.0, 0.5, 1.5, 10.0, 15.5, 9, 4.0, 6.25)


# Names, weights, pages


def test_only_ascii_letters_of_a_stream_name_become_small():
    assert stream_name("BTCUSDT", Interval.M1) == "btcusdt@kline_1m"
    assert stream_name("币安人生USDT", Interval.H1) == "币安人生usdt@kline_1h"
    assert stream_name("ÄİUSD_PERP", Interval.D1) == "Äİusd_perp@kline_1d"


@pytest.mark.parametrize(
    ("limit", "weight"), [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10), (1500, 10)]
)
def test_futures_weigh_by_the_limit(limit: int, weight: int):
    assert kline_weight(Venue.UM, limit) == kline_weight(Venue.CM, limit) == weight


def test_spot_weighs_two_whatever_the_limit():
    assert kline_weight(Venue.SPOT, 1) == kline_weight(Venue.SPOT, 1000) == 2


def test_1500_rows_of_futures_weigh_seven():
    pages = plan_pages(Venue.UM, Interval.M1, BEGIN, BEGIN + 1499 * MINUTE)
    assert [page.limit for page in pages] == [499, 499, 499, 3]
    assert sum(page.weight for page in pages) == 7


def test_1500_rows_of_spot_are_two_requests():
    assert [page.limit for page in plan_pages(Venue.SPOT, Interval.M1, BEGIN, BEGIN + 1499 * MINUTE)] == [1000, 500]


def test_coin_margined_days_come_in_pages_of_200():
    day = Interval.D1.ms
    pages = plan_pages(Venue.CM, Interval.D1, 0, 499 * day)
    assert [page.limit for page in pages] == [200, 200, 100]
    assert all(page.end_ms - page.start_ms <= 200 * day for page in pages)


def test_one_candle_is_one_row_and_the_next_stays_outside():
    (page,) = plan_pages(Venue.UM, Interval.M5, BEGIN, BEGIN)
    assert (page.start_ms, page.end_ms, page.limit, page.weight) == (BEGIN, BEGIN + 5 * MINUTE - 1, 1, 1)


def test_nothing_wanted_is_no_request():
    assert plan_pages(Venue.UM, Interval.M1, BEGIN, BEGIN - MINUTE) == []


@given(st.sampled_from(Venue), st.sampled_from(Interval), st.integers(0, 10_000), st.integers(1, 10_000))
def test_pages_cover_every_candle_once_newest_first_within_the_rules(
    venue: Venue, interval: Interval, first: int, rows: int
):
    host = host_of(venue)
    pages = plan_pages(venue, interval, first * interval.ms, (first + rows - 1) * interval.ms)
    begins = [begin for page in pages for begin in range(page.start_ms, page.end_ms, interval.ms)[::-1]]
    assert begins == [number * interval.ms for number in range(first, first + rows)][::-1]
    assert all(1 <= page.limit <= host.max_page_rows for page in pages)
    assert all(page.limit == len(range(page.start_ms, page.end_ms, interval.ms)) for page in pages)
    assert all(page.weight == kline_weight(venue, page.limit) for page in pages)
    if venue is Venue.UM:
        assert sum(page.weight for page in pages) == least_weight(rows)


def least_weight(rows: int) -> int:
    """The cheapest way to fetch rows on USD-M by trying all mixtures of the best page sizes (99, 499)."""
    return min(2 * big + max(0, -(-(rows - 499 * big) // 99)) for big in range(-(-rows // 499) + 1))


# REST rows


def test_a_row_is_a_candle():
    (candle,) = decode_rows(Venue.UM, "ABC", body(row()))
    assert candle == Candle(
        "ABC",
        BEGIN,
        0.0163479,
        0.8,
        0.015758,
        0.015771,
        148976.11427815,
        2434.19055334,
        308,
        1756.87402397,
        28.46694368,
    )


def test_microseconds_become_milliseconds():
    assert decode_rows(Venue.SPOT, "ABC", body(row(begin=BEGIN * 1000)))[0].begin_ms == BEGIN


def test_more_columns_and_none_of_the_unused_one_are_tolerated():
    assert len(decode_rows(Venue.UM, "ABC", body([*row(), "new", 1], row()[:11]))) == 2


decimals = st.decimals(min_value=0, max_value=10**15, allow_nan=False, allow_infinity=False)
texts = st.one_of(
    decimals.map(lambda number: f"{number:f}"),
    st.floats(min_value=0, allow_infinity=False, allow_nan=False).map(lambda number: f"{Decimal(number):f}"[:60]),
    st.from_regex(r"(0|[1-9][0-9]{0,17})\.[0-9]{1,30}", fullmatch=True),
).filter(lambda text: not text.startswith("-"))


@given(texts)
def test_a_decimal_text_becomes_the_same_float_to_the_bit(text: str):
    (candle,) = decode_rows(Venue.UM, "ABC", body(row(open=text, taker_quote=text)))
    frame = decode_frame(combined(kline(o=text, Q=text)))
    assert isinstance(frame, ClosedKline)
    for number in (candle.open, candle.taker_buy_quote_asset_volume, frame.candle.open):
        assert struct.pack("d", number) == struct.pack("d", float(text))


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"<html>",
        b"{}",
        b"null",
        b'[["a"]]',
        b"[[1,2]]",
        b"[1]",
        b"[" * 100_000,
        b'[["\xff"]]',
        body(row(open="nan")),
        body(row(close="inf")),
        body(row(low="1e999")),
        body(row(open="")),
        body(row(open=None)),
        body(row(open="1_0")),
        body(row(open=True)),
        body(row(volume="-1")),
        body(row(volume="nan")),
        body(row(quote="-0.1")),
        body(row(taker_base="inf")),
        body(row(taker_quote="-3")),
        body(row(trades=-1)),
        body(row(trades=2**63)),
        body(row(trades="x")),
        body(row(begin=-1)),
        body(row(begin=10**18)),
        body(row(begin=1.5)),
        body(row(), row()[:8]),
    ],
)
def test_rows_that_cannot_be_believed_are_a_bad_answer(bad: bytes):
    with pytest.raises(BadAnswerError):
        decode_rows(Venue.UM, "ABC", bad)


@pytest.mark.parametrize("name", ["Spot", "UsdFutures", "CoinFutures"])
def test_the_documents_rows_are_read(name: str):
    (candle,) = decode_rows(Venue.UM, "ABC", recorded(f"doc_derived/{name}_ExchangeData_GetKlines.json"))
    assert candle.trade_num in (308, 48)


def test_rows_of_the_archive_in_either_unit_are_read():
    for name in ("2024-12", "2025-01"):
        lines = recorded(f"archive/spot_BTCUSDT-1h-{name}.csv").decode().split()
        rows = [
            [int(cells[0]), *cells[1:6], int(cells[6]), cells[7], int(cells[8]), *cells[9:]] for cells in split(lines)
        ]
        begins = [candle.begin_ms for candle in decode_rows(Venue.SPOT, "BTCUSDT", body(*rows))]
        assert begins == list(range(begins[0], begins[0] + len(rows) * Interval.H1.ms, Interval.H1.ms))


def split(lines: list[str]) -> list[list[str]]:
    return [line.split(",") for line in lines]


# Frames


def test_a_closed_candle_is_read_from_both_envelopes():
    expected = ClosedKline(CANDLE, "1m", BEGIN + MINUTE + 500)
    assert decode_frame(combined(kline())) == expected
    assert decode_frame(json.dumps(kline()).encode()) == expected


@pytest.mark.parametrize("blank", [b"", b" ", b"  \t"])
def test_an_open_candle_is_none_whatever_the_blanks_and_is_never_decoded(blank: bytes):
    assert decode_frame(b'{"e":"kline","k":{"x"' + blank + b":" + blank + b"false, torn") is None


def test_a_closed_candle_may_have_blanks_and_unknown_fields():
    event = kline(new={"x": 1}) | {"st": 1, "ps": "BTCUSDT"}
    frame = json.dumps({"data": event, "stream": "s", "more": [1]}, separators=(" , ", "  : ")).encode()
    assert isinstance(decode_frame(frame), ClosedKline)


def test_a_frame_in_microseconds_is_read_as_milliseconds():
    event = kline(t=BEGIN * 1000) | {"E": (BEGIN + MINUTE) * 1000}
    assert decode_frame(combined(event)) == ClosedKline(CANDLE, "1m", BEGIN + MINUTE)


def test_a_symbol_may_be_chinese():
    frame = json.dumps(kline(s="币安人生USDT"), ensure_ascii=False).encode()
    closed = decode_frame(frame)
    assert isinstance(closed, ClosedKline)
    assert closed.candle.symbol == "币安人生USDT"


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ('{"result":null,"id":1}', Control(ControlKind.ACK, 1)),
        ('{"result":["a@kline_1m"],"id":"x"}', Control(ControlKind.SUBSCRIPTIONS, "x", streams=("a@kline_1m",))),
        ('{"code":2,"msg":"Invalid"}', Control(ControlKind.ERROR, None, 2, "Invalid")),
        ('{"code":2,"msg":"Invalid","id":7}', Control(ControlKind.ERROR, 7, 2, "Invalid")),
        ('{"error":{"code":3,"msg":"Bad"},"id":4}', Control(ControlKind.ERROR, 4, 3, "Bad")),
        ('{"e":"serverShutdown","E":5}', Control(ControlKind.SHUTDOWN, event="serverShutdown", event_ms=5)),
        (
            '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":5}}',
            Control(ControlKind.SHUTDOWN, event="serverShutdown", event_ms=5),
        ),
        ('{"e":"contractInfo","E":6,"s":"X"}', Control(ControlKind.OTHER, event="contractInfo", event_ms=6)),
        ('{"stream":"!ticker@arr","data":[{"e":"t"}]}', Control(ControlKind.OTHER, event="!ticker@arr")),
        ('{"stream":"new","data":{"z":1}}', Control(ControlKind.OTHER, event="new")),
    ],
)
def test_frames_about_the_connection_are_told_apart(frame: str, expected: Control):
    assert decode_frame(frame.encode()) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"o": "nan"},
        {"h": "inf"},
        {"v": "-1"},
        {"n": -1},
        {"n": 2**70},
        {"t": -1},
        {"t": 10**18},
        {"t": "x"},
        {"s": None},
        {"x": None},
        {"i": 5},
    ],
)
def test_a_closed_candle_that_cannot_be_believed_is_a_frame_error(changes: dict[str, object]):
    with pytest.raises(FrameError):
        decode_frame(combined(kline(**changes)))


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"5", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"e":' * 9, b'{"id":1}']
)
def test_garbage_is_a_frame_error(raw: bytes):
    with pytest.raises(FrameError):
        decode_frame(raw)


def only_frame_errors(raw: bytes) -> None:
    with contextlib.suppress(FrameError):
        decode_frame(raw)
    stream_of_frame(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_are_a_frame_error(raw: bytes):
    only_frame_errors(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("eEkdsxtonid"), inner, max_size=4),
    max_leaves=8,
)
KEYS = ["stream", "data", "e", "E", "k", "result", "id", "code", "msg", "error"]


@given(st.dictionaries(st.sampled_from(KEYS), json_values | st.just("kline")))
def test_any_json_of_our_keys_is_read_or_is_a_frame_error(frame: dict[str, object]):
    only_frame_errors(json.dumps(frame).encode())


@given(st.sampled_from([*kline()["k"]]), json_values, st.integers(0, 600), st.binary(max_size=3))
def test_a_spoiled_kline_is_read_or_is_a_frame_error(key: str, value: object, at: int, junk: bytes):
    raw = combined(kline(**{key: value}))
    only_frame_errors(raw)
    only_frame_errors(raw[:at] + junk + raw[at:])
    only_frame_errors(raw[:at])


def test_the_stream_of_a_frame_is_found_without_decoding_it():
    assert stream_of_frame(combined(kline(x=False))) == "btcusdt@kline_1m"
    assert stream_of_frame('{"stream":"币安usdt@kline_1m", torn'.encode()) == "币安usdt@kline_1m"
    assert stream_of_frame(json.dumps(kline()).encode()) is None


@pytest.mark.parametrize(
    ("name", "closed"),
    [("um/ws_combined_um_2021", 4), ("cm/ws_combined_cm_2021", 0), ("spot/ws_combined_spot_2021", 0)],
)
def test_recorded_frames_are_read_and_agree_with_their_text(name: str, closed: int):
    frames = [line["raw"] for line in recorded_lines(f"{name}_kline_only.recv.jsonl")]
    read = [decode_frame(frame.encode()) for frame in frames]
    events = [json.loads(frame)["data"] for frame in frames]
    assert sum(each is not None for each in read) == closed
    for event, each in zip(events, read, strict=True):
        k = event["k"]
        assert (each is None) is not k["x"]
        if isinstance(each, ClosedKline):
            prices = tuple(float(k[key]) for key in "ohlcvq")
            takers = (float(k["V"]), float(k["Q"]))
            assert each == ClosedKline(Candle(k["s"], k["t"], *prices, k["n"], *takers), "1m", event["E"])


def test_a_final_is_the_whole_candle_though_its_stream_was_subscribed_in_the_middle_of_it():
    """The recording begins 41 s into a minute: each final has all trades from its candle's first to the one before the
    next candle's first."""
    lines = recorded_lines("um/ws_combined_um_2021_kline_only.recv.jsonl")
    frames = [json.loads(line["raw"])["data"] for line in lines]
    klines = [frame["k"] for frame in frames]
    assert min(frame["E"] - frame["k"]["t"] for frame in frames if frame["k"]["t"] == klines[0]["t"]) > 41_000
    finals = [kline for kline in klines if kline["x"]]
    assert len(finals) == 4
    for final in finals:
        following = [kline for kline in klines if kline["s"] == final["s"] and kline["t"] == final["T"] + 1]
        assert final["n"] == final["L"] - final["f"] + 1
        assert {kline["f"] for kline in following} == {final["L"] + 1}


def test_recorded_control_frames_are_read():
    kinds = [
        decode_frame(json.dumps(line).encode()).kind.value
        for line in recorded_lines("errors/ws_control_frames_doc.jsonl")
    ]
    assert kinds == ["ack", "error", "error", "error", "shutdown", "shutdown"]
