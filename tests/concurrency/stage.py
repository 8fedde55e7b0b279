"""What these tests share: an exchange and programs as processes, markets of 1s candles, and what is true."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from kit.buffer.layout import CandleFile, parse_name
from kit.market import Market
from kit.words import to_ms
from tests.bench.processes import Child

SECOND_MS = 1000
PATIENCE_S = 150.0
UNLIMITED_WEIGHT = 1_000_000

R = TypeVar("R")


@dataclass(frozen=True)
class Stage:
    """A scratch folder and an exchange whose doors are ``urls``."""

    scratch: Path
    urls: dict[str, dict[str, str]]

    def market(self, name: str, **config: Any) -> Path:
        """A base directory; by default of a spot market at 1s."""
        base_dir = self.scratch / name
        base_dir.mkdir(exist_ok=True)
        usual = {"trade_type": "usdt_spot", "interval": "1s", "num_candles": 60, "num_socket_listeners": 2}
        door = "spot" if "spot" in config.get("trade_type", "usdt_spot") else "futures"
        config = usual | {"endpoints": self.urls[door]} | config
        # Whole at once: a program may read it at this moment.
        (base_dir / "config.new").write_text(json.dumps(config))
        (base_dir / "config.new").rename(base_dir / "config.json")
        return base_dir

    def start(self, name: str, *words: object) -> Child:
        """A program, ``python -m WORDS``; its log has this name."""
        return Child(name, [*map(str, words)], self.scratch)

    def streamer(self, name: str, *words: object) -> Child:
        """A streamer with a log that ``events`` reads."""
        return self.start(name, "streamer", *words, "--log-format", "json")

    def log(self, name: str) -> str:
        """What a program has written on stderr."""
        return (self.scratch / f"{name}.log").read_text()

    def events(self, name: str, event: str) -> list[dict[str, Any]]:
        """The events of that kind in a program's log."""
        lines = [line for line in self.log(name).splitlines() if line.startswith("{") and line.endswith("}")]
        return [found for line in lines if (found := json.loads(line))["event"] == event]

    def truth(self, symbol: str, first_ms: int, last_ms: int) -> list[list[Any]]:
        """The exchange's own closed 1s candles of a spot symbol, as REST gives them."""
        query = urllib.parse.urlencode(
            {"symbol": symbol, "interval": "1s", "startTime": first_ms, "endTime": last_ms, "limit": 1000}
        )
        with urllib.request.urlopen(f"{self.urls['spot']['rest']}/api/v3/klines?{query}", timeout=30) as answer:  # noqa: S310 - our own server
            return list(json.loads(answer.read()))


@contextmanager
def stage(scratch: Path, **options: object) -> Iterator[Stage]:
    """An exchange with these options (``--symbols``, written ``symbols``) for as long as the block lasts."""
    usual = {"illiquid_share": 0, "spot_weight_limit": UNLIMITED_WEIGHT, "weight_limit": UNLIMITED_WEIGHT}
    words = [word for key, value in (usual | options).items() for word in (f"--{key.replace('_', '-')}", str(value))]
    with Child("exchange", ["kit.embedded_exchange", *words], scratch) as exchange:
        yield Stage(scratch, exchange.line(PATIENCE_S))


def eventually(look: Callable[[], R | None], what: str) -> R:
    """What ``look`` gives once that is true."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE_S:.0f} s: {what}")


def slices(base_dir: Path) -> dict[int, list[CandleFile]]:
    """The streamer's files by the incarnation that wrote them, oldest first."""
    found: dict[int, list[CandleFile]] = {}
    for file in map(parse_name, sorted(path.name for path in base_dir.glob("usdt_spot_1s/stream_*"))):
        if file is not None:
            found.setdefault(file.seq, []).append(file)
    return dict(sorted(found.items()))


def assert_sound(where: Stage, base_dir: Path, record: dict[str, Any], symbols: list[str]) -> None:
    """Up to the run time of that ledger record the window has each candle once and no hole in it, and those of
    ``symbols`` are the exchange's to the bit."""
    last_ms = to_ms(datetime.fromisoformat(record["run_time"])) - SECOND_MS
    begin_ms = pl.col("candle_begin_time").dt.epoch("ms")
    frame = Market(base_dir).candles().filter(begin_ms <= last_ms)
    assert not frame.select("symbol", "candle_begin_time").is_duplicated().any()
    first_ms = frame.select(begin_ms.min()).item()
    periods = (last_ms - first_ms) // SECOND_MS + 1
    holes = frame.group_by("symbol").len().filter(pl.col("len") != periods)
    assert holes.is_empty(), f"of {periods} candles: {holes.rows()[:5]}"
    for symbol in symbols:
        mine = frame.filter(pl.col("symbol") == symbol)
        rows = where.truth(symbol, first_ms, last_ms)
        assert mine["close"].to_list() == [float(row[4]) for row in rows]
        assert mine["quote_volume"].to_list() == [float(row[7]) for row in rows]
        assert mine["trade_num"].to_list() == [row[8] for row in rows]
