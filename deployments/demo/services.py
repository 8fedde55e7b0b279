"""The processes of the demo: started in order, watched, ended in reverse."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 8.0
"""Seconds a process has to leave after SIGTERM before it is killed."""


PORT_TAKEN = "address already in use"
"""What a server says whose port somebody took after it had been found free: another demo that began just then, say."""


class ServiceDiedError(Exception):
    """A process of the demo ended by itself; tells which, and the end of its log."""


@dataclass
class Service:
    """A process whose output goes to a log file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def tail(self, lines: int = 15) -> str:
        """The end of its log; before it the line that tells of a port that is taken, where much was said since."""
        said = self.log.read_text(errors="replace").splitlines()
        causes = [line for line in said[:-lines] if PORT_TAKEN in line.lower()]
        return "\n".join([*causes[-1:], *said[-lines:]])


@dataclass
class Services:
    """What has been started, in order."""

    folder: Path
    environment: Mapping[str, str]
    started: list[Service] = field(default_factory=list)

    def start(self, name: str, arguments: Sequence[str]) -> Service:
        """Start ``python ARGUMENTS`` with its log in the demo's folder."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(  # noqa: S603 - our own programs with arguments of our own
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=dict(self.environment),
                # A group of its own: Ctrl-C reaches the demo alone, which then ends the others in order.
                start_new_session=True,
                preexec_fn=_default_interrupt,  # noqa: PLW1509 - no threads have been started yet
            )
        service = Service(name, process, log)
        self.started.append(service)
        return service

    def check(self) -> None:
        """Raise ServiceDiedError when one of them has ended."""
        for service in self.started:
            if not service.alive:
                code = service.process.returncode
                raise ServiceDiedError(
                    f"{service.name} ended with code {code}; the end of {service.log}:\n{service.tail()}"
                )

    def stop(self) -> None:
        """End them all, the last started first."""
        for service in reversed(self.started):
            with contextlib.suppress(ProcessLookupError):
                service.process.terminate()
            try:
                service.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(service.process.pid, signal.SIGKILL)
                service.process.wait()
        self.started.clear()


@contextlib.contextmanager
def running(folder: Path, environment: Mapping[str, str]) -> Iterator[Services]:
    """Services that are all ended on the way out, whatever happens."""
    services = Services(folder, environment)
    try:
        yield services
    finally:
        services.stop()


def _default_interrupt() -> None:
    """Prefect's server ends itself by SIGINT; a shell's background job hands down that signal ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
