"""What is known of each symbol's history at the exchange: where it begins, where it stopped, which holes are real."""

from __future__ import annotations

import msgspec
import structlog

from kit.buffer.files import write_atomically
from kit.buffer.layout import Folder

log = structlog.get_logger(__name__)


class Hole(msgspec.Struct, frozen=True):
    """Begin times from first to last (milliseconds, both included) of which the exchange gave no candle."""

    first_ms: int
    last_ms: int
    reason: str = ""
    asked_ms: int = 0


class SymbolState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One symbol. All times are begin times of candles in milliseconds unless they say otherwise.

    ``first_ms``: its first candle at the exchange, once that is sure; None: it may be older than the window.
    ``listed_ms``: where its first candle should be, by the listing date or by when it first appeared.
    ``stopped_ms``: the moment at which it was first seen not trading; None while it trades.
    ``since_ms``: before it another asset had this ticker; nothing older belongs to this one.
    ``unanswered``: the exchange answered once without these candles. ``gaps``: it did so twice, they do not exist.
    """

    status: str
    onboard_ms: int | None = None
    first_ms: int | None = None
    listed_ms: int | None = None
    stopped_ms: int | None = None
    since_ms: int | None = None
    unanswered: list[Hole] = []
    gaps: list[Hole] = []


class States(msgspec.Struct, kw_only=True):
    """The states of a market's symbols, and how far the look-backs have come (run times in milliseconds)."""

    symbols: dict[str, SymbolState] = {}
    reread_until_ms: int = 0
    audited_at_ms: int = 0


def load_states(folder: Folder) -> States:
    """What was saved; empty for a new market, and when it is damaged: the exchange tells all of it again."""
    try:
        return msgspec.json.decode(folder.symbol_states.read_bytes(), type=States)
    except FileNotFoundError:
        return States()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.warning("symbols.damaged", path=str(folder.symbol_states), error=str(error))
        return States()


def save_states(folder: Folder, states: States) -> bool:
    """Save when something changed; whether it did."""
    data = msgspec.json.format(msgspec.json.encode(states), indent=1)
    if folder.symbol_states.exists() and folder.symbol_states.read_bytes() == data:
        return False
    write_atomically(folder.symbol_states, data)
    return True
