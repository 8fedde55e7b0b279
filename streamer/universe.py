"""Which symbols a market streams now: the exchange info on disk decides, the flow keeps that fresh.

A symbol that stops trading keeps its stream until the candle that was open then has come: REST refuses it from that
moment on, so there is no other way to its last candle.

The one REST call of the streamer is here too: the first exchange info, when nobody has stored one yet.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import structlog

from kit.buffer.exchange_info import ExchangeInfoStore
from kit.dialect.symbols import SymbolInfo, select, trades
from kit.errors import ExchangeError, FolderError
from kit.words import LAST_MS, utc_now

if TYPE_CHECKING:
    from kit.buffer.layout import Folder
    from kit.config import MarketConfig
    from kit.dialect.hosts import Host
    from kit.words import Interval
    from streamer.timing import Timing

FETCH_WITHIN_S = 60.0  # how long the one REST call may wait for its turn in the weight budget
FRESH_S = 2.0  # file systems stamp folders coarsely: one changed so recently may have changed again unseen

Rows = Sequence[Mapping[str, Any]]

logger = structlog.stdlib.get_logger(__name__)


def streamed(config: MarketConfig, rows: Rows) -> frozenset[str]:
    """The symbols of the market that stream klines now.

    Raises:
        BadAnswerError: a stored row is not one of a symbol.
    """
    infos = [SymbolInfo.from_dict({key: value for key, value in row.items() if value is not None}) for row in rows]
    selection = select(config.trade_type, infos, config.keep_symbols, config.exclude_symbols)
    if selection.unknown_keep:
        logger.warning("symbols.unknown", trade_type=config.trade_type, keep_symbols=selection.unknown_keep)
    return frozenset(info.symbol for info in selection.symbols if trades(info))


def leaves_at(delivery_ms: int | None, noticed_ms: int, interval: Interval, slack_s: float) -> int:
    """Until when to stay subscribed to a symbol that was found not to trade (the exchange's clock, milliseconds).

    Until the close of the candle that was open when it stopped, and ``slack_s`` for the final to come. It stopped when
    that was noticed, or at its delivery if that was earlier: after it the exchange would go on with flat candles.
    """
    stopped_ms = min(noticed_ms, (delivery_ms or LAST_MS) - 1)
    return stopped_ms // interval.ms * interval.ms + interval.ms + int(slack_s * 1000)


class Members:
    """A market's symbols: those that trade, and for a while those that have just stopped. Pure."""

    def __init__(self, interval: Interval, slack_s: float) -> None:
        self.trading: frozenset[str] | None = None
        self._interval = interval
        self._slack_s = slack_s
        self._leaves_at: dict[str, int] = {}

    def now_trading(self, symbols: frozenset[str], delivery_ms: Mapping[str, int | None], now_ms: int) -> None:
        """These trade now. ``delivery_ms``: the deliveries of all symbols that are known."""
        for symbol in (self.trading or frozenset()) - symbols:
            self._leaves_at[symbol] = leaves_at(delivery_ms.get(symbol), now_ms, self._interval, self._slack_s)
        for symbol in symbols & self._leaves_at.keys():
            del self._leaves_at[symbol]
        self.trading = symbols

    def leaving(self, now_ms: int) -> frozenset[str]:
        """Those that have stopped, and whose last candle may still come."""
        self._leaves_at = {symbol: at_ms for symbol, at_ms in self._leaves_at.items() if at_ms > now_ms}
        return frozenset(self._leaves_at)


class ExchangeInfoOnDisk:
    """The newest exchange info of a folder, noticed by the folder's time stamp: one stat a look."""

    def __init__(self, folder: Folder) -> None:
        self._store = ExchangeInfoStore(folder)
        self._path = folder.exchange_info
        self._stamp = -1
        self._version = ""

    def changed(self) -> Rows | None:
        """The rows when they are newer than at the last call, else None. Blocks for the disk.

        At the first call what is damaged is passed over for what is older: it may be all there is for hours. Later
        what was read stays.

        Raises:
            OSError, ValueError: the file cannot be read; the next call tries again.
        """
        try:
            stamp = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if stamp == self._stamp and time.time() - stamp / 1e9 > FRESH_S:
            return None
        versions = self._store.versions()
        rows = None
        if versions and versions[-1].name != self._version:
            rows = self._store.read(versions[-1]) if self._version else self._store.latest()
            self._version = versions[-1].name
        self._stamp = stamp
        return rows

    def save(self, rows: Rows) -> None:
        """Store the first exchange info. OSError when the disk refuses."""
        self._store.save(rows, utc_now())


class FirstExchangeInfo:
    """Fetches a venue's exchange info once, for all markets of the process that lack it at their start."""

    def __init__(self, fetch: Callable[[MarketConfig, Host], Awaitable[Rows]]) -> None:
        self._fetch = fetch
        self._locks: dict[tuple[Host, str | None], asyncio.Lock] = {}
        self._rows: dict[tuple[Host, str | None], Rows] = {}

    async def get(self, config: MarketConfig, host: Host) -> Rows:
        """The rows. ExchangeError: it could not be had; asking again asks the exchange again."""
        key = (host, config.proxy)
        async with self._locks.setdefault(key, asyncio.Lock()):
            if key not in self._rows:
                self._rows[key] = await self._fetch(config, host)
            return self._rows[key]


async def fetch_exchange_info(config: MarketConfig, host: Host) -> Rows:
    """All symbols of the venue as plain rows, by REST. ExchangeError or FolderError: they could not be had."""
    # Not needed on most starts, and 10 MB heavy: imported when it is.
    from kit.dialect.rest import RestClient, budget_of  # noqa: PLC0415

    # With a limit, so that a ban is told by an error instead of being waited out in silence.
    with closing(budget_of(host)) as budget:
        deadline_ms = budget.now_ms() + int(FETCH_WITHIN_S * 1000)
        async with RestClient(host, budget, proxy=config.proxy, timeout=config.http_timeout) as client:
            info = await client.exchange_info(deadline_ms=deadline_ms)
    return [symbol.to_dict() for symbol in info.symbols]


async def follow(
    config: MarketConfig,
    host: Host,
    folder: Folder,
    *,
    first: FirstExchangeInfo,
    tell: Callable[[frozenset[str], frozenset[str]], None],
    now_ms: Callable[[], int],
    timing: Timing,
) -> None:
    """Call ``tell`` with the market's symbols and those that are leaving whenever they change, for ever.

    ``now_ms``: the exchange's clock.
    """
    log = logger.bind(market=folder.candles.name)
    disk = ExchangeInfoOnDisk(folder)
    members = Members(config.interval, timing.leaving_slack_s)
    told: tuple[frozenset[str], frozenset[str]] | None = None
    fetch_at, failures, problem = 0.0, 0, ""
    while True:
        try:
            rows = await asyncio.to_thread(disk.changed)
            if rows is not None:
                symbols, before = streamed(config, rows), members.trading
                members.now_trading(symbols, {row["symbol"]: row.get("delivery_ms") for row in rows}, now_ms())
                if symbols != before:
                    log.info("market.symbols", count=len(symbols), **_difference(before, symbols))
                problem = ""
            elif told is None and time.monotonic() >= fetch_at:
                await asyncio.to_thread(disk.save, await first.get(config, host))
                log.info("exchange_info.fetched")
                continue
        except (ExchangeError, FolderError, OSError, ValueError) as error:
            wait_s = _retry_wait(failures, timing)
            if told is None:
                failures, fetch_at = failures + 1, time.monotonic() + wait_s
            if told is None or str(error) != problem:
                event = "exchange_info.unavailable" if isinstance(error, ExchangeError) else "exchange_info.unreadable"
                log.warning(event, error=str(error), next_try_s=round(wait_s, 1), streaming=told is not None)
            problem = str(error)
        if members.trading is not None and told != (now := (members.trading, members.leaving(now_ms()))):
            tell(*now)
            told = now
        await asyncio.sleep(timing.look_every_s)


def _retry_wait(failures: int, timing: Timing) -> float:
    ceiling = min(timing.fetch_retry_first_s * 2.0**failures, timing.fetch_retry_cap_s)
    return random.uniform(ceiling / 2, ceiling)


def _difference(old: frozenset[str] | None, new: frozenset[str]) -> dict[str, list[str]]:
    if old is None:
        return {}
    return {"listed": sorted(new - old)[:20], "delisted": sorted(old - new)[:20]}
