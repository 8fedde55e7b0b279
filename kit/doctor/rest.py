"""The exchange by REST: does it answer, what time is it there, what may be asked, which symbols has the market."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from kit.budget import Snapshot
from kit.config import MarketConfig
from kit.dialect.hosts import Host
from kit.dialect.rest import ClockOffset, RestClient, budget_of
from kit.dialect.symbols import ExchangeInfo, select, trades
from kit.doctor.finding import Finding, ok, warning, wrong
from kit.errors import BmacError, FolderError, RateLimitedError, StopError
from kit.exchange_clock import is_off, off_words
from kit.times import host_of_market
from kit.words import from_ms

CONNECT_WITHIN = timedelta(seconds=5)
WEIGHT_WITHIN_MS = 5_000
LONGEST_TURN_MS = 2_000
SLOW_MS = 1_000
"""A period asks some hundred times when a connection was lost; eight at once, a second each, are tens of seconds."""
MUCH_WEIGHT = 0.8
BLOCKED = (
    "check network, DNS, firewall and proxy; where this address is blocked, set `proxy` or `endpoints` in config.json"
)


@dataclass
class RestReport:
    """What was found; ``symbols`` are those of the market that trade now, None when nobody could say."""

    findings: list[Finding] = field(default_factory=list)
    symbols: tuple[str, ...] | None = None


async def check_rest(config: MarketConfig) -> RestReport:
    """Ask for the time and for the exchange info, as the services do and within the same budget of weight."""
    host = host_of_market(config)
    report = RestReport()
    timeout = min(config.http_timeout, CONNECT_WITHIN)
    try:
        with closing(budget_of(host)) as budget:
            async with RestClient(host, budget, proxy=config.proxy, timeout=timeout) as client:
                clock = await _ask_for_clock(client)
                report.findings += [judge_answer(host, clock), judge_clock(clock)]
                info = await client.exchange_info(deadline_ms=budget.now_ms() + WEIGHT_WITHIN_MS)
            report.findings.append(judge_weight(budget.snapshot(), info))
        report.symbols, finding = judge_symbols(config, info)
        report.findings.append(finding)
    except BmacError as error:
        report.findings.append(judge_error(host, error))
    return report


async def _ask_for_clock(client: RestClient) -> ClockOffset:
    """The exchange's time. While it is not known nobody asks right after the turn of a minute: then wait that out."""
    try:
        return await client.clock_offset()
    except RateLimitedError as error:
        wait_ms = error.until_ms - client.budget.now_ms()
        if wait_ms > LONGEST_TURN_MS:
            raise
        await asyncio.sleep(max(0, wait_ms) / 1000)
        return await client.clock_offset()


def judge_error(host: Host, error: BmacError) -> Finding:
    """Why it could not be asked."""
    name = urlsplit(host.rest).netloc
    if isinstance(error, StopError):
        todo = "wait; nothing here asks before. Find out what else asks from this address"
        return wrong("REST", f"{name} has told us to stop until {from_ms(error.until_ms):%Y-%m-%d %H:%M:%SZ}", todo)
    if isinstance(error, FolderError):
        return wrong("REST", str(error), "the weight budget is kept in BMAC_STATE_DIR: make it writable for this user")
    seen, _, check = str(error).partition("; check ")  # what cannot be reached says itself what to look at
    return wrong("REST", seen, f"check {check}" if check else BLOCKED)


def judge_answer(host: Host, clock: ClockOffset) -> Finding:
    """It answers: how fast?"""
    seen = f"{urlsplit(host.rest).netloc} answers in {clock.round_trip_ms} ms"
    if clock.round_trip_ms < SLOW_MS:
        return ok("REST", seen)
    return warning("REST", seen, "a nearer machine or proxy: filling holes takes as long")


def judge_clock(clock: ClockOffset) -> Finding:
    """Is this machine's clock right?"""
    if not is_off(clock.offset_ms, was_off=False):
        return ok("clock", f"within {abs(clock.offset_ms)} ms of the exchange's")
    return warning("clock", off_words(clock.offset_ms), "let NTP set it; periods go by the exchange's all the same")


def judge_weight(budget: Snapshot, info: ExchangeInfo) -> Finding:
    """May we ask, and how much is left of this minute?"""
    told = "as the exchange told" if info.weight_limit is not None else "assumed: the exchange told none"
    seen = f"{budget.used} of {budget.limit} used in this minute ({told}), shared by all of pool {budget.pool}"
    if budget.used <= MUCH_WEIGHT * budget.limit:
        return ok("weight", seen)
    return warning("weight", seen, "filling waits for the next minute; does another program ask from this address?")


def judge_symbols(config: MarketConfig, info: ExchangeInfo) -> tuple[tuple[str, ...], Finding]:
    """Which of the market's symbols trade?"""
    selection = select(config.trade_type, info.symbols, config.keep_symbols, config.exclude_symbols)
    trading = tuple(each.symbol for each in selection.symbols if trades(each))
    seen = f"{len(trading)} of {config.trade_type} trade"
    if not trading:
        return trading, wrong("symbols", seen, "check trade_type, keep_symbols and exclude_symbols in config.json")
    if selection.unknown_keep:
        names = ", ".join(selection.unknown_keep[:5])
        return trading, warning("symbols", f"{seen}; unknown here: {names}", "check keep_symbols in config.json")
    return trading, ok("symbols", seen)
