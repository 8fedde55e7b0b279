"""What clients did: requests, their weight, refusals and bans, connections. Judges read it; nothing acts on it."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any

from kit.embedded_exchange.weights import Decision, Verdict

_CONNECTIONS_WINDOW_S = 300.0  # the exchange counts attempts in five minutes


class Ledger:
    """One for both ports. ``pool`` is ``spot`` or ``futures``."""

    def __init__(self, weight_limits: dict[str, int]) -> None:
        self._limits = weight_limits
        self.reset()

    def reset(self) -> None:
        """Counts from zero."""
        self._statuses: Counter[int] = Counter()
        self._paths: Counter[str] = Counter()
        self._faulty: Counter[int] = Counter()
        self._counts: Counter[str] = Counter()
        self._most_weight = dict.fromkeys(self._limits, 0)
        self._most_connections = dict.fromkeys(self._limits, 0)
        self._attempts: dict[str, deque[float]] = {pool: deque() for pool in self._limits}
        self._stopped_until_ms: dict[tuple[str, str], int] = {}

    def weighed(self, pool: str, address: str, decision: Decision, now_ms: int) -> None:
        """A request came; that is its weight and verdict, before any fault."""
        self._most_weight[pool] = max(self._most_weight[pool], decision.used)
        if decision.verdict is Verdict.BANNED and decision.banned_before:
            self._counts["requests_while_banned"] += 1
        elif now_ms < self._stopped_until_ms.get((pool, address), 0):
            self._counts["requests_before_retry_after"] += 1

    def answered(self, path: str, status: int, *, by_fault: bool) -> None:
        """What it was answered, and whether a fault decided that."""
        self._paths[path] += 1
        self._statuses[status] += 1
        self._faulty[status] += by_fault

    def told_to_wait(self, pool: str, address: str, until_ms: int) -> None:
        """It got a 429 with ``Retry-After``."""
        self._stopped_until_ms[pool, address] = until_ms

    def attempt(self, pool: str) -> None:
        """A client tried to open a WebSocket connection."""
        now = time.monotonic()
        attempts = self._attempts[pool]
        attempts.append(now)
        while now - attempts[0] > _CONNECTIONS_WINDOW_S:
            attempts.popleft()
        self._most_connections[pool] = max(self._most_connections[pool], len(attempts))
        self._counts["connection_attempts"] += 1

    def opened(self) -> None:
        """A WebSocket connection came about."""
        self._counts["connections_opened"] += 1

    def too_fast(self) -> None:
        """A connection was ended because its client sent too many messages in a second."""
        self._counts["messages_too_fast"] += 1

    def as_json(self) -> dict[str, Any]:
        """All counts. ``served_*`` and ``by_status`` hold what faults did as well, ``by_fault`` that part alone."""
        names = ("requests_while_banned", "requests_before_retry_after", "connection_attempts", "connections_opened",
                 "messages_too_fast")  # fmt: skip
        return {
            "requests": self._statuses.total(),
            "by_status": {str(status): count for status, count in sorted(self._statuses.items())},
            "by_fault": {str(status): count for status, count in sorted(self._faulty.items()) if count},
            "by_path": dict(sorted(self._paths.items())),
            "served_429": self._statuses[429],
            "served_418": self._statuses[418],
            "max_weight_used": self._most_weight,
            "weight_limit": self._limits,
            **{name: self._counts[name] for name in names},
            "most_connections_in_5_min": max(self._most_connections.values()),
            "most_connections_in_5_min_by_port": self._most_connections,
        }
