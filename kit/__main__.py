"""``python -m kit``: commands that look at a market's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kit.errors import BmacError
from kit.status import market_status, status_table

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look at the folders of markets.")


@app.callback()
def main() -> None:
    """Look at the folders of markets."""


@app.command()
def status(
    base_dirs: Annotated[list[Path], typer.Argument(metavar="BASE_DIR ...", help="One folder a market.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object a line.")] = False,
    periods: Annotated[int, typer.Option(min=1, max=1500, help="How many of the last periods to show.")] = 10,
) -> None:
    """Is each market complete now, and what were its last periods? Exit code 2 when a folder cannot be read."""
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


if __name__ == "__main__":
    app()
