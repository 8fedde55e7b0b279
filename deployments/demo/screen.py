"""What the demo shows: where things are, how far history has come, the last periods, and candles as they come in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deployments.demo.stage import Scene
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.market import Market
from kit.status import market_status, status_table
from kit.words import to_ms, utc_now

SHOWN_PERIODS = 8
RANKED = 5


@dataclass
class Screen:
    """The state of the live view. ``began``: only periods that closed since count as the demo's own."""

    scene: Scene
    began: datetime
    goal: int | None
    states: dict[str, Text] = field(default_factory=dict)

    def tell(self, name: str, state: str, style: str = "") -> None:
        """Say how a part of the demo is doing."""
        self.states[name] = Text(state, style)

    def complete_periods(self) -> list[LedgerRecord]:
        """The ledger's records of the 1m periods that closed since the demo began and are complete, oldest first; no
        more than its goal."""
        if not self._has_ledger():
            return []
        since = Ledger(Market(self._base_dir).folder).between(to_ms(self.began) + 1, to_ms(utc_now()))
        return [record for record in since.values() if record.complete][: self.goal]

    def render(self) -> RenderableType:
        """The whole view."""
        parts: list[RenderableType] = [self._places()]
        history = self._history()
        if history is not None:
            parts.append(history)
        if self._has_ledger():
            parts.append(status_table(self._status()))
            parts.append(self._prices())
            parts.append(self.ranking())
        return Group(*parts)

    def _places(self) -> Panel:
        grid = Table.grid(padding=(0, 2))
        for name, state in self.states.items():
            grid.add_row(Text(name, style="bold"), state)
        ending = "Ctrl-C ends it all" if self.goal is None else f"ends after {self.goal} complete periods"
        return Panel(grid, title="BMAC demo", subtitle=ending, title_align="left", subtitle_align="left")

    def _history(self) -> RenderableType | None:
        progress = self._read_json("history.json")
        if progress is None:
            return None if self._has_ledger() else Text("History: waiting for the first period's work ...", style="dim")
        done, total = progress["done"], progress["total"]
        if done >= total:
            return None
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=total, completed=done, width=40)
        grid.add_row(Text("Filling history"), bar, Text(f"{done} of {total} requests, within the weight limit"))
        return grid

    def _prices(self) -> RenderableType:
        frame = Market(self._base_dir).candles(columns=["close", "quote_volume"], last=1, source=True).head(5)
        table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
        for heading in ("symbol", "close", "quote volume", "source", "received after the close"):
            table.add_column(heading)
        for symbol, begin, close, volume, source, received in frame.rows():
            after = (received - begin).total_seconds() - 60
            table.add_row(symbol, f"{close:g}", f"{volume:,.0f}", source, f"{after:.2f} s")
        return Panel(table, title="newest candles, as a strategy reads them", title_align="left")

    def ranking(self) -> RenderableType:
        """The five highest and the five lowest symbols by the first factor of the config, at the newest run time that
        has factors: they come some tenths of a second after its record."""
        market = Market(self._base_dir)
        run_times = [LedgerRecord.from_dict(record).run_time for record in self._status()["periods"]]
        known_at = ((run_time, market.factors(run_time)) for run_time in run_times)
        newest, factors = next(((at, found) for at, found in known_at if found is not None), (None, None))
        if newest is None or factors is None:
            return Text("")
        name = factors.columns[2]
        known = factors.drop_nulls(name).sort(name)
        table = Table.grid(padding=(0, 3))
        highest, lowest = known.tail(RANKED).reverse(), known.head(RANKED)
        for high, low in zip(highest.select("symbol", name).rows(), lowest.select("symbol", name).rows(), strict=True):
            table.add_row(high[0], Text(f"{high[1]:+.4f}", "green"), low[0], Text(f"{low[1]:+.4f}", "red"))
        title = f"factor {name} at {newest.astimezone():%H:%M}: highest and lowest {RANKED} of {known.height}"
        return Panel(table, title=title, title_align="left")

    @property
    def _base_dir(self) -> Path:
        return self.scene.base_dirs[0]

    def _has_ledger(self) -> bool:
        folder = self._base_dir / self._base_dir.name / "ledger"
        return folder.is_dir() and any(folder.glob("*.jsonl"))

    def _status(self) -> dict[str, Any]:
        return market_status(self._base_dir, SHOWN_PERIODS)

    def _read_json(self, name: str) -> dict[str, Any] | None:
        try:
            content: dict[str, Any] = json.loads((self._base_dir / name).read_bytes())
        except FileNotFoundError:
            return None
        return content
