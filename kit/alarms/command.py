"""``python -m kit watch`` and ``python -m kit notify-test``: what they do; ``kit.__main__`` has their options."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import typer

from kit.alarms.attend import Look, attend_once, glance
from kit.alarms.message import Reader, described
from kit.config import load_config
from kit.errors import BmacError
from kit.notify import send
from kit.words import to_ms, utc_now

WELL, WRONG, BAD_CONFIG = 0, 1, 2


def watch(base_dirs: Sequence[Path], *, quiet: bool, sends: bool) -> int:
    """Look, tell, print; the exit code: 0 well, 1 something is wrong, 2 a config that cannot be used."""
    for base_dir in base_dirs:
        try:
            load_config(base_dir)
        except BmacError as error:
            typer.echo(f"error: {error}", err=True)
            return BAD_CONFIG
    found = attend_once(base_dirs) if sends else glance(base_dirs)
    if not quiet:
        _print(found)
    if found.unkept:
        typer.echo("error: what was told cannot be kept on this disk, so it may be told again", err=True)
    wrong = any(each.conditions or each.problem for each in found.watched)
    return WRONG if wrong or found.undelivered or found.unkept else WELL


def notify_test(base_dir: Path) -> int:
    """Send a test message to everybody; the exit code: 0 it arrived everywhere, 1 it did not, 2 a bad config."""
    try:
        config = load_config(base_dir)
    except BmacError as error:
        typer.echo(f"error: {error}", err=True)
        return BAD_CONFIG
    reader = Reader.of(config.language, config.time_zone)
    market = f"{config.trade_type} {config.interval}"
    body = reader.sentence(reader.texts.test_body, {"markets": market, "now_ms": to_ms(utc_now()) // 1000 * 1000})
    outcomes = asyncio.run(send(config, f"{market}: {reader.texts.test_title}", body))
    if not outcomes:
        typer.echo("error: config.json names nobody to tell; set notify or dingding", err=True)
        return WRONG
    for outcome in outcomes:
        attempts = "" if outcome.attempts == 1 else f" after {outcome.attempts} attempts"
        typer.echo(f"{outcome.target}: {'arrived' if outcome.ok else f'FAILED, {outcome.error}'}{attempts}")
    return WELL if all(outcome.ok for outcome in outcomes) else WRONG


def _print(found: Look) -> None:
    for each in found.watched:
        if each.config is None or each.problem:
            typer.echo(f"{each.base_dir}: {each.problem}", err=True)
            continue
        reader = Reader.of(each.config.language, each.config.time_zone)
        for condition in each.conditions:
            typer.echo(f"{each.config.trade_type} {each.config.interval}: {described(condition, reader)}")
        if not each.conditions:
            typer.echo(f"{each.config.trade_type} {each.config.interval}: ok")
