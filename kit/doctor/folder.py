"""The base directory: whose it is, whether it can be written, what kind of disk it lies on, and how much is free."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import stat
import tempfile
import time
from pathlib import Path

import psutil

from kit.alarms.judge import GB, disk_needs
from kit.buffer.layout import ASIDE
from kit.config import CONFIG_NAME, MarketConfig
from kit.doctor.finding import Finding, ok, warning, wrong

BYTES_PER_CANDLE = 150
"""A stored candle has 50 bytes (measured: 192,000 in a block of 9.7 MB). While blocks are compacted old and new lie
side by side, and a third as much is for slices, revisions and ledger."""
RESAMPLED_AT_MOST = 2
"""Longer candles of every offset, taken together, are about as many as the market's own."""
MANY_SYMBOLS = 750
"""The largest slice of late 2026, where the exchange did not say how many there are."""

NETWORK_KINDS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "beegfs", "virtiofs"}
)
SLOW_WRITE_S = 0.5
"""A file with its fsync takes some ms on a disk; the streamer writes up to some tens of them a second after a close."""


def check_config(config: MarketConfig) -> list[Finding]:
    """What can be read of it, and what others could do: change what comes unencrypted, read the secrets in the file."""
    findings = [ok("config", f"{config.trade_type} {config.interval}, {config.num_candles} candles")]
    if keys := config.unencrypted():
        todo = "use https:// and wss://: who is on the way could change the candles"
        findings.append(warning("encryption", f"none for {', '.join(keys)}", todo))
    path = config.base_dir / CONFIG_NAME
    if config.secrets() and stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH:
        findings.append(warning("secrets", f"every user can read those in {path}", f"chmod o-r {path}"))
    return findings


def check_user(base_dir: Path) -> Finding:
    """Root must not look at another's folder: what it leaves there and in the weight budget the other cannot write."""
    owner = base_dir.stat().st_uid
    me = os.geteuid()
    if me == 0 and owner != 0:
        name = _user(owner)
        return wrong("user", f"you are root, the folder is {name}'s", f"sudo -u {name} python -m kit doctor {base_dir}")
    return ok("user", _user(me))


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # in a container there need not be one
        return f"#{number}"


def check_writing(base_dir: Path) -> Finding:
    """Write a file, force it to the disk, lock it, take it away again."""
    began = time.monotonic()
    try:
        with tempfile.NamedTemporaryFile(dir=base_dir, prefix=".doctor-") as file:
            file.write(b"doctor")
            file.flush()
            os.fsync(file.fileno())
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        todo = "give the folder to the user who runs streamer and worker, check the mount and the disk"
        return wrong("folder", f"{base_dir} cannot be written: {error.strerror or error}", todo)
    took = time.monotonic() - began
    seen = f"{base_dir}: a file is written, forced to the disk and locked in {took * 1000:.0f} ms"
    if took < SLOW_WRITE_S:
        return ok("folder", seen)
    return warning("folder", seen, "a faster disk; candles are readable as late as that")


def check_damaged(base_dir: Path) -> Finding:
    """Has the flow put files aside that somebody damaged?"""
    found = [path for pattern in (f"*/{ASIDE}*", f"*/*/{ASIDE}*") for path in base_dir.glob(pattern)]
    if not found:
        return ok("files", "none is damaged")
    some = ", ".join(str(path.relative_to(base_dir)) for path in sorted(found)[:3]) + (" ..." if len(found) > 3 else "")  # noqa: PLR2004 - a line's worth
    return warning("files", f"{len(found)} put aside as damaged: {some}", "check the disk, then delete them")


def check_file_system(base_dir: Path) -> Finding:
    """What kind of file system is it?"""
    return judge_file_system(_kind_of(base_dir.resolve()))


def _kind_of(path: Path) -> str:
    """The kind of the innermost mount that ``path`` is in; empty where it cannot be told."""
    mounts = [each for each in psutil.disk_partitions(all=True) if path.is_relative_to(each.mountpoint)]
    return max(mounts, key=lambda each: len(each.mountpoint)).fstype if mounts else ""


def judge_file_system(kind: str) -> Finding:
    """Is this kind fit for a buffer?"""
    if kind in NETWORK_KINDS or kind.startswith("fuse."):
        seen = f"{kind}: readers on other machines are not woken, and locks may outlive their holders"
        return warning("file system", seen, "put the folder on a local disk, and readers on the same machine")
    if kind in ("tmpfs", "ramfs"):
        return warning("file system", f"{kind}: gone after a restart of the machine", "put the folder on a disk")
    if kind == "overlay":
        return warning("file system", "a container's own layer: gone with the container", "mount a volume")
    return ok("file system", kind or "unknown")


def check_disk(config: MarketConfig, symbols: int | None) -> Finding:
    """Is there room for the whole window?"""
    usage = shutil.disk_usage(config.base_dir)
    return judge_disk(config, symbols, total=usage.total, free=usage.free, taken=_taken(config.base_dir))


def _taken(base_dir: Path) -> int:
    taken = 0
    for folder, _, names in os.walk(base_dir):
        for name in names:
            with contextlib.suppress(OSError):  # compacted away meanwhile
                taken += os.stat(os.path.join(folder, name)).st_size  # noqa: PTH116, PTH118 - ten thousand files
    return taken


def judge_disk(config: MarketConfig, symbols: int | None, *, total: int, free: int, taken: int) -> Finding:
    """``free`` and ``total`` are the file system's, ``taken`` what the folder has already; bytes."""
    count = MANY_SYMBOLS if symbols is None else symbols
    kinds = 1 if config.resample is None else RESAMPLED_AT_MOST
    needed = max(0, count * config.num_candles * BYTES_PER_CANDLE * kinds - taken)
    spare = int(disk_needs(total))
    seen = f"{free / GB:.1f} of {total / GB:.0f} GB free; {count} symbols x {config.num_candles} candles take another "
    seen += f"{needed / GB:.2f} GB at most"
    if free < needed:
        return wrong("disk", seen, "make room, use a larger disk, or lower num_candles in config.json")
    if free < needed + spare:
        return warning("disk", seen, f"make room: {spare / GB:.1f} GB should stay free, below that alarms are sent")
    return ok("disk", seen)
