"""``python -m deployments.demo [--periods N]``: see ``make demo``."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from deployments.demo import stage
from deployments.demo.screen import Screen
from deployments.demo.services import ServiceDiedError, Services, running
from kit.buffer.ledger import LedgerRecord
from kit.market import Market
from kit.words import utc_now

REFRESH = 0.5
PREFECT_PATIENCE = timedelta(minutes=3)
"""After a close: so long the demo waits at its end for Prefect to show the last period, which takes it some seconds."""

CANDLES = ("symbol", "candle_begin_time", "open", "high", "low", "close", "volume")


def main(
    *,
    periods: Annotated[int | None, typer.Option(min=1, help="End after so many complete 1m periods.")] = None,
    folder: Annotated[Path, typer.Option(help="Where it keeps everything; emptied first.")] = Path("demo-data"),
) -> None:
    """The whole service on this machine against the embedded exchange, until Ctrl-C or so many complete periods."""
    console = Console()
    signal.signal(signal.SIGTERM, _interrupt)
    scene = stage.new_scene(folder.resolve())
    screen = Screen(scene, utc_now(), periods)
    try:
        with running(scene.folder, scene.environment()) as services, _shown(console, screen) as show:
            _start(scene, services, screen, show)
            screen.began = utc_now()
            while periods is None or not _has_seen(screen, periods):
                services.check()
                runs = stage.completed_runs(scene)
                if runs:
                    screen.tell("Prefect UI", f"{scene.ui_url}  {runs} runs completed", "bold cyan")
                show()
                time.sleep(REFRESH)
            show()
    except KeyboardInterrupt:
        console.print("Ended." if periods is None else "Ended before the periods were complete.")
        raise typer.Exit(0 if periods is None else 130) from None
    except (ServiceDiedError, TimeoutError) as error:
        console.print(f"[red]The demo cannot go on.[/red] {error}", highlight=False)
        raise typer.Exit(1) from None
    _print_results(console, screen)


def _has_seen(screen: Screen, periods: int) -> bool:
    """Whether so many periods are complete, and Prefect had the time to show them."""
    complete = screen.complete_periods()
    if len(complete) < periods:
        return False
    last = complete[-1].run_time
    shown = stage.completed_runs(screen.scene, f"usdt_perp 1m {last:%Y-%m-%d %H:%MZ}")
    return shown > 0 or utc_now() - last > PREFECT_PATIENCE


def _start(scene: stage.Scene, services: Services, screen: Screen, show: Show) -> None:
    screen.tell("status page", f"{scene.page_url}  starting ...", "dim")
    screen.tell("Prefect UI", f"{scene.ui_url}  starting ...", "dim")
    screen.tell("embedded exchange", "starting ...", "dim")
    show()
    exchange = stage.start_exchange(services)
    screen.tell("embedded exchange", f"{exchange['futures']['rest']}  ({stage.SYMBOLS} symbols, made-up prices)")
    stage.write_configs(scene, exchange)
    stage.start_market(scene, services)
    screen.tell("market", f"{scene.base_dirs[0]}   (python -m kit status shows it, too)")
    stage.start_page(scene, services)
    screen.tell("status page", scene.page_url, "bold cyan")
    stage.start_server(scene, services)
    while not stage.server_is_healthy(scene):
        services.check()
        show()
        time.sleep(REFRESH)
    screen.tell("Prefect UI", f"{scene.ui_url}  deploying the flows ...", "dim")
    show()
    stage.deploy(scene)
    screen.tell("Prefect UI", scene.ui_url, "bold cyan")


class Show:
    """Draws the screen: live on a terminal, else a line whenever something new is to be said."""

    def __init__(self, console: Console, screen: Screen, live: Live | None) -> None:
        self._console = console
        self._screen = screen
        self._live = live
        self._said: set[str] = set()

    def __call__(self) -> None:
        """Draw what is now."""
        if self._live is not None:
            self._live.update(self._screen.render())
            return
        lines = [f"{name}: {state.plain}" for name, state in self._screen.states.items()]
        lines += map(_sentence, self._screen.complete_periods())
        for line in lines:
            if line not in self._said:
                self._said.add(line)
                self._console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def _shown(console: Console, screen: Screen) -> Iterator[Show]:
    if not console.is_terminal:
        yield Show(console, screen, None)
        return
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        yield Show(console, screen, live)


def _sentence(record: LedgerRecord) -> str:
    return (
        f"period {record.run_time:%H:%M:%SZ}: complete {record.by_stream + record.by_rest}/{record.expected} "
        f"after {record.seconds_to_complete:.2f} s, by stream {record.by_stream}, by REST {record.by_rest}"
    )


def _print_results(console: Console, screen: Screen) -> None:
    console.print("\nLedger of the periods:", style="bold")
    for record in screen.complete_periods():
        console.print(json.dumps(record.as_dict(), ensure_ascii=False), highlight=False, soft_wrap=True)
    market = Market(screen.scene.base_dirs[0])
    last = screen.complete_periods()[-1].run_time
    _print_rows(console, "The first rows of its candles, as a strategy reads them:", market.candles(last=1), CANDLES)
    factors = market.factors(last)
    if factors is not None:
        _print_rows(console, "The first rows of its factors:", factors, tuple(factors.columns))


def _print_rows(console: Console, title: str, frame: pl.DataFrame, columns: tuple[str, ...]) -> None:
    console.print(f"\n{title}", style="bold")
    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, justify="left" if name == "symbol" else "right", no_wrap=True)
    for row in frame.select(columns).head(5).rows():
        table.add_row(*map(_shown_value, row))
    console.print(table)


def _shown_value(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%H:%M:%SZ}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(main)
