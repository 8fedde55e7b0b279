"""``python -m kit status --watch``: the table of each market, drawn anew when something changes on disk."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import watchfiles
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from kit.buffer.layout import Folder
from kit.config import load_config
from kit.errors import BmacError
from kit.status import market_status, status_table
from kit.words import utc_now

LOOK_EVERY_MS = 1_000
"""Ages grow although nothing changes on disk."""
GATHER_MS = 250
"""The streamer writes some thirty files a second after a close: all of a moment are drawn once."""


def watch_status(base_dirs: Sequence[Path], periods: int, console: Console) -> None:
    """Draw until Ctrl-C or SIGTERM.

    Raises:
        ConfigError, FolderError: a folder cannot be read at the beginning; later on that is shown instead.
    """
    folders = [path for base_dir in base_dirs for path in _changing(base_dir)]
    screen = drawn(base_dirs, periods, console, strict=True)
    changes = watchfiles.watch(
        *folders, watch_filter=None, step=GATHER_MS, rust_timeout=LOOK_EVERY_MS, yield_on_timeout=True, recursive=False
    )
    with _until_told(), Live(screen, console=console, screen=True, auto_refresh=False) as live:
        for _ in changes:
            live.update(drawn(base_dirs, periods, console), refresh=True)


def drawn(base_dirs: Sequence[Path], periods: int, console: Console, *, strict: bool = False) -> RenderableType:
    """All markets, with as many periods of each as the terminal has room for, one at least."""
    looks = [_look(base_dir, periods, strict=strict) for base_dir in base_dirs]
    now = Text(f"{utc_now().astimezone():%m-%d %H:%M:%S}   Ctrl-C ends", style="dim")
    fitting = min(periods, max(1, console.height // len(base_dirs)))
    while True:
        drawing = Group(now, *(_table(look, fitting) for look in looks))
        if fitting == 1 or len(console.render_lines(drawing)) <= console.height:
            return drawing
        fitting -= 1


def _look(base_dir: Path, periods: int, *, strict: bool) -> dict[str, Any] | BmacError:
    try:
        return market_status(base_dir, periods)
    except BmacError as error:
        if strict:
            raise
        return error


def _table(look: dict[str, Any] | BmacError, periods: int) -> RenderableType:
    if isinstance(look, BmacError):
        return Text(str(look), style="bold red")
    return status_table({**look, "periods": look["periods"][:periods]})


def _changing(base_dir: Path) -> Iterator[Path]:
    """Where verdicts and heartbeats appear; folders that do not exist yet are looked at each second all the same."""
    config = load_config(base_dir)
    yield base_dir
    ledger = Folder(config.base_dir, config.trade_type, config.interval, config.save_type).ledger
    if ledger.is_dir():
        yield ledger


@contextmanager
def _until_told() -> Iterator[None]:
    """Ctrl-C ends what is in here, and so does SIGTERM: the terminal gets its cursor back."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
