"""Runs users' ``signal`` functions over many symbols, in one thread of their own.

One thread, not several and not processes: pandas code of this size holds the interpreter's lock, so that two threads
took twice as long as one (600 symbols, two factors: 0.45 s with one, 0.87 s with two), and a process would first have
to be sent 70 MB of candles.

Each factor may use its share of the period, and what exceeds it is left out for the symbols that remain, so that the
others are still computed. A call that never returns cannot be stopped in Python: its thread is left behind, a new one
goes on with the rest.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from kit.factors.errors import FactorError
from kit.factors.signals import Signal

LOOK_EVERY = 0.2
"""Seconds between looks whether the call in progress has used up its share."""


@dataclass(frozen=True)
class _Task:
    symbol: str
    signal: Signal
    candles: pd.DataFrame
    newest_only: bool


@dataclass
class _Call:
    task: _Task
    began: float


@dataclass
class Problems:
    """What went wrong: for each column its symbols with what they met, and why it was stopped, if it was."""

    by_symbol: dict[str, dict[str, str]] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)

    def sentences(self, run_time: str) -> list[str]:
        """A sentence for each column that met something: the factor, the symbols and the run time."""
        told = []
        for column, met in self.by_symbol.items():
            (symbol, problem), *others = met.items()
            names = ", ".join(name for name, _ in others[:5])
            more = f" and {len(others)} other symbols ({names} ...)" if others else ""
            told.append(f"factor {column}, symbol {symbol}{more}, run time {run_time}: {problem}")
        told.extend(f"factor {column}, run time {run_time}: {problem}" for column, problem in self.stopped.items())
        return told


class SignalRunner:
    """Takes symbols as they become readable (``submit``), computes in the background, gives all at the end (``join``).

    ``budget_s``: seconds of work that all signals may use together, each the same share.
    """

    def __init__(self, signals: Sequence[Signal], budget_s: float) -> None:
        self._signals = tuple(signals)
        self._share_s = budget_s / max(1, len(signals))
        self._changed = threading.Condition()
        self._tasks: deque[_Task] = deque()
        self._call: _Call | None = None
        self._generation = 0
        self._working = False
        self._used_s: dict[str, float] = {}
        self._values: dict[str, dict[str, Any]] = {}
        self.problems = Problems()

    def submit(self, candles: Mapping[str, pd.DataFrame], *, newest_only: bool) -> None:
        """Compute all signals for each symbol's frame; ``newest_only`` keeps the last value and not the column."""
        with self._changed:
            self._tasks.extend(
                _Task(symbol, signal, frame, newest_only)
                for symbol, frame in candles.items()
                for signal in self._signals
            )
            if self._tasks and not self._working:
                self._start()

    def join(self) -> dict[str, dict[str, Any]]:
        """Wait for what was submitted; for each symbol its values by column, those that exist."""
        with self._changed:
            while self._working:
                self._changed.wait(LOOK_EVERY)
                self._leave_behind_what_hangs()
            return self._values

    def _start(self) -> None:
        self._working = True
        self._generation += 1
        # A daemon: a user's endless loop must not keep the program from ending.
        threading.Thread(target=self._work, args=(self._generation,), name="factors", daemon=True).start()

    def _work(self, generation: int) -> None:
        while (task := self._next(generation)) is not None:
            value: Any = None
            problem: str | None = None
            try:
                signal = task.signal
                value = signal.newest(task.candles) if task.newest_only else signal.compute(task.candles)
            except FactorError as error:
                problem = error.problem
            self._record(generation, task, value, problem)

    def _next(self, generation: int) -> _Task | None:
        with self._changed:
            if generation != self._generation:
                return None
            if not self._tasks:
                self._working = False
                self._changed.notify_all()
                return None
            task = self._tasks.popleft()
            self._call = _Call(task, time.monotonic())
            return task

    def _record(self, generation: int, task: _Task, value: Any, problem: str | None) -> None:
        with self._changed:
            if generation != self._generation or self._call is None:
                return  # left behind: what it brings comes too late
            column = task.signal.column
            self._used_s[column] = self._used_s.get(column, 0.0) + time.monotonic() - self._call.began
            self._call = None
            if problem is None:
                self._values.setdefault(task.symbol, {})[column] = value
            else:
                self.problems.by_symbol.setdefault(column, {})[task.symbol] = problem
            if self._used_s[column] > self._share_s:
                self._drop(task)

    def _leave_behind_what_hangs(self) -> None:
        call = self._call
        if call is None:
            return
        used_s = self._used_s.get(call.task.signal.column, 0.0) + time.monotonic() - call.began
        if used_s > self._share_s:
            self._drop(call.task)
            self._call = None
            self._start()

    def _drop(self, task: _Task) -> None:
        column = task.signal.column
        left = sum(other.signal.column == column for other in self._tasks)
        self._tasks = deque(other for other in self._tasks if other.signal.column != column)
        self._signals = tuple(signal for signal in self._signals if signal.column != column)
        self.problems.stopped[column] = (
            f"takes too long: its share of the period is {self._share_s:.3g} s, and it was used up at {task.symbol}; "
            f"left out for {left} symbols or more"
        )
