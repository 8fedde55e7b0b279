"""The machine and the installation: Python, packages, limits of the system."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import resource
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

import kit
from kit.doctor.finding import Finding, ok, warning, wrong

LOCK_FILE = Path(kit.__file__).parents[1] / "requirements" / "run.txt"
OLDEST_PYTHON = (3, 11)

ENOUGH_FILES = 1024
"""What Linux grants a login. Streamer and worker have some 60 open, a reader as many as a market has slices at most."""

INOTIFY = Path("/proc/sys/fs/inotify")
FREE_INSTANCES = 16
"""Each process that waits for a market takes one."""


def check_machine() -> list[Finding]:
    """All that is said here."""
    return [check_python(), check_packages(LOCK_FILE), check_open_files(), check_inotify()]


def check_python() -> Finding:
    """Is this Python new enough?"""
    seen = f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return ok("python", seen)
    return wrong("python", seen, "use Python {}.{} or newer".format(*OLDEST_PYTHON))


def check_packages(lock_file: Path) -> Finding:
    """Are the packages those of the lock? Others were not tested, and some are known to fail silently."""
    try:
        text = lock_file.read_text(encoding="utf-8")
    except OSError:
        return warning("packages", f"there is no {lock_file}", "install from a checkout of the repository: make setup")
    locked = list(_locked(text.splitlines()))
    others = [difference for each in locked if (difference := _difference(each)) is not None]
    if not others:
        return ok("packages", f"all {len(locked)} of {lock_file.name} are installed")
    shown = ", ".join(others[:5]) + (" ..." if len(others) > 5 else "")  # noqa: PLR2004 - a line's worth
    return warning("packages", f"not as locked: {shown}", f"make setup, or uv pip sync {lock_file}")


def _locked(lines: Iterable[str]) -> Iterable[Requirement]:
    """The requirements that are meant for this system."""
    for line in lines:
        if line[:1].isalnum():
            with contextlib.suppress(InvalidRequirement):
                requirement = Requirement(line.rstrip("\\ "))
                if requirement.marker is None or requirement.marker.evaluate():
                    yield requirement


def _difference(requirement: Requirement) -> str | None:
    try:
        here = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    return None if requirement.specifier.contains(here, prereleases=True) else f"{requirement.name} {here}"


def check_open_files() -> Finding:
    """May a process open enough files?"""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= ENOUGH_FILES:
        return ok("open files", f"{soft} a process")
    return warning("open files", f"{soft} a process", f"ulimit -n {ENOUGH_FILES}, or LimitNOFILE= of the unit")


def check_inotify(folder: Path = INOTIFY, processes: Path = Path("/proc")) -> Finding:
    """May readers still be woken by the file system? Without, they look once a second."""
    try:
        instances = int((folder / "max_user_instances").read_text(encoding="ascii"))
        watches = int((folder / "max_user_watches").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return ok("inotify", "this system does not tell its limits")
    used = _inotify_instances(processes)
    seen = f"{used} of {instances} instances used by this user, {watches} watches each"
    if instances - used >= FREE_INSTANCES:
        return ok("inotify", seen)
    return warning("inotify", seen, f"sysctl fs.inotify.max_user_instances={max(1024, 2 * instances)}")


def _inotify_instances(processes: Path) -> int:
    """How many this user's processes have open."""
    count = 0
    for process in processes.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or is another user's
            if process.stat().st_uid == os.getuid():
                links = [str(each.readlink()) for each in (process / "fd").iterdir()]
                count += links.count("anon_inode:inotify")
    return count
