"""The period's command and the worker as real processes with wrong wall clocks, beside exchanges with other clocks."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from kit import Market
from kit.embedded_exchange import EmbeddedExchange, Settings
from kit.words import from_ms, to_ms
from tests.clock.programs import DAY, HOUR, configure, ended, program, until
from tests.notify.receiver import Receiver, receiving

pytestmark = pytest.mark.xdist_group("clock")

MINUTE = 60_000
OFFSET_MS = 3_000


@dataclass
class Beside:
    """An exchange with a clock of its own, and a market that follows it. ``asked``: when (its clock), for what."""

    exchange: EmbeddedExchange
    base_dir: Path
    asked: list[tuple[int, str]] = field(default_factory=list)

    async def listen(self) -> None:
        """Note when requests come. They are counted by the exchange, and looked at here a few milliseconds later."""
        while True:
            for request in list(self.exchange.requests)[len(self.asked) :]:
                self.asked.append((self.exchange.clock.now_ms(), request.path.rpartition("/")[2]))
            await asyncio.sleep(0.002)

    def closes(self) -> int:
        """The newest run time by the exchange's clock."""
        now_ms = self.exchange.clock.now_ms()
        return now_ms - now_ms % MINUTE

    def only_final_ones(self) -> None:
        newest = Market(self.base_dir).candles()["candle_begin_time"].max()
        assert isinstance(newest, datetime)
        assert to_ms(newest) + MINUTE <= self.exchange.clock.now_ms(), "a candle came before its close"


async def beside(stack: AsyncExitStack, place: Path, skew_ms: int, **keys: object) -> Beside:
    settings = Settings(symbols=4, history_days=2, skew_ms=skew_ms, illiquid_share=0.0)
    exchange = await stack.enter_async_context(EmbeddedExchange(settings))
    keys = {"interval": "1m", "trade_type": "usdt_perp", "num_candles": 10} | keys
    base_dir = configure(place / "m", exchange.futures.rest, exchange.futures.ws, **keys)
    return Beside(exchange, base_dir)


@pytest.mark.parametrize(("exchange_ms", "local_ms"), [(100, 0), (3_000, -HOUR), (-3_000, HOUR)])
async def test_a_period_is_that_of_the_exchanges_clock_and_its_record_says_how_far_ours_is_off(
    tmp_path: Path, exchange_ms: int, local_ms: int
) -> None:
    async with AsyncExitStack() as stack:
        at = await beside(stack, tmp_path, exchange_ms)
        first = at.closes()
        code, record, logs = await ended(tmp_path, local_ms, "flows", "period", str(at.base_dir), "--logs", "json")
        assert code == 0, logs
        assert record["complete"] is True
        run_ms = to_ms(datetime.fromisoformat(str(record["run_time"])))
        assert run_ms in range(first, at.closes() + 1, MINUTE)
        assert abs(int(record["clock_offset_ms"]) - (exchange_ms - local_ms)) < 390  # half of what an answer took
        assert ("clock.off" in logs) == (abs(exchange_ms - local_ms) > 500)
        at.only_final_ones()
        for moment in ("started_at", "completed_at"):
            after_ms = to_ms(datetime.fromisoformat(str(record[moment]))) - run_ms
            assert 0 <= after_ms < 3 * MINUTE, f"{moment} is {after_ms} ms after the close"


async def test_a_run_time_that_is_over_at_the_exchange_is_none_of_the_future_here(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        at = await beside(stack, tmp_path, 0)
        run_time = from_ms(at.closes()).isoformat()
        command = ("flows", "period", str(at.base_dir), "--run-time", run_time, "--logs", "json")
        code, record, logs = await ended(tmp_path, -HOUR, *command)
        assert (code, record["complete"]) == (0, True), logs


@dataclass(frozen=True)
class Case:
    """How far the worker's clock is ahead of the exchange's at first, and from shortly before the close on that is
    looked at."""

    first_ms: int
    then_ms: int


CASES = (Case(-40_000, -DAY), Case(HOUR, 2 * HOUR))


async def seen(case: Case, place: Path, receiver: Receiver) -> None:
    """A worker lives through the close of a period; ten seconds before it its clock is set."""
    async with AsyncExitStack() as stack:
        url = receiver.host.replace("http", "json") + f"/{place.name}"
        at = await beside(stack, place, 0, notify=[url])
        listening = asyncio.create_task(at.listen())
        stack.callback(listening.cancel)
        command = ("flows", "worker", str(at.base_dir), "--logs", "json")
        worker = await stack.enter_async_context(program(place, case.first_ms, *command))
        market = Market(at.base_dir)
        await until(lambda: market.ledger(from_ms(at.closes())) is not None, f"the first period of {case}")
        # Between the periods; the exchange's clock is moved as well, for else this would take up to a minute.
        await until(lambda: 5_000 < at.exchange.clock.now_ms() % MINUTE < 50_000, "the minute's middle")
        at.exchange.clock.skew_ms = 50_000 - at.exchange.clock.now_ms() % MINUTE
        worker.shift(case.then_ms + at.exchange.clock.skew_ms)
        moved_ms, close_ms = at.exchange.clock.now_ms(), at.closes() + MINUTE
        await until(lambda: market.ledger(from_ms(close_ms)) is not None, f"the period after {case}")
        record = market.ledger(from_ms(close_ms))
        assert record is not None
        assert record.complete
        assert record.clock_offset_ms is not None
        assert abs(record.clock_offset_ms + case.then_ms) < 5_000  # half of what an answer took
        at.only_final_ones()
        begun_ms = min(ms for ms, name in at.asked if name == "exchangeInfo" and ms > moved_ms)
        assert begun_ms >= close_ms + OFFSET_MS, f"{case}: begun {begun_ms - close_ms} ms after the close"
        begins = {event["run_time"]: event for event in worker.events("period.begin")}
        assert len(begins) == len(worker.events("period.begin")), "no period is done twice"
        assert begins[from_ms(close_ms).isoformat()]["late_ms"] < 30_000  # not an hour, not 40 s
        await until(lambda: "usdt_perp 1m: clock off" in titles(receiver, place), f"the alarm of {case}")
        assert worker.events("clock.jumped")
        worker.shift(at.exchange.clock.skew_ms)
        recovery = "usdt_perp 1m: clock off (well again)"
        await until(lambda: recovery in titles(receiver, place), "the recovery")
        clock = [title for title in titles(receiver, place) if "clock" in title]
        assert len(clock) == 2, f"one alarm, one recovery: {clock}"


def titles(receiver: Receiver, place: Path) -> list[str]:
    return [each["body"]["title"] for each in list(receiver.got) if each["path"] == f"/{place.name}"]


async def test_a_worker_begins_at_the_exchanges_close_whatever_its_clock_says_and_tells_that_it_is_off(
    tmp_path: Path,
) -> None:
    with receiving() as receiver:
        places = [tmp_path / f"case{number}" for number in range(len(CASES))]
        await asyncio.gather(*(seen(case, place, receiver) for case, place in zip(CASES, places, strict=True)))
