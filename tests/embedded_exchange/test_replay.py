"""Recorded candles come again to the character, moved in time."""

import zipfile
from decimal import Decimal
from pathlib import Path

import pytest

from kit.embedded_exchange.feeds import Hub
from kit.embedded_exchange.front import Front
from kit.embedded_exchange.replay import load_replays
from kit.embedded_exchange.settings import Finals, Settings
from kit.errors import UnknownWordError
from kit.words import Interval, Venue
from tests.embedded_exchange.builders import HOUR, MINUTE, NOON, front, get, market

OLD = 1_577_836_800_000  # 2020-01-01
REAL = Path(__file__).parents[2].parent / "shared" / "real"
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


def row(index, per_ms=1, trades=10, begin=OLD):
    """One candle of ten or so trades, its numbers different for each index."""
    open_ms = begin + index * MINUTE
    texts = [f"{100 + index}.10000000", f"{105 + index}.00000000", f"{99 + index}.00000000", f"{101 + index}.20000000"]
    close = (open_ms + MINUTE) * per_ms - 1
    return [
        str(open_ms * per_ms),
        *texts,
        "12.50000000",
        str(close),
        "1275.12345678",
        str(trades),
        "6.25000000",
        "640.00000001",
        "0",
    ]


def write(path, rows, header=False):
    lines = [HEADER] * header + [",".join(one) for one in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def settings(*paths):
    return Settings(symbols=4, history_days=30, replay=tuple(paths), finals=Finals("burst"))


def values(rows):
    """What must be the same: everything but the times."""
    return [[str(value) for index, value in enumerate(one) if index not in (0, 6)] for one in rows]


@pytest.mark.parametrize(("header", "per_ms"), [(False, 1), (True, 1), (False, 1000)])
def test_rows_come_to_the_character_with_the_last_one_just_closed(tmp_path, header, per_ms):
    rows = [row(index, per_ms) for index in range(10)]
    path = write(tmp_path / "ETHUSDT-1m-2020-01-01.csv", rows, header)
    now = NOON + 30_000
    desk = front(settings(path), spot=True, now_ms=now)
    _, answered, _ = get(desk, "/api/v3/klines", now, symbol="ETHUSDT", interval="1m", limit=11)
    assert values(answered[:10]) == values(rows)
    assert [one[0] for one in answered] == [NOON + (index - 10) * MINUTE for index in range(11)]
    assert answered[9][6] == NOON - 1


def test_a_zip_is_read_too_and_files_of_one_symbol_move_together(tmp_path):
    first = write(tmp_path / "ETHUSDT-1m-2020-01-01.csv", [row(index) for index in range(5)])
    with zipfile.ZipFile(tmp_path / "ETHUSDT-1m-2020-01-02.zip", "w") as archive:
        lines = "\n".join(",".join(row(index)) for index in range(7, 10))
        archive.writestr("ETHUSDT-1m-2020-01-02.csv", lines)
    desk = front(settings(tmp_path / "ETHUSDT-1m-2020-01-02.zip", first), spot=True)
    _, answered, _ = get(desk, "/api/v3/klines", symbol="ETHUSDT", interval="1m", limit=8, endTime=NOON - 1)
    assert values(answered) == values([row(index) for index in (0, 1, 2, 3, 4, 7, 8, 9)])
    begins = [one[0] for one in answered]
    assert begins == [NOON + (index - 10) * MINUTE for index in (0, 1, 2, 3, 4, 7, 8, 9)]  # the gap stays a gap
    _, oldest, _ = get(desk, "/api/v3/klines", symbol="ETHUSDT", interval="1m", limit=6, startTime=NOON - 10 * MINUTE)
    assert [one[0] for one in oldest] == begins[:6]


def test_larger_intervals_are_aggregates_and_smaller_ones_do_not_exist(tmp_path):
    path = write(tmp_path / "ETHUSDT-1m-2020-01-01.csv", [row(index) for index in range(60)])
    desk = front(settings(path), spot=True)
    _, (hour,), _ = get(desk, "/api/v3/klines", symbol="ETHUSDT", interval="1h", limit=1, endTime=NOON - 1)
    assert hour[1:6] == ["100.10000000", "164.00000000", "99.00000000", "160.20000000", "750.00000000"]
    assert Decimal(hour[7]) == 60 * Decimal("1275.12345678")
    assert get(desk, "/api/v3/klines", symbol="ETHUSDT", interval="1s", limit=5, endTime=NOON - 1)[1] == []


def test_after_the_last_row_the_first_comes_again(tmp_path):
    path = write(tmp_path / "ETHUSDT-1m-2020-01-01.csv", [row(index) for index in range(10)])
    desk = front(settings(path), spot=True)
    _, later, _ = get(
        desk, "/api/v3/klines", NOON + 12 * MINUTE, symbol="ETHUSDT", interval="1m", startTime=NOON, limit=12
    )
    assert values(later) == values([row(index % 10) for index in range(12)])


def test_the_stream_closes_with_the_recorded_row(tmp_path):
    rows = [row(index) for index in range(10)]
    config = settings(write(tmp_path / "ETHUSDT-1m-2020-01-01.csv", rows))
    where = market(config)
    hub = Hub(where, config, lambda client, venue: True, spot=True)
    hub.subscribe("client", "ethusdt@kline_1m", NOON + 100, combined=False)
    hub.subscribe("client", "ethusdt@kline_1s", NOON + 100, combined=False)
    (opened,) = hub.updates(1000, NOON + 30_000)["client"]
    assert b'"n":6,"x":false' in opened
    (final,) = hub.finals(NOON + MINUTE + 10)["client"]
    for text in (*rows[0][1:6], rows[0][7], rows[0][9], rows[0][10], '"n":10,"x":true'):
        assert text.encode() in final


def test_a_replayed_symbol_can_be_delisted(tmp_path):
    where = market(settings(write(tmp_path / "ETHUSDT-1m-2020-01-01.csv", [row(index) for index in range(10)])))
    where.delist(Venue.SPOT, "ETHUSDT", NOON)
    tape = where.tape(where.get(Venue.SPOT, "ETHUSDT"))
    assert tape.bars(MINUTE, NOON, NOON + HOUR).begin_ms.tolist() == [NOON]


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(UnknownWordError, match="symbol"):
        market(settings(write(tmp_path / "NOPEUSDT-1m-2020-01-01.csv", [row(0)])))
    with pytest.raises(UnknownWordError, match="interval"):
        market(settings(write(tmp_path / "ETHUSDT.csv", [row(0)])))
    with pytest.raises(ValueError, match="no rows"):
        market(settings(write(tmp_path / "ETHUSDT-1m-2020-01-01.csv", [])))
    two = [write(tmp_path / f"ETHUSDT-{interval}-2020-01-01.csv", [row(0)]) for interval in ("1m", "5m")]
    with pytest.raises(ValueError, match="other files"):
        load_replays(tuple(two), NOON)


@pytest.mark.skipif(not REAL.exists(), reason="the recorded payloads are not here")
def test_an_original_archive_comes_to_the_character():
    path = REAL / "archive" / "BTCUSDT-1m-2020-01-01.zip"
    with zipfile.ZipFile(path) as archive:
        lines = archive.read(archive.namelist()[0]).decode().split()
    desk = front(settings(path), spot=True)
    _, answered, _ = get(desk, "/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=1000, endTime=NOON - 1)
    assert values(answered) == values([line.split(",") for line in lines[-1000:]])
    hours = REAL / "archive" / "spot_BTCUSDT-1h-2025-01.csv"
    desk = front(settings(hours), spot=True)
    _, answered, _ = get(
        desk, "/api/v3/klines", symbol="BTCUSDT", interval=Interval.H1.value, endTime=NOON - 1, limit=1000
    )
    assert values(answered) == values([line.split(",") for line in hours.read_text().split()])


RECORDED = {
    Venue.SPOT: "spot/exchangeInfo_spot_2021.json",
    Venue.UM: "um/exchangeInfo_um_demo_2026-03-31_nulls_stripped.json",
    Venue.CM: "cm/exchangeInfo_cm_2021.json",
}


@pytest.mark.skipif(not REAL.exists(), reason="the recorded payloads are not here")
def test_recorded_exchange_info_is_served_as_it_is_and_every_symbol_has_candles():
    config = Settings(exchange_info={venue: REAL / path for venue, path in RECORDED.items()}, history_days=3)
    where = market(config)
    for venue, trading in ((Venue.SPOT, 1262), (Venue.UM, None), (Venue.CM, 36)):
        listed = [one for one in where.instruments(venue) if one.status == "TRADING"]
        assert trading in (None, len(listed))
        for instrument in listed[::10]:
            bars = where.tape(instrument).bars(MINUTE, NOON - 5 * MINUTE, NOON - MINUTE)
            assert len(bars) == 5
            assert (bars.quote >= 0).all()
            day = where.tape(instrument).so_far(24 * HOUR, NOON - 12 * HOUR, NOON)
            written = instrument.scales.turnover.text(day.quote)
            assert "-" not in written

    desk = Front(where, config, spot=False)
    symbols = get(desk, "/fapi/v1/exchangeInfo")[1]["symbols"]
    assert "币安人生USDT" in {one["symbol"] for one in symbols}
    assert get(desk, "/fapi/v1/klines", symbol="BTCUSDT_250627", interval="1m")[1]["code"] == -1122
    assert len(get(desk, "/fapi/v1/premiumIndex")[1]) > 600
    assert get(desk, "/fapi/v1/fundingRate")[0] == 200
