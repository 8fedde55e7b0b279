"""What is known of each symbol's history at the exchange: where it begins, where it stopped, which holes are real."""

from __future__ import annotations

from typing import Annotated

import msgspec
import structlog

from kit.buffer.files import write_atomically
from kit.buffer.layout import Folder
from kit.outside import MEGABYTE, UNREADABLE, read_bounded
from kit.words import LAST_MS

log = structlog.get_logger(__name__)

MAX_BYTES = 256 * MEGABYTE
"""750 symbols have 0.2 MB; each hole of one adds 60 bytes, and a window holds 10000 candles of each at most."""

Ms = Annotated[int, msgspec.Meta(ge=0, le=LAST_MS)]


class Hole(msgspec.Struct, frozen=True):
    """Begin times from first to last (milliseconds, both included) of which the exchange gave no candle."""

    first_ms: Ms
    last_ms: Ms
    reason: str = ""
    asked_ms: Ms = 0


class SymbolState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One symbol. All times are begin times of candles in milliseconds unless they say otherwise.

    ``first_ms``: its first candle at the exchange, once that is sure; None: it may be older than the window.
    ``listed_ms``: where its first candle should be, by the listing date or by when it first appeared.
    ``stopped_ms``: the moment at which it was first seen not trading; None while it trades.
    ``since_ms``: before it another asset had this ticker; nothing older belongs to this one.
    ``audited_ms``: when its candles were last compared with what REST says.
    ``unanswered``: the exchange answered once without these candles. ``gaps``: it did so twice, they do not exist.
    ``halts``: candles that began and closed while it was seen not trading, before it traded again; the newest few.
    """

    status: str
    onboard_ms: Ms | None = None
    first_ms: Ms | None = None
    listed_ms: Ms | None = None
    stopped_ms: Ms | None = None
    since_ms: Ms | None = None
    audited_ms: Ms = 0
    unanswered: list[Hole] = []
    gaps: list[Hole] = []
    halts: list[Hole] = []


class States(msgspec.Struct, kw_only=True):
    """The states of a market's symbols, how far the look-backs have come, when the exchange info was fetched
    (milliseconds). ``contradicted_ms``: contradictions that the streamer saw until then have been looked into."""

    symbols: dict[str, SymbolState] = {}
    reread_until_ms: Ms = 0
    audited_at_ms: Ms = 0
    contradicted_ms: Ms = 0
    exchange_info_at_ms: Ms = 0


def load_states(folder: Folder) -> States:
    """What was saved; empty for a new market, and when it is damaged: the exchange tells all of it again."""
    try:
        return msgspec.json.decode(read_bounded(folder.symbol_states, MAX_BYTES), type=States)
    except FileNotFoundError:
        return States()
    except UNREADABLE as error:
        log.warning("symbols.damaged", path=str(folder.symbol_states), error=str(error))
        return States()


def save_states(folder: Folder, states: States) -> bool:
    """Save when something changed; whether it did."""
    data = msgspec.json.format(msgspec.json.encode(states), indent=1)
    if folder.symbol_states.exists() and folder.symbol_states.read_bytes() == data:
        return False
    write_atomically(folder.symbol_states, data)
    return True
