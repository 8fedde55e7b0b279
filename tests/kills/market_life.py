"""The real programs on a market of one-second candles, killed again and again beside an exchange that goes on."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from kit import Market
from kit.embedded_exchange import EmbeddedExchange, Finals, Settings
from kit.words import Candle, Interval, Venue, from_ms
from tests.kills.processes import Writer, Zygote
from tests.power_loss.reader import check_file

SECOND = 1000
WINDOW = 90
SYMBOLS = 6
Key = tuple[str, int]


@dataclass
class MarketLife:
    """A base directory, its streamer, and the period that is being worked on."""

    base_dir: Path
    exchange: EmbeddedExchange
    zygote: Zygote
    chance: random.Random
    streamer: Writer | None = None
    period: Writer | None = None
    known: dict[Key, Candle] = field(default_factory=dict)
    kills: int = 0
    compared: int = 0
    completes: int = 0

    def __post_init__(self) -> None:
        self.base_dir.mkdir(parents=True)
        config = {"interval": "1s", "trade_type": "usdt_spot", "num_candles": WINDOW, "num_socket_listeners": 2}
        config |= {"factors": [["PctChg", 10]], "resample": {"interval": "1m", "base_offset": "30s"}}
        config |= {"endpoints": {"rest": self.exchange.spot.rest, "ws": self.exchange.spot.ws}}
        (self.base_dir / "config.json").write_text(json.dumps(config))
        self.market = Market(self.base_dir)

    def run_ms(self) -> int:
        """The newest run time that is surely final everywhere."""
        now_ms = self.exchange.clock.now_ms()
        return now_ms - now_ms % SECOND - 4 * SECOND

    async def start(self) -> None:
        """Both programs."""
        if self.streamer is None:
            self.streamer = await asyncio.to_thread(self.zygote.start, "streamer", self.base_dir)
        if self.period is None:
            self.period = await asyncio.to_thread(self.zygote.start, "period", self.base_dir, self.run_ms())

    async def kill_once(self) -> None:
        """Let them work, then kill one or both, and look."""
        await self.start()
        lasts = self.chance.random() * 1.2
        await asyncio.sleep(lasts)
        which = self.chance.choice(("streamer", "period", "both", "both"))
        doomed = [self.period] if which != "streamer" else []
        doomed += [self.streamer] if which != "period" else []
        for writer in doomed:
            assert writer is not None
            writer.send(signal.SIGKILL)
        for writer in doomed:
            assert writer is not None
            await asyncio.to_thread(writer.kill)
        self.kills += len(doomed)
        self.streamer = None if which != "period" else self.streamer
        self.period = None if which != "streamer" else self.period
        self.look()

    def look(self) -> None:
        """What was readable is readable and the same; all of it is what the exchange says; complete is complete."""
        runs = range(self.run_ms() - WINDOW * SECOND, self.run_ms() + 9 * SECOND, SECOND)
        complete = [record for run_ms in runs if (record := self.market.ledger(from_ms(run_ms))) and record.complete]
        found = self.stored()
        for key, value in found.items():
            if key not in self.known:
                assert value == self.truth(*key), f"made up: {value}"
            self.compared += 1
        oldest_ms = self.run_ms() - WINDOW * SECOND  # what the market's symbols had before the window may go
        for key, value in self.known.items():
            gone = key not in found and key[1] < oldest_ms
            assert gone or found.get(key) == value, f"lost or changed: {key}"
        for record in complete:
            begin_ms = int(record.run_time.timestamp()) * 1000 - SECOND
            there = sum((symbol, begin_ms) in found for symbol in {symbol for symbol, _ in found})
            assert there + len(record.excused) >= record.expected, f"false complete: {record}"
        self.completes = max(self.completes, len(complete))
        self.known = found
        for path in self.base_dir.rglob("block_*"):
            check_file(path)

    def stored(self) -> dict[Key, Candle]:
        """Everything that is kept, whatever its age."""
        if not self.market.folder.candles.is_dir():
            return {}
        frame = self.market.candles(self.market.symbols()).with_columns(pl.col("candle_begin_time").dt.epoch("ms"))
        return {(row[0], row[1]): Candle(*row) for row in frame.rows()}

    def truth(self, symbol: str, begin_ms: int) -> Candle | None:
        """What the exchange says of one candle."""
        rows = self.exchange.candles(Venue.SPOT, symbol, Interval.S1, begin_ms, begin_ms)
        if not rows:
            return None
        row = rows[0]
        return Candle(symbol, row[0], *map(float, row[1:6]), float(row[7]), row[8], float(row[9]), float(row[10]))

    async def complete(self) -> int:
        """Work on the newest period without a kill until it is complete over the whole window; its run time."""
        for _ in range(12):
            if self.period is not None:
                await asyncio.to_thread(self.period.wait)
            run_ms = self.run_ms()
            self.period = await asyncio.to_thread(self.zygote.start, "period", self.base_dir, run_ms)
            code = await asyncio.to_thread(self.period.wait)
            period, self.period = self.period, None
            assert code == 0, period.log[-3000:]
            if self.whole_window(run_ms):
                return run_ms
        raise AssertionError(f"never complete: {period.log[-3000:]}")

    def whole_window(self, run_ms: int) -> bool:
        """Whether every candle of the window is there, bit for bit."""
        found = self.stored()
        symbols = {symbol for symbol, _ in found}
        begins = range(run_ms - WINDOW * SECOND, run_ms, SECOND)
        truth = {(symbol, begin): self.truth(symbol, begin) for symbol in symbols for begin in begins}
        self.compared += len(truth)
        wrong = [key for key, value in truth.items() if key in found and found[key] != value]
        assert not wrong, f"wrong: {wrong[:5]}"
        return all(key in found for key, value in truth.items() if value is not None)

    def rows_asked(self) -> int:
        """Rows of all candle requests so far but for the look-backs' (one row) questions."""
        asked = [request.params for request in self.exchange.requests if request.path.endswith("/klines")]
        return sum(int(params.get("limit", 500)) for params in asked if params.get("limit") != "1")


async def kill_market(path: Path, *, kills: int, seed: int) -> MarketLife:
    """Kill so many processes of a market; afterwards it becomes whole, and asks for no more than it lacks."""
    settings = Settings(
        symbols=SYMBOLS, spot_update_ms=500, finals=Finals("spread", 0.3), illiquid_share=0.0, history_days=1, seed=seed
    )
    async with EmbeddedExchange(settings) as exchange:
        zygote = await asyncio.to_thread(Zygote, path / "writers")
        with zygote:
            life = MarketLife(path / "market", exchange, zygote, random.Random(seed))
            while life.kills < kills:
                await life.kill_once()
            if life.streamer is None:
                await life.start()
            run_ms = await life.complete()
            life.look()
            await restart_asks_for_what_is_missing(life, run_ms)
            for writer in (life.streamer, life.period):
                if writer is not None:
                    await asyncio.to_thread(writer.kill)
    return life


async def restart_asks_for_what_is_missing(life: MarketLife, run_ms: int) -> None:
    """A kill of everything, some seconds of nothing, and a restart: what is asked for is what is not there."""
    if life.streamer is not None:
        await asyncio.to_thread(life.streamer.kill)
        life.streamer = None
    await asyncio.sleep(2)
    held = {key for key in life.stored() if key[1] >= run_ms - WINDOW * SECOND}
    before = life.rows_asked()
    await life.start()
    last_ms = await life.complete()
    # Everything after what is held, once; and the hour's audit, should it fall here.
    symbols = {symbol for symbol, _ in held}
    lacking = sum((symbol, begin) not in held for symbol in symbols for begin in range(run_ms, last_ms, SECOND))
    asked = life.rows_asked() - before
    assert asked <= 2 * lacking + 99 * len(symbols), f"{asked} rows asked for, {lacking} were missing"
