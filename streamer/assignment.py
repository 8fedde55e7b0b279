"""Which stream is read by which connection: balanced, and stable when the market changes. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def connections_needed(streams: int, listeners: int, max_streams: int) -> int:
    """How many connections carry ``streams``: as many as configured, never an idle one, never one too full."""
    return max(min(listeners, streams), -(-streams // max_streams))


def assign(wanted: Collection[str], current: Mapping[str, int], *, listeners: int, max_streams: int) -> dict[str, int]:
    """The connection (0, 1, ...) of every wanted stream.

    A stream stays where it is as long as that connection exists and has room; others go to the least loaded one, so
    a listing touches one connection and a delisting none but its own.
    """
    slots = connections_needed(len(wanted), listeners, max_streams)
    assigned: dict[str, int] = {}
    load: Counter[int] = Counter()
    for stream in sorted(wanted):
        slot = current.get(stream)
        if slot is not None and slot < slots and load[slot] < max_streams:
            assigned[stream] = slot
            load[slot] += 1
    heap = [(load[slot], slot) for slot in range(slots)]
    heapq.heapify(heap)
    for stream in sorted(set(wanted) - assigned.keys()):
        count, slot = heapq.heappop(heap)
        assigned[stream] = slot
        heapq.heappush(heap, (count + 1, slot))
    return _without_idle(assigned, slots)


def move(stream: str, current: Mapping[str, int], *, listeners: int, max_streams: int) -> dict[str, int]:
    """The same assignment with ``stream`` on the least loaded other connection, where there is one with room."""
    slots = connections_needed(len(current), listeners, max_streams)
    load = Counter(current.values())
    others = [slot for slot in range(slots) if slot != current[stream] and load[slot] < max_streams]
    if not others:
        return dict(current)
    return {**current, stream: min(others, key=lambda slot: (load[slot], slot))}


def _without_idle(assigned: dict[str, int], slots: int) -> dict[str, int]:
    """Give each connection that delistings have emptied one stream of the fullest: an idle one would be no use."""
    by_slot: dict[int, list[str]] = {slot: [] for slot in range(slots)}
    for stream, slot in assigned.items():
        by_slot[slot].append(stream)
    for slot in range(slots):
        if not by_slot[slot]:
            fullest = max(by_slot.values(), key=len)
            stream = fullest.pop()
            by_slot[slot].append(stream)
            assigned[stream] = slot
    return assigned
