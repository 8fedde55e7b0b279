"""``python -m flows period`` and ``python -m flows worker``.

Exit codes: 0 complete (or stopped as asked), 3 incomplete, 2 a bad config, folder or argument.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.markets import REPOSITORY, check_run_time, live_base_dirs, pace_of, served_market
from flows.verdict import Named
from kit.buffer.layout import Folder
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.config import MarketConfig, load_config
from kit.errors import BmacError, ConfigError, ExchangeError, FolderError
from kit.logs import LogFormat, configure
from kit.metrics import VARIABLE, MetricsError, parse_address

COMPLETE, BAD_INPUT, INCOMPLETE = 0, 2, 3

app = typer.Typer(help="The work of each period.", no_args_is_help=True, pretty_exceptions_enable=False)
LogsOption = Annotated[LogFormat, typer.Option("--logs", help="How logs are written on stderr.")]


@app.command()
def period(
    base_dir: Annotated[Path, typer.Argument(help="The market's folder, with its config.json.")],
    run_time: Annotated[
        str | None, typer.Option(help="The close it is about, such as 2026-11-22T07:05:00Z. Default: the newest.")
    ] = None,
    logs: LogsOption = "auto",
) -> None:
    """Do a period's work once and print its ledger record as JSON. No Prefect involved; safe to repeat."""
    configure(logs)
    try:
        moment = moment_of(run_time)
        code, shown = asyncio.run(do_once(base_dir.absolute(), moment))
    except (BmacError, ValueError) as error:
        refuse(error)
    print(json.dumps(shown, ensure_ascii=False))
    raise typer.Exit(code)


@app.command()
def worker(
    base_dirs: Annotated[
        list[Path] | None, typer.Argument(help="The markets' folders. Default: those of the live pool's deployments.")
    ] = None,
    prefect_file: Annotated[Path, typer.Option(help="Where the deployments are described.")] = (
        REPOSITORY / "prefect.yaml"
    ),
    metrics: Annotated[
        str | None,
        typer.Option(
            envvar=VARIABLE,
            metavar="HOST:PORT",
            help="Tell Prometheus how it is, under /metrics; loopback without HOST:.",
        ),
    ] = None,
    logs: LogsOption = "auto",
) -> None:
    """Do the periods of several markets, each at its own time, until SIGTERM or SIGINT; Prefect shows them."""
    configure(logs)
    try:
        address = parse_address(metrics)
        folders = [folder.absolute() for folder in base_dirs] if base_dirs else live_base_dirs(prefect_file)
        markets = [served_market(folder) for folder in dict.fromkeys(folders)]
    except (BmacError, OSError) as error:
        refuse(error)
    from flows.steps import run_period  # noqa: PLC0415 - heavy, and not needed to refuse a bad config
    from flows.worker import serve  # noqa: PLC0415 - same

    try:
        code = serve(markets, run_period, logs, address)
    except (ConfigError, FolderError, MetricsError) as error:
        refuse(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # Prefect's threads would drain their queues to a server that may be dead, for a minute


def moment_of(text: str | None) -> datetime | None:
    """The moment that was written, or None for none. What is no aware time is typer's usual refusal (exit code 2)."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment.astimezone(UTC)  # the year 1 or 9999 of a zone may be none of UTC's
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"--run-time {text!r} is no time such as 2026-11-22T07:05:00Z") from None
    if moment.tzinfo is None:
        raise typer.BadParameter(f"--run-time {text!r} has no time zone; write 2026-11-22T07:05:00Z for UTC")
    return moment


async def do_once(base_dir: Path, run_time: datetime | None) -> tuple[int, dict[str, object]]:
    """The work of one period; the exit code and what is printed.

    Raises:
        NaiveTimeError, ConfigError, FolderError: what was asked for cannot be done.
    """
    config = load_config(base_dir)
    pace = pace_of(config)
    if run_time is not None:
        check_run_time(pace, base_dir, run_time, run_time)  # what is never right is refused before anybody is asked

    from flows.exchange_time import measured_now  # noqa: PLC0415 - heavy, and not needed to refuse a bad config
    from flows.outcomes import ended_now, noted  # noqa: PLC0415 - same
    from flows.steps import run_period  # noqa: PLC0415 - same

    now = await measured_now(config)
    moment = pace.newest_closed(now) if run_time is None else run_time
    check_run_time(pace, base_dir, moment, now)

    problem = ""
    with noted(base_dir, moment) as ends:
        try:
            outcome = await run_period(base_dir, moment)
            record = outcome.record
            name = Named.COMPLETED if record.complete else Named.INCOMPLETE
            ends.append(ended_now(moment, name, "by hand", outcome.steps))
        except ExchangeError as error:
            problem = str(error)
        except OSError as error:
            # A disk that is full or went away is no bad config, and what was complete before stays so.
            problem = f"{base_dir}: cannot be written ({error.strerror or error}); make room or check the disk"
        if problem:
            ends.append(ended_now(moment, Named.FAILED, problem))
    if problem:
        return INCOMPLETE, what_is_known(config, moment, problem)
    return (COMPLETE if record.complete else INCOMPLETE), record.as_dict()


def what_is_known(config: MarketConfig, moment: datetime, problem: str) -> dict[str, object]:
    """The record on disk, or an empty one, with what went wrong; said on stderr as well."""
    typer.echo(problem, err=True)
    folder = Folder(config.base_dir, config.trade_type, config.interval, config.save_type)
    nothing = LedgerRecord(run_time=moment, expected=0, by_stream=0, by_rest=0, missing=[], excused={}, complete=False)
    return {**(Ledger(folder).get(moment) or nothing).as_dict(), "error": problem}


def refuse(error: Exception) -> typer.Exit:
    """Say on stderr what is wrong, and leave."""
    typer.echo(str(error), err=True)
    raise typer.Exit(BAD_INPUT) from None


if __name__ == "__main__":
    app(prog_name="python -m flows")
