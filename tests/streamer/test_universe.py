"""The exchange info on disk decides what is streamed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.layout import Folder
from kit.config import parse_config
from kit.dialect.hosts import host_of
from kit.dialect.symbols import SymbolInfo
from kit.errors import UnreachableError
from kit.words import Interval, TradeType, Venue, utc_now
from streamer.timing import Timing
from streamer.universe import FirstExchangeInfo, Members, follow, leaves_at, streamed
from tests.builders import MINUTE, NOON
from tests.streamer.exchange_double import eventually

if TYPE_CHECKING:
    from pathlib import Path

QUICK = Timing(look_every_s=0.02, fetch_retry_first_s=0.01, fetch_retry_cap_s=0.02)


def row(symbol: str, status: str = "TRADING", contract_type: str = "PERPETUAL"):
    base = symbol.removesuffix("USDT")
    return SymbolInfo(
        venue="um", symbol=symbol, status=status, base_asset=base, quote_asset="USDT", contract_type=contract_type
    ).to_dict()


@pytest.fixture
def config(tmp_path: Path):
    return parse_config(tmp_path, {"interval": "1m", "trade_type": "usdt_perp", "exclude_symbols": ["XUSDT"]})


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    place = Folder(tmp_path, TradeType.USDT_PERP, Interval.M1)
    place.open_for_writing()
    return place


class Told:
    """What ``follow`` told, and what the exchange answered it."""

    def __init__(self, *answers) -> None:
        self.symbols: list[frozenset[str]] = []
        self.leaving: list[frozenset[str]] = []
        self.now_ms = NOON
        self.answers = list(answers)
        self.asked = 0

    def tell(self, symbols: frozenset[str], leaving: frozenset[str]) -> None:
        self.symbols.append(symbols)
        self.leaving.append(leaving)

    async def fetch(self, _config, _host):
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def follow_until(self, config, folder, condition) -> None:
        host = host_of(Venue.UM)
        first = FirstExchangeInfo(self.fetch)
        following = follow(config, host, folder, first=first, tell=self.tell, now_ms=lambda: self.now_ms, timing=QUICK)
        task = asyncio.create_task(following)
        try:
            await eventually(lambda: task.done() or condition())
        finally:
            task.cancel()
            await asyncio.wait({task})


def test_only_what_trades_belongs_and_is_not_excluded_is_streamed(config):
    rows = [row("AUSDT"), row("BUSDT", "SETTLING"), row("CUSDT", contract_type="TRADIFI_PERPETUAL"), row("XUSDT")]
    assert streamed(config, rows) == {"AUSDT"}


async def test_what_is_on_disk_is_used_and_the_exchange_not_asked(config, folder):
    ExchangeInfoStore(folder).save([row("AUSDT"), row("龙虾USDT")], utc_now())
    told = Told()
    await told.follow_until(config, folder, lambda: told.symbols)
    assert told.symbols == [{"AUSDT", "龙虾USDT"}]
    assert told.asked == 0


async def test_without_any_the_exchange_is_asked_until_it_answers_and_the_answer_kept(config, folder):
    told = Told(UnreachableError("no"), UnreachableError("no"), [row("AUSDT")])
    await told.follow_until(config, folder, lambda: told.symbols)
    assert (told.symbols, told.asked) == ([{"AUSDT"}], 3)
    assert [kept["symbol"] for kept in ExchangeInfoStore(folder).latest() or ()] == ["AUSDT"]


async def test_listings_and_delistings_are_followed(config, folder):
    store, told = ExchangeInfoStore(folder), Told()
    store.save([row("AUSDT"), row("BUSDT")], utc_now())

    def changed() -> bool:
        if len(told.symbols) == 1:
            store.save([row("AUSDT"), row("BUSDT", "SETTLING"), row("CUSDT")], utc_now())
        return len(told.symbols) == 2

    await told.follow_until(config, folder, changed)
    assert told.symbols == [{"AUSDT", "BUSDT"}, {"AUSDT", "CUSDT"}]


async def test_an_unreadable_file_leaves_the_streams_as_they_are(config, folder):
    store, told = ExchangeInfoStore(folder), Told()
    store.save([row("AUSDT")], utc_now())
    torn = folder.exchange_info / "29991231T000000Z.parquet"

    def torn_then_mended() -> bool:
        if len(told.symbols) == 1 and not torn.exists():
            torn.write_bytes(b"not parquet")
            asyncio.get_running_loop().call_later(0.2, mend)
        return len(told.symbols) == 2

    def mend() -> None:
        assert told.symbols == [{"AUSDT"}]
        torn.unlink()
        store.save([row("AUSDT"), row("BUSDT")], utc_now())

    await told.follow_until(config, folder, torn_then_mended)
    assert told.symbols == [{"AUSDT"}, {"AUSDT", "BUSDT"}]


@pytest.mark.parametrize("sound", [True, False])
async def test_a_start_with_a_damaged_newest_file_goes_by_the_one_before_it_or_asks_the_exchange(config, folder, sound):
    told = Told([row("AUSDT")])
    if sound:
        ExchangeInfoStore(folder).save([row("AUSDT")], utc_now())
    (folder.exchange_info / "29991231T000000Z.parquet").write_bytes(b"not parquet")
    await told.follow_until(config, folder, lambda: told.symbols)
    assert told.symbols == [{"AUSDT"}]
    assert told.asked == (0 if sound else 1)


async def test_a_symbol_that_stops_is_kept_until_the_candle_that_was_open_has_come(config, folder):
    store, told = ExchangeInfoStore(folder), Told()
    told.now_ms = NOON + 20_000
    store.save([row("AUSDT"), row("BUSDT")], utc_now())

    def left() -> bool:
        if len(told.symbols) == 1:
            store.save([row("AUSDT"), row("BUSDT", "SETTLING")], utc_now())
        if len(told.symbols) == 2:
            assert told.leaving[-1] == {"BUSDT"}
            told.now_ms = NOON + MINUTE + 10_000
        return len(told.symbols) == 3

    await told.follow_until(config, folder, left)
    assert told.symbols[1:] == [{"AUSDT"}, {"AUSDT"}]
    assert told.leaving == [set(), {"BUSDT"}, set()]


@pytest.mark.parametrize(("interval", "delivery_ms", "noticed_ms", "until_ms"), [
    (Interval.M1, None, NOON + 5_000, NOON + MINUTE),
    (Interval.M1, 4_133_404_800_000, NOON + 5_000, NOON + MINUTE),
    (Interval.M1, NOON + MINUTE, NOON + 5_000, NOON + MINUTE),  # it trades to the end of the minute
    (Interval.M1, NOON, NOON + 5_000, NOON),  # it ended with the candle before, and what would follow is flat
    (Interval.M1, NOON - 90_000, NOON + 5_000, NOON - MINUTE),
    (Interval.H1, None, NOON + 5_000, NOON + 60 * MINUTE),
])  # fmt: skip
def test_it_leaves_some_seconds_after_the_close_of_its_last_candle(interval, delivery_ms, noticed_ms, until_ms):
    assert leaves_at(delivery_ms, noticed_ms, interval, 10.0) == until_ms + 10_000


def test_one_that_trades_again_is_not_leaving():
    members = Members(Interval.M1, 10.0)
    for symbols in ({"AUSDT", "BUSDT"}, {"AUSDT"}):
        members.now_trading(frozenset(symbols), {}, NOON)
    assert members.leaving(NOON) == {"BUSDT"}
    members.now_trading(frozenset({"AUSDT", "BUSDT"}), {}, NOON)
    assert members.leaving(NOON) == frozenset()
    assert members.trading == {"AUSDT", "BUSDT"}
