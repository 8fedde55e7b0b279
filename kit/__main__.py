"""``python -m kit``: commands that look at a market's folder."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kit.errors import BmacError
from kit.logs import configure
from kit.status import market_status, status_table

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look at the folders of markets.")


@app.callback()
def main() -> None:
    """Look at the folders of markets."""
    configure(level=logging.WARNING)  # on stderr: what is printed may be read by programs


@app.command()
def status(
    base_dirs: Annotated[list[Path], typer.Argument(metavar="BASE_DIR ...", help="One folder a market.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object a line.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and show every change; Ctrl-C ends it.")] = False,
    periods: Annotated[int, typer.Option(min=1, max=1500, help="How many of the last periods to show.")] = 10,
) -> None:
    """Is each market complete now, and what were its last periods? Exit code 2 when a folder cannot be read."""
    if watch:
        if as_json:
            raise typer.BadParameter("--watch is for people, --json for programs: choose one")
        _watch_status(base_dirs, periods)
        return
    for base_dir in base_dirs:
        try:
            found = market_status(base_dir, periods)
        except BmacError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from None
        if as_json:
            typer.echo(json.dumps(found, ensure_ascii=False))
        else:
            Console().print(status_table(found))


def _watch_status(base_dirs: list[Path], periods: int) -> None:
    from kit.waiting import UNWATCHABLE  # noqa: PLC0415 - of no use to the other commands
    from kit.watching import watch_status  # noqa: PLC0415 - same

    try:
        watch_status(base_dirs, periods, Console())
    except BmacError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    except UNWATCHABLE as error:
        typer.echo(f"error: the folders cannot be watched: {error}", err=True)
        raise typer.Exit(2) from None


@app.command()
def doctor(
    base_dirs: Annotated[list[Path], typer.Argument(metavar="BASE_DIR ...", help="One folder a market.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object a line.")] = False,
) -> None:
    """Is everything there that each market needs: config, exchange, clock, weight, disk, streamer, worker, Prefect?
    Exit code 0 when nothing is wrong, 1 when something is, 2 on a bad config."""
    from kit.doctor import command  # noqa: PLC0415 - of no use to the other commands

    configure(level=logging.ERROR)
    code = command.doctor(base_dirs, as_json=as_json)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a thread may wait for a disk or a name server that never answers


@app.command()
def serve(
    base_dirs: Annotated[list[Path], typer.Argument(metavar="BASE_DIR ...", help="One folder a market.")],
    *,
    host: Annotated[str, typer.Option(help="Where to listen; other than loopback shows the page to the network.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8321,
) -> None:
    """Serve a page that tells at one look whether each market is complete now. Reads only; runs until Ctrl-C.
    Exit code 2 when it cannot listen."""
    from kit.serve import command  # noqa: PLC0415 - heavy, and of no use to the other commands

    try:
        command.serve(base_dirs, host, port)
    except OSError as error:
        typer.echo(f"error: the page cannot be served on {host}, port {port}: {error}", err=True)
        raise typer.Exit(2) from None


@app.command("check-factors")
def check_factors(
    base_dir: Annotated[Path, typer.Argument(help="The market's folder.")],
    *,
    periods: Annotated[int, typer.Option(min=1, max=500, help="At how many of the last run times.")] = 10,
    symbols: Annotated[int, typer.Option(min=1, help="Of how many symbols.")] = 40,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Does each factor say live what it says in history? Exit code 0 when all do, 1 when not, 2 on bad input."""
    from kit.calculators import check  # noqa: PLC0415 - heavy, and of no use to the other commands

    try:
        report = check.check_factors(base_dir, periods, symbols)
    except BmacError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps(report.as_dict(), ensure_ascii=False))
    else:
        Console().print(check.check_table(report))
    raise typer.Exit(0 if report.sound else 1)


@app.command()
def watch(
    base_dirs: Annotated[list[Path], typer.Argument(metavar="BASE_DIR ...", help="One folder a market.")],
    *,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    no_send: Annotated[bool, typer.Option("--no-send", help="Only look: tell nobody, write nothing.")] = False,
) -> None:
    """Look once what is wrong, and tell whom the configs name; made for cron, each minute. What the worker or an
    earlier run has told is not told again. Exit code 0 when all is well, 1 when something is wrong, 2 on a bad
    config."""
    from kit.alarms import command  # noqa: PLC0415 - of no use to the other commands

    if quiet:
        configure(level=logging.ERROR)
    raise typer.Exit(command.watch(base_dirs, quiet=quiet, sends=not no_send))


@app.command("notify-test")
def notify_test(base_dir: Annotated[Path, typer.Argument(help="The market's folder.")]) -> None:
    """Send a test message to everybody whom the config names. Exit code 0 when it arrived everywhere, 1 when not, 2 on
    a bad config."""
    from kit.alarms import command  # noqa: PLC0415 - of no use to the other commands

    raise typer.Exit(command.notify_test(base_dir))


if __name__ == "__main__":
    app()
