"""Who has been told what: when to tell, to remind, to tell that it is over, and when to hold back. Pure.

Each folder has a page. Folders whose alarms go to the same people are turned together, so that what happens at one
moment is one message, and so that the limit holds for all of them. Times are milliseconds of a clock that may be set
back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from kit.alarms.conditions import RULES, Condition, Facts, Kind, NewsKind, Sight, Symbols

MESSAGES, WINDOW_MS = 6, 600_000
"""At most so many messages in ten minutes; what is held back comes together in the next one."""
GATHER_MS = 3_000
"""A message waits so long for what happens at the same moment: the markets of a process close together."""
FLAPS_WITHIN_MS = 43_200_000
FLAP_FACTOR, LONGEST_SETTLE_MS = 4, 1_800_000
"""What was told before within twelve hours must be gone four times as long each time before it is called well: what
comes and goes all night wakes people a few times, not each half hour."""
MAX_NEWS = 50
"""Kept until they are told. A market of 600 symbols sees a handful in a day."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a key: wrong since ``since_ms`` (0: not now), as ``kind`` since ``kind_ms``, told as ``told``
    (None: not) at ``told_ms``. ``gone_ms``: not seen since then; ``alarmed_ms``: when it was told within twelve hours.
    """

    kind: Kind
    since_ms: int = 0
    kind_ms: int = 0
    told: Kind | None = None
    told_ms: int = 0
    gone_ms: int = 0
    alarmed_ms: tuple[int, ...] = ()

    @property
    def news(self) -> bool:
        """Whether people do not know it, or not how bad it has become."""
        return self.told is None or RULES[self.kind].rank > RULES[self.told].rank


class News(msgspec.Struct, frozen=True):
    """Something that happened once to symbols (with their status at the exchange, where that says more)."""

    kind: NewsKind
    symbols: dict[str, str]
    at_ms: int


class Known(msgspec.Struct, frozen=True):
    """The symbols of which people know: those that traded at the last look, and those that had stopped."""

    trading: frozenset[str]
    stopped: frozenset[str]


class Page(msgspec.Struct, frozen=True, omit_defaults=True):
    """A folder's page. ``sent_ms``: when messages went out within the window."""

    entries: dict[str, Entry] = {}
    sent_ms: tuple[int, ...] = ()
    news: tuple[News, ...] = ()
    known: Known | None = None

    @property
    def open_keys(self) -> frozenset[str]:
        """What has been told and is not over."""
        return frozenset(key for key, entry in self.entries.items() if entry.told is not None)


class Say(StrEnum):
    """What a line says."""

    ALARM = "alarm"
    STILL = "still"
    WELL = "well"
    NEWS = "news"


class Line(NamedTuple):
    """One line of a message: of which folder, what, and when it was first due."""

    say: Say
    folder: str
    key: str
    kind: Kind | NewsKind
    facts: Facts
    since_ms: int
    due_ms: int


@dataclass(frozen=True)
class Turn:
    """The pages after a look. ``lines``: the message to send now, none: nothing to send.

    ``again_ms``: when something that was seen may be told; None: not before something changes. ``full_until_ms``: this
    message was the last that may be sent until then.
    """

    pages: dict[str, Page]
    lines: tuple[Line, ...] = ()
    again_ms: int | None = None
    full_until_ms: int | None = None


def turn(pages: Mapping[str, Page], sights: Mapping[str, Sight], now_ms: int) -> Turn:
    """The pages of folders with the same readers, after a look at them (``sights`` has the same names)."""
    noted = {name: _noted(_sane(pages.get(name, Page()), now_ms), sight, now_ms) for name, sight in sights.items()}
    lines = [line for name, sight in sights.items() for line in _lines(name, noted[name], sight, now_ms)]
    due = [line for line in lines if line.due_ms <= now_ms]
    sent = sorted({moment for page in noted.values() for moment in page.sent_ms})
    free_ms = sent[-MESSAGES] + WINDOW_MS if len(sent) >= MESSAGES else now_ms
    ripe_ms = max(free_ms, min((line.due_ms for line in lines), default=now_ms) + GATHER_MS)
    if not due or now_ms < ripe_ms:
        return Turn(noted, again_ms=ripe_ms if lines else None)
    told = {name: _told(page, [line for line in due if line.folder == name], now_ms) for name, page in noted.items()}
    later = [line.due_ms + GATHER_MS for line in lines if line.due_ms > now_ms]
    full = len(sent) + 1 >= MESSAGES
    return Turn(
        told,
        tuple(due),
        again_ms=min(later, default=None),
        full_until_ms=([*sent, now_ms])[-MESSAGES] + WINDOW_MS if full else None,
    )


def settle_ms(entry: Entry) -> int:
    """How long it must be gone to be called well."""
    first = RULES[entry.told or entry.kind].settle_s * 1000
    return int(min(LONGEST_SETTLE_MS, first * FLAP_FACTOR ** max(0, len(entry.alarmed_ms) - 1)))


def _sane(page: Page, now_ms: int) -> Page:
    """The page without what is too old to matter, and without moments of the future: the clock was set back."""
    entries = {}
    for key, entry in page.entries.items():
        alarmed = tuple(min(moment, now_ms) for moment in entry.alarmed_ms if now_ms - moment < FLAPS_WITHIN_MS)
        entries[key] = replace(
            entry,
            since_ms=min(entry.since_ms, now_ms),
            kind_ms=min(entry.kind_ms, now_ms),
            told_ms=min(entry.told_ms, now_ms),
            gone_ms=min(entry.gone_ms, now_ms),
            alarmed_ms=alarmed,
        )
    sent = tuple(min(moment, now_ms) for moment in page.sent_ms if now_ms - moment < WINDOW_MS)
    news = tuple(replace(each, at_ms=min(each.at_ms, now_ms)) for each in page.news)
    return replace(page, entries=entries, sent_ms=sent, news=news)


def _noted(page: Page, sight: Sight, now_ms: int) -> Page:
    """The page with what is seen now, before anything of it is told."""
    conditions = {condition.key: condition for condition in sight.conditions}
    entries = {}
    for key in page.entries.keys() | conditions.keys():
        if key in conditions:
            entries[key] = _present(page.entries.get(key), conditions[key], now_ms)
        elif key in sight.blind:
            entries[key] = page.entries[key]
        else:
            absent = _absent(page.entries[key], now_ms)
            if absent is not None:
                entries[key] = absent
    news, known = page.news, page.known
    if sight.symbols is not None:
        news = (*news, *_news(known, sight.symbols, now_ms))[-MAX_NEWS:]
        known = _known(known, sight.symbols)
    return replace(page, entries=dict(sorted(entries.items())), news=news, known=known)


def _present(entry: Entry | None, condition: Condition, now_ms: int) -> Entry:
    if entry is None or not entry.since_ms:
        alarmed = entry.alarmed_ms if entry is not None else ()
        return Entry(condition.kind, since_ms=now_ms, kind_ms=now_ms, alarmed_ms=alarmed)
    kind_ms = entry.kind_ms if condition.kind is entry.kind else now_ms
    return replace(entry, kind=condition.kind, kind_ms=kind_ms, gone_ms=0)


def _absent(entry: Entry, now_ms: int) -> Entry | None:
    if entry.told is not None:
        return replace(entry, gone_ms=entry.gone_ms or now_ms)
    return Entry(entry.kind, alarmed_ms=entry.alarmed_ms) if entry.alarmed_ms else None


def _news(known: Known | None, symbols: Symbols, now_ms: int) -> Iterator[News]:
    """What happened to the symbols since the last look; nothing at the first."""
    if known is None:
        return
    fresh = symbols.trading - known.trading
    found = {
        NewsKind.LISTED: dict.fromkeys(sorted(fresh - known.stopped), ""),
        NewsKind.RESUMED: dict.fromkeys(sorted(fresh & known.stopped), ""),
        NewsKind.STOPPED: {
            symbol: symbols.stopped.get(symbol, "") for symbol in sorted(known.trading - symbols.trading)
        },
    }
    for kind, named in found.items():
        if named:
            yield News(kind, named, now_ms)


def _known(known: Known | None, symbols: Symbols) -> Known:
    before = frozenset() if known is None else known.trading | known.stopped
    return Known(symbols.trading, (before | symbols.stopped.keys()) - symbols.trading)


def _lines(folder: str, page: Page, sight: Sight, now_ms: int) -> Iterator[Line]:
    """Everything that is to be told now or later, unless it changes before."""
    conditions = {condition.key: condition for condition in sight.conditions}
    for key, entry in page.entries.items():
        rule, condition = RULES[entry.kind], conditions.get(key)
        if condition is not None and entry.news:
            due_ms = entry.kind_ms + int(rule.confirm_s * 1000)
            yield Line(Say.ALARM, folder, key, condition.kind, condition.facts, entry.since_ms, due_ms)
        elif condition is not None and now_ms - entry.told_ms >= rule.remind_s * 1000:
            yield Line(Say.STILL, folder, key, condition.kind, condition.facts, entry.since_ms, now_ms - GATHER_MS)
        elif condition is None and entry.gone_ms and key not in sight.blind:
            due_ms = entry.gone_ms + settle_ms(entry)
            yield Line(Say.WELL, folder, key, entry.told or entry.kind, sight.well.get(key, {}), entry.since_ms, due_ms)
    for news in page.news:
        yield Line(Say.NEWS, folder, "", news.kind, {"symbols": news.symbols}, news.at_ms, news.at_ms)


def _told(page: Page, lines: Iterable[Line], now_ms: int) -> Page:
    """The page once the lines have been told. The message counts for all folders of the turn."""
    entries = dict(page.entries)
    for line in lines:
        if line.say is Say.NEWS:
            continue
        entry = entries[line.key]
        if line.say is Say.WELL:
            entries[line.key] = Entry(entry.kind, alarmed_ms=entry.alarmed_ms)
        else:
            alarmed = (*entry.alarmed_ms, now_ms) if entry.told is None else entry.alarmed_ms
            entries[line.key] = replace(entry, told=entry.kind, told_ms=now_ms, alarmed_ms=alarmed)
    return replace(page, entries=entries, news=(), sent_ms=(*page.sent_ms, now_ms))
