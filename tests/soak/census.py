"""What a process is made of: objects by type, entries of containers, pieces of memory, open files. And what grew."""

from __future__ import annotations

import gc
import sys
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import psutil


def census() -> dict[str, Any]:
    """What there is now, when nothing is left to be thrown away.

    ``objects``: how many the garbage collector knows by type; ``held``: how many entries dicts, lists, sets and deques
    have together; ``blocks``: how many pieces of memory python has given out; ``files``: descriptors; ``rss`` in MB.
    """
    while gc.collect():
        pass
    objects = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    # What a container of plain values holds the collector may not know, nor the container itself.
    sizes: Counter[str] = Counter()
    seen: set[int] = set()
    for each in (inner for outer in gc.get_objects() for inner in gc.get_referents(outer)):
        if isinstance(each, dict | list | set | deque) and id(each) not in seen:
            seen.add(id(each))
            sizes[type(each).__qualname__] += len(each)
    process = psutil.Process()
    return {
        "objects": dict(objects.most_common()),
        "held": dict(sizes.most_common()),
        "blocks": sys.getallocatedblocks(),
        "files": process.num_fds(),
        "rss": process.memory_info().rss / 1e6,
    }


def grown(looks: Sequence[Mapping[str, Any]], *, settled: int, allowed: int) -> dict[str, list[int]]:
    """What there is more of at each look than at the one before, by more than ``allowed``: kind to its counts. Pure.

    Counted from the look ``settled`` on. What is filled once (a cache, a module when it is first needed) is no growth.
    ``blocks`` are not judged: what goes up and down by itself (interned names, numbers) would hide a small leak.
    """
    counts = [_flat(look) for look in looks[settled - 1 :]]
    by_kind = {kind: [each.get(kind, 0) for each in counts] for kind in counts[-1]}
    return {
        kind: series
        for kind, series in by_kind.items()
        if all(after - before > allowed for before, after in pairwise(series))
    }


def _flat(look: Mapping[str, Any]) -> dict[str, int]:
    kinds = {f"{what}: {kind}": count for what in ("objects", "held") for kind, count in look[what].items()}
    return {**kinds, "files": look["files"]}
