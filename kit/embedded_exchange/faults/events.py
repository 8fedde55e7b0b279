"""Faults of single events: a function that frames a payload in place of the honest :func:`framed`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from kit.embedded_exchange.faults.active import Active, Faults
from kit.embedded_exchange.faults.kinds import WRONG_EVENTS
from kit.embedded_exchange.frames import BINARY_FRAME, framed
from kit.embedded_exchange.instrument import Instrument

Framing = Callable[[bytes], bytes]
_GARBAGE = b'{"e":"kline",\x7f<<< not json >>>'
# For each wrong type: the text it stands for in a sound event, and what is there instead.
_WRONG: dict[str, tuple[bytes, bytes]] = {
    "null": (rb'"c":"[^"]*"', b'"c":null'),
    "text_time": (rb'"t":\d+', b'"t":"yesterday"'),
    "list": (rb'"v":"[^"]*"', b'"v":["1","2"]'),
    "nan": (rb'"c":"[^"]*"', b'"c":"NaN"'),
    "infinity": (rb'"h":"[^"]*"', b'"h":"1e999"'),
    "number": (rb'"s":"[^"]*"', b'"s":17'),
    "truthy": (rb'"x":(true|false)', b'"x":"true"'),
    "no_candle": (rb'"k":\{[^}]*\}', b'"k":null'),
    "array": (rb'"k":\{([^}]*)\}', b'"k":[1,2,3]'),
}


def silenced(faults: Faults, instrument: Instrument, stream: str) -> bool:
    """``never_delivers``: this stream's events go nowhere."""
    found = next(
        (
            one
            for one in faults.named("never_delivers")
            if one.fault.concerns(instrument.venue, (instrument.symbol,)) and one.fault.picks(faults.seed, stream)
        ),
        None,
    )
    if found is not None:
        faults.hit(found)
    return found is not None


def framing(faults: Faults, instrument: Instrument) -> Framing:
    """How this event's payload becomes a frame: soundly, unless a fault's n-th event has come."""
    for one in faults.named(*_SPOILED):
        if not one.fault.concerns(instrument.venue, (instrument.symbol,)):
            continue
        one.seen += 1
        if one.seen % one.fault.whole("every_n") == 0 and one.fault.picks(faults.seed, instrument.symbol, one.seen):
            faults.hit(one)
            return partial(_SPOILED[one.fault.name], one)
    return framed


def _garbage(_: Active, _payload: bytes) -> bytes:
    return framed(_GARBAGE)


def _truncated(_: Active, payload: bytes) -> bytes:
    return framed(payload[: len(payload) // 2])


def _wrong_types(active: Active, payload: bytes) -> bytes:
    kind = active.fault.own["kind"] or WRONG_EVENTS[active.hits % len(WRONG_EVENTS)]
    pattern, wrong = _WRONG[str(kind)]
    return framed(re.sub(pattern, wrong, payload, count=1))


def _binary(_: Active, payload: bytes) -> bytes:
    return framed(payload, BINARY_FRAME)


def _oversized(active: Active, payload: bytes) -> bytes:
    return framed(payload.ljust(active.fault.whole("bytes")))


_SPOILED: dict[str, Callable[[Active, bytes], bytes]] = {
    "frames_garbage": _garbage,
    "frames_truncated": _truncated,
    "frames_wrong_types": _wrong_types,
    "frames_binary": _binary,
    "frames_oversized": _oversized,
}
