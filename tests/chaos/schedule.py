"""Random sequences of faults, several at once: a pure function of the seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tests.chaos.acts import Act, Timed, fault

Maker = Callable[[random.Random, Sequence[str]], Act]

SPOT_SYMBOLS = (
    *("BTCUSDT", "ETHUSDT", "SOLUSDT", "币安人生USDT", "PEPEUSDT", "FRESHUSDT", "BNBUSDT", "XRPUSDT", "DOGEUSDT"),
    "ADAUSDT",
)
"""The ten pairs of the stage. The perpetuals have the same names, but for 1000PEPEUSDT."""


def _lasts(chance: random.Random, longest: float = 10.0) -> float:
    return round(chance.uniform(1.0, longest), 1)


def _final(name: str, **keys: object) -> Maker:
    return lambda chance, symbols: fault(
        name, _lasts(chance), symbols=tuple(sorted(chance.sample(symbols, chance.randint(1, 4)))), **keys
    )


def _share(name: str, **keys: object) -> Maker:
    return lambda chance, _: fault(name, _lasts(chance), share=round(chance.uniform(0.2, 1.0), 2), **keys)


def _frames(name: str, **keys: object) -> Maker:
    return lambda chance, _: fault(name, _lasts(chance), every_n=chance.randint(2, 9), **keys)


def _process(what: str, name: str, longest: float) -> Maker:
    return lambda chance, _: Act(what, name, lasts_s=_lasts(chance, longest))


def _connections(how: str) -> Maker:
    return lambda chance, _: Act("connections", how, (("share", round(chance.uniform(0.3, 1.0), 2)),))


def _forward(chance: random.Random, _: Sequence[str]) -> Act:
    return Act("skew", "clock", (("skew_ms", chance.randint(-900, 1900)),), _lasts(chance))


PALETTE: tuple[tuple[int, Maker], ...] = (
    (4, _final("finals_dropped")),
    (1, _final("finals_duplicated", copies=2)),
    (1, _final("finals_out_of_order", within_ms=1500)),
    (1, _final("finals_late", by_ms=4000)),
    (1, _final("finals_late", by_ms=15_000)),
    (1, _final("finals_corrected_twice")),
    (1, _final("finals_early", by_ms=300)),
    (1, _frames("frames_garbage")),
    (1, _frames("frames_truncated")),
    (1, _frames("frames_wrong_types")),
    (1, _frames("frames_binary")),
    (1, _frames("frames_oversized", bytes=200_000)),
    (2, _share("silence")),
    (2, _share("freeze")),
    (1, _share("never_delivers")),
    (1, _share("partial_resubscription")),
    (1, _share("slow_acknowledgement", by_ms=3000)),
    (1, _share("subscription_error")),
    (1, lambda chance, _: fault("refuse", _lasts(chance), how=chance.choice(("http", "reset")))),
    (2, _connections("abort")),
    (1, _connections("close")),
    (1, _connections("server_shutdown")),
    (1, _connections("life")),
    (1, _share("rest_429", retry_after_s=2)),
    (1, _share("rest_418", ban_s=4)),
    (1, _share("rest_empty_202")),
    (1, _share("rest_maintenance")),
    (1, _share("rest_5xx", status=502)),
    (1, _share("rest_timeout")),
    (1, _share("rest_reset")),
    (1, _share("rest_truncated_json")),
    (1, _share("rest_wrong_types")),
    (1, _share("klines_stale", for_ms=6000)),
    (1, _share("klines_unfinished", for_ms=6000)),
    (1, _share("klines_hole_for_a_while")),
    (2, _process("kill", "streamer", 3.0)),
    (2, _process("kill", "flow", 3.0)),
    (1, _process("pause", "streamer", 8.0)),
    (1, _process("pause", "flow", 8.0)),
    (1, _forward),
)
"""How often, and what."""

ENDLESS: tuple[tuple[int, Maker], ...] = (
    (2, _final("finals_corrected")),
    (1, _share("klines_hole")),
    (1, _share("quiet")),
    (1, lambda chance, symbols: Act("market", "list", _like(chance, symbols))),
    (1, lambda chance, symbols: Act("market", "delist", (("venue", "spot"), ("symbol", chance.choice(symbols[6:]))))),
)
"""What takes longer to be right again than the others: an audit's turn, a minute's patience, a listing."""


def _like(chance: random.Random, symbols: Sequence[str]) -> tuple[tuple[str, object], ...]:
    name = "".join(chance.choice("BCDFGHJKLM") for _ in range(5))
    return (("venue", "spot"), ("symbol", f"{name}USDT"), ("like", chance.choice(symbols)))


def schedule(seed: int, seconds: float, *, every_s: float = 2.5, endless: bool = False) -> tuple[Timed, ...]:
    """Acts over so many seconds, one about every ``every_s``, most of them overlapping. ``endless`` takes in what takes
    minutes to be right again."""
    chance = random.Random(seed)
    palette = PALETTE + ENDLESS if endless else PALETTE
    makers = [maker for weight, maker in palette for _ in range(weight)]
    timeline = []
    at_s = 0.0
    while (at_s := round(at_s + chance.expovariate(1 / every_s), 1)) < seconds:
        timeline.append(Timed(at_s, chance.choice(makers)(chance, SPOT_SYMBOLS)))
    return tuple(timeline)
