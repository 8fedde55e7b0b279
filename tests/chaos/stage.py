"""The stage: an exchange that can fail, one streamer, one flow and one judge, each a real process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.bench.processes import Child
from tests.chaos.control import Control

STARTED_WITHIN_S = 150.0
ANSWERS_WITHIN_S = 150.0


@dataclass(frozen=True)
class Scene:
    """One market on the stage; its work is due every ``every_s`` seconds."""

    name: str
    venue: str
    trade_type: str
    interval: str
    step_ms: int
    num_candles: int
    every_s: int


SPOT_1S = Scene("spot", "spot", "usdt_spot", "1s", 1000, 480, 4)
"""Three quarters of its window is what is judged in the end, and longer than most has to be right again: 6 min."""

PERP_1M = Scene("perp", "um", "usdt_perp", "1m", 60_000, 60, 60)


class StageError(Exception):
    """The stage itself did not do its part."""


class Stage:
    """Used as ``with Stage(folder, seed=1) as stage``. Everything is blocking."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        symbols: int = 10,
        scenes: tuple[Scene, ...] = (SPOT_1S,),
        illiquid_share: float = 0.1,
    ) -> None:
        self.folder = folder
        self.scenes = {scene.name: scene for scene in scenes}
        self._seed, self._symbols, self._illiquid_share = seed, symbols, illiquid_share
        self._children: dict[str, Child] = {}
        self._generation = 0
        self._skew_ms = 0
        self._began_ms = 0

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._raise()
        except BaseException:
            self._strike()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._strike()

    def _raise(self) -> None:
        words = ["kit.embedded_exchange", "--control-port", "0", "--symbols", str(self._symbols)]
        words += ["--illiquid-share", str(self._illiquid_share)]
        words += ["--seed", str(self._seed), "--history-days", "2"]
        self._children["exchange"] = Child("exchange", words, self.folder)
        urls = self._children["exchange"].line(STARTED_WITHIN_S)
        self.control = Control(urls["control"])
        for scene in self.scenes.values():
            self._write_config(scene, urls["spot" if scene.venue == "spot" else "futures"])
        self._began_ms = self.exchange_ms()
        self.start("flow")
        self.start("streamer")
        markets = [
            {"name": scene.name, "base_dir": str(self.base_dir(scene)), "venue": scene.venue}
            for scene in self.scenes.values()
        ]
        (self.folder / "scene.json").write_text(json.dumps({"control": self.control.url, "markets": markets}))
        judge = Child("judge", ["tests.chaos.judge_process", str(self.folder / "scene.json")], self.folder)
        self._children["judge"] = judge
        judge.line(STARTED_WITHIN_S)

    def _write_config(self, scene: Scene, urls: dict[str, str]) -> None:
        base_dir = self.base_dir(scene)
        base_dir.mkdir()
        config = {
            "interval": scene.interval,
            "trade_type": scene.trade_type,
            "num_candles": scene.num_candles,
            "endpoints": urls,
            "http_timeout_sec": 2,
            "candle_close_timeout_sec": 5 if scene.interval == "1s" else 15,
            "num_socket_listeners": 3,
        }
        (base_dir / "config.json").write_text(json.dumps(config))

    def _strike(self) -> None:
        for name in ("judge", "flow", "streamer", "exchange"):
            child = self._children.pop(name, None)
            if child is not None:
                self._signal(child, signal.SIGCONT)
                child.stop()

    def base_dir(self, scene: Scene) -> Path:
        """The market's base directory."""
        return self.folder / scene.name

    def exchange_ms(self) -> int:
        """The exchange's clock."""
        return time.time_ns() // 1_000_000 + self._skew_ms

    def start(self, name: str) -> None:
        """Start the streamer or the flow; the flow is there when it says so."""
        self._generation += 1
        dirs = [str(self.base_dir(scene)) for scene in self.scenes.values()]
        if name == "streamer":
            words = ["streamer", *dirs, "--log-format", "json"]
        else:
            pace = [f"{self.base_dir(scene)}={scene.every_s}" for scene in self.scenes.values()]
            words = ["tests.chaos.flow_process", *pace]
        self._children[name] = Child(f"{name}{self._generation}", words, self.folder)
        self._children[name].name = name
        if name == "flow":
            self._children[name].line(STARTED_WITHIN_S)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self._signal(self._children[name], signal.SIGKILL)
        self._children[name].stop()

    def stop(self, name: str) -> None:
        """SIGSTOP."""
        self._signal(self._children[name], signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        """SIGCONT."""
        self._signal(self._children[name], signal.SIGCONT)

    def skew(self, skew_ms: int) -> None:
        """Set how far the exchange's clock is ahead; the judge knows before it happens."""
        self._ask({"skew_ms": [self._skew_ms, skew_ms]})
        self.control.clock(skew_ms=skew_ms)
        self._skew_ms = skew_ms
        self._ask({"skew_ms": [skew_ms, skew_ms]})

    def unhealed(self, scene: Scene, last_ms: int) -> dict[str, Any]:
        """What is not yet as it must be, up to the candle that begins at ``last_ms``; ``problems`` empty: healed."""
        oldest = self.exchange_ms() - (scene.num_candles * scene.step_ms) * 3 // 4
        first = -(-max(oldest, self._began_ms if scene.interval == "1s" else 0) // scene.step_ms) * scene.step_ms
        return self._ask({"healed": scene.name, "first_ms": first, "last_ms": last_ms})

    def wait_healed(self, scene: Scene, within_s: float) -> tuple[float, list[str]]:
        """Wait until everything that has closed by now is as it must be: the seconds that took, and what is not."""
        began = time.monotonic()
        last_ms = self.exchange_ms() // scene.step_ms * scene.step_ms - scene.step_ms
        while True:
            answer = self.unhealed(scene, last_ms)
            took = time.monotonic() - began
            if not answer["problems"] or took > within_s:
                return took, answer["problems"]
            time.sleep(0.3)

    def summary(self) -> dict[str, Any]:
        """The judge's counts and findings so far."""
        return self._ask({"summary": True})

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        self._children["judge"].send(order)
        return self._children["judge"].line(ANSWERS_WITHIN_S)

    @staticmethod
    def _signal(child: Child, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)
