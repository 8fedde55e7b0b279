"""All checks of a market, those that wait at the same time, each with an end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.config import MarketConfig, load_config
from kit.doctor.finding import Finding, Level, ok, warning, wrong
from kit.doctor.folder import check_config, check_damaged, check_disk, check_file_system, check_user, check_writing
from kit.doctor.machine import check_machine
from kit.doctor.patience import in_thread, within
from kit.doctor.rest import BLOCKED, check_rest
from kit.doctor.server import START_SERVER, Server, check_server
from kit.doctor.stream import check_stream
from kit.doctor.writers import check_writers
from kit.errors import ConfigError
from kit.notify.targets import targets_of

DISK_WITHIN_S = 10.0
REST_WITHIN_S = 30.0
STREAM_WITHIN_S = 20.0
SERVER_WITHIN_S = 15.0
"""Each check ends by itself before; this is for what nobody thought of. All together end within a minute."""
DISK_HANGS = "the disk does not answer: look at the mount (dmesg, df), for a network disk at its server"


@dataclass(frozen=True)
class Examination:
    """What was found of a folder. ``config`` is None where it cannot be used; then nothing else was looked at."""

    base_dir: Path
    config: MarketConfig | None
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst of all."""
        levels = {finding.level for finding in self.findings}
        return next((level for level in (Level.WRONG, Level.WARNING) if level in levels), Level.OK)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for programs."""
        return {
            "base_dir": str(self.base_dir),
            "level": self.level.value,
            "findings": [finding.as_dict() for finding in self.findings],
        }


async def examine(base_dir: Path, server: Server | None) -> Examination:
    """Look at all that a market needs; ``server`` is Prefect's. Writes a file into the folder and takes it away."""
    try:
        async with asyncio.timeout(DISK_WITHIN_S):
            config = await in_thread(lambda: load_config(base_dir))
    except ConfigError as error:
        return Examination(base_dir, None, (wrong("config", str(error), "mend config.json; kit/config/schema.json"),))
    except TimeoutError:
        return Examination(base_dir, None, (wrong("config", "it cannot be read in time", DISK_HANGS),))
    whose = in_thread(lambda: [*check_config(config), check_user(config.base_dir)])
    first = await within(DISK_WITHIN_S, "config", DISK_HANGS, whose)
    if any(finding.level is Level.WRONG for finding in first):
        return Examination(base_dir, config, tuple(first))
    exchange, machine, folder, prefect = await asyncio.gather(
        _check_exchange(config),
        within(DISK_WITHIN_S, "machine", "it is overloaded", in_thread(check_machine)),
        within(DISK_WITHIN_S, "folder", DISK_HANGS, in_thread(lambda: _check_folder(config))),
        within(SERVER_WITHIN_S, "Prefect", START_SERVER, check_server(config, server)),
    )
    return Examination(base_dir, config, (*first, *machine, *exchange, *folder, *prefect, check_notify(config)))


async def _check_exchange(config: MarketConfig) -> list[Finding]:
    """REST, then what needs the symbols: the stream, and the room that they take."""
    symbols: tuple[str, ...] | None = None

    async def by_rest() -> list[Finding]:
        nonlocal symbols
        report = await check_rest(config)
        symbols = report.symbols
        return report.findings

    async def by_stream() -> list[Finding]:
        return [await check_stream(config, symbols or config.keep_symbols or ())]

    findings = await within(REST_WITHIN_S, "REST", BLOCKED, by_rest())
    if symbols or config.keep_symbols:
        findings += await within(STREAM_WITHIN_S, "WebSocket", BLOCKED, by_stream())
    else:
        findings.append(warning("WebSocket", "not tried: no symbol is known", "mend what is wrong with REST first"))
    count = None if symbols is None else len(symbols)
    return findings + await within(DISK_WITHIN_S, "disk", DISK_HANGS, in_thread(lambda: [check_disk(config, count)]))


def _check_folder(config: MarketConfig) -> list[Finding]:
    base_dir = config.base_dir
    return [check_writing(base_dir), check_damaged(base_dir), check_file_system(base_dir), *check_writers(config)]


def check_notify(config: MarketConfig) -> Finding:
    """Is anybody told when something is wrong?"""
    names = [target.name for target in targets_of(config)]
    if names:
        return ok("alarms", f"{', '.join(names)}; try them: python -m kit notify-test {config.base_dir}")
    return warning("alarms", "nobody is told when something is wrong", "set `notify` in config.json (apprise URLs)")
