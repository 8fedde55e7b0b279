"""Files that appear whole: written under a temporary name, fsynced, renamed, the folder fsynced.

Also the one place that knows the columns of a candle file and turns tables into parquet or feather bytes.
pyarrow only: the streamer must stay small.
"""

from __future__ import annotations

import os
import secrets
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from kit.durable import naming, sync_folder
from kit.exchange_clock import unset_wall_s
from kit.words import Candle, Source

TEMPORARY_PREFIX = ".tmp-"

ABANDONED_AFTER = timedelta(minutes=10)
"""A temporary file lives for milliseconds, on a disk that hangs for seconds; one of this age has no writer any more."""

FLOAT_COLUMNS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "taker_buy_base_asset_volume",
    "taker_buy_quote_asset_volume",
)
VALUE_COLUMNS = (*FLOAT_COLUMNS[:6], "trade_num", *FLOAT_COLUMNS[6:])
"""The columns of a candle in BMAC's order, after symbol and candle_begin_time."""

PROVENANCE_COLUMNS = ("source", "received_time")

_TIME = pa.timestamp("us", "UTC")
_NAME = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("symbol", _NAME),
        ("candle_begin_time", _TIME),
        *((name, pa.int64() if name == "trade_num" else pa.float64()) for name in VALUE_COLUMNS),
        ("source", _NAME),
        ("received_time", _TIME),
    ]
)
"""symbol; candle_begin_time (UTC, microseconds); BMAC's values; source (a ``Source``); received_time: when it came."""

ROW_GROUP = 8192
"""Rows a row group: small enough that one symbol of a compacted block is read without decoding the others."""


def candle_table(rows: Iterable[tuple[Candle, int]], source: Source) -> pa.Table:
    """A table of candles with the milliseconds at which each was received, sorted by symbol, then time."""
    ordered = sorted(rows)
    columns: list[Any] = list(zip(*(candle for candle, _ in ordered), strict=True)) or [()] * len(Candle._fields)
    by_name = dict(zip(Candle._fields, columns, strict=True))
    arrays = [
        _names(by_name["symbol"]),
        _times(by_name["begin_ms"]),
        *(_numbers(by_name[name], SCHEMA.field(name).type) for name in VALUE_COLUMNS),
        _names([str(source)] * len(ordered)),
        _times([received for _, received in ordered]),
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


# From buffers and not by pa.array: that imports pandas to look whether it was given a Series, which would cost the
# streamer 50 MB and its first slice 0.3 s.


def _numbers(values: Sequence[float], kind: pa.DataType) -> pa.Array:
    numbers = array("d" if pa.types.is_floating(kind) else "q", values)
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])


def _times(moments_ms: Sequence[int]) -> pa.Array:
    return _numbers([ms * 1000 for ms in moments_ms], pa.int64()).view(_TIME)


def _names(names: Sequence[str]) -> pa.Array:
    distinct = list(dict.fromkeys(names))
    code_of = {name: code for code, name in enumerate(distinct)}
    encoded = [name.encode() for name in distinct]
    offsets = array("i", accumulate(map(len, encoded), initial=0))
    words = pa.Array.from_buffers(
        pa.string(), len(encoded), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    )
    codes = array("i", [code_of[name] for name in names])
    indices = pa.Array.from_buffers(pa.int32(), len(codes), [None, pa.py_buffer(codes)])
    return pa.DictionaryArray.from_arrays(indices, words)


def encode(table: pa.Table, save_type: str) -> pa.Buffer:
    """The bytes of a table as a parquet or feather file, LZ4 both."""
    sink = pa.BufferOutputStream()
    if save_type == "feather":
        # Not through pyarrow.feather: it imports pandas, which would double the streamer's memory.
        options = pyarrow.ipc.IpcWriteOptions(compression="lz4")
        with pyarrow.ipc.new_file(sink, table.schema, options=options) as writer:
            writer.write_table(table)
    else:
        pyarrow.parquet.write_table(
            table,
            sink,
            compression="lz4",
            row_group_size=ROW_GROUP,
            use_dictionary=[field.name for field in table.schema if pa.types.is_dictionary(field.type)],
            write_statistics=[name for name in ("symbol", "candle_begin_time") if name in table.column_names],
        )
    return sink.getvalue()


def write_table(path: Path, table: pa.Table, save_type: str) -> int:
    """Write a table so that it appears whole; the bytes written. OSError when the disk refuses."""
    data = encode(table, save_type)
    write_atomically(path, data)
    return len(data)


def write_atomically(path: Path, data: bytes | pa.Buffer) -> None:
    """Make ``path`` hold ``data`` whole, or leave what was there; it survives a power cut once this returns.

    Raises:
        OSError: the disk refuses; names the file. ``path`` holds what it did, or ``data`` whole where only the folder
            could not be made durable.
    """
    # A name of its own: a pid does not tell two writers apart that run as number 1 of their containers.
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    with naming(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(temporary, path)  # noqa: PTH104 - the system calls of this function stand side by side
        except OSError:
            with suppress(OSError):  # then it is removed by its age; what went wrong first is what is told
                temporary.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def remove_temporaries(folder: Path) -> int:
    """Delete temporary files that writers left behind when they were killed; how many.

    Told by age: pids say nothing, since writers in other containers have the same ones.
    """
    removed = 0
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        try:
            if unset_wall_s() - path.stat().st_mtime > ABANDONED_AFTER.total_seconds():
                path.unlink()
                removed += 1
        except OSError:
            continue  # its writer was quicker, or the disk refuses: it is in nobody's way, and tried again
    return removed
