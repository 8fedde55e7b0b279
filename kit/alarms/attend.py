"""The shell of alarms: look at folders, decide, keep what was decided, send. Blocks; meant for a thread or a command.

What was decided is on disk before anything is sent: after a kill in between, the next one who looks sends the letter.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from msgspec.structs import replace

from kit.alarms.book import Page, Say, Turn, turn
from kit.alarms.conditions import Condition, Sight
from kit.alarms.judge import PERIOD, judge
from kit.alarms.keeping import MAX_LETTERS, Kept, Letter, LockedElsewhereError, held, load, save, together
from kit.alarms.look import look
from kit.alarms.message import Reader, written
from kit.alarms.signs import WORKER_NAME, WorkerBeat, read_signs
from kit.buffer.layout import Folder
from kit.config import MarketConfig, load_config
from kit.errors import BmacError
from kit.notify import Patience, send
from kit.notify.targets import targets_of
from kit.times import clock_of_market
from kit.words import to_ms, utc_now

log = structlog.stdlib.get_logger(__name__)

ERROR_ROBOT, LISTING_ROBOT = "error", "listing"
"""Of the DingTalk robots of ``dingding`` the first takes what is wrong: it is the one name that BMAC v2 knows. Listings
go to the second where there is one, else to the first as well."""

SETTLE_WITHIN_S, SHORTEST_WAIT_S = 25.0, 0.05
"""What needs a moment of confirmation gets it in one run: cron comes again only in a minute."""

SENDING = Patience(attempts=2, timeout=timedelta(seconds=10), longest_wait=timedelta(seconds=2))
"""The letters have their own, longer patience; who sends must soon look again."""


@dataclass(frozen=True)
class Watched:
    """What a look at a folder came to. ``problem``: why nothing could be seen."""

    base_dir: Path
    config: MarketConfig | None = None
    conditions: tuple[Condition, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Look:
    """A look at several folders. ``again_s``: in so many seconds what was seen may be told; None: nothing."""

    watched: tuple[Watched, ...]
    again_s: float | None = None
    undelivered: int = 0
    unkept: bool = False


class Attendant:
    """Looks at folders and tells. Remembers what the disk would not take, so that a full disk is no storm.

    ``lasting``: whether it looks again and again. One that cannot remember sends nothing that it cannot keep.
    """

    def __init__(self, *, lasting: bool = True) -> None:
        self._lasting = lasting
        self._unsaved: dict[Path, Kept] = {}
        self._configs: dict[Path, MarketConfig] = {}

    def attend(self, base_dirs: Iterable[Path]) -> Look:
        """Look once, and send what is due. Raises nothing for a folder or a receiver that is broken."""
        watched, groups = _grouped(base_dirs, self._configs)
        again: list[float] = []
        for configs in groups:
            found, again_s = self._attend_sound(configs)
            watched += found
            again += [] if again_s is None else [again_s]
        undelivered = sum(self._deliver(config) for configs in groups for config in configs)
        return Look(tuple(watched), min(again, default=None), undelivered, bool(self._unsaved))

    def _attend_sound(self, configs: Sequence[MarketConfig]) -> tuple[list[Watched], float | None]:
        """Look at folders with the same readers; at each alone when one of them cannot be looked at."""
        try:
            return self._attend_group(configs)
        except (LockedElsewhereError, OSError, BmacError) as error:
            if len(configs) > 1:
                looks = [self._attend_sound([config]) for config in configs]
                again = [again_s for _, again_s in looks if again_s is not None]
                return [each for found, _ in looks for each in found], min(again, default=None)
            log.warning("alarms.not_looked", base_dir=str(configs[0].base_dir), error=str(error))
            return [Watched(configs[0].base_dir, configs[0], problem=str(error))], None

    def _attend_group(self, configs: Sequence[MarketConfig]) -> tuple[list[Watched], float | None]:
        by_name = {str(config.base_dir): config for config in configs}
        first = configs[0]
        with held([config.base_dir for config in configs]) as stored:
            kept = {str(base_dir): self._unsaved.get(base_dir, each) for base_dir, each in stored.items()}
            sights = {name: _seen(config, kept[name].page) for name, config in by_name.items()}
            now_ms = _now_ms(first)
            turned = turn({name: each.page for name, each in kept.items()}, sights, now_ms)
            after = {name: replace(kept[name], page=page) for name, page in turned.pages.items()}
            if turned.lines:
                letter = _letter(turned, sights, first, now_ms)
                log.warning("alarm", title=letter.title, text=letter.body, folders=list(by_name))
                name = str(first.base_dir)
                letters = (*after[name].letters, letter)
                if len(letters) > MAX_LETTERS:
                    log.error("alarm.given_up", title=letters[0].headline, targets=letters[0].targets)
                after[name] = replace(after[name], letters=letters[-MAX_LETTERS:])
            self._save({by_name[name].base_dir: (stored[by_name[name].base_dir], each) for name, each in after.items()})
        found = [Watched(by_name[name].base_dir, by_name[name], sight.conditions) for name, sight in sights.items()]
        return found, None if turned.again_ms is None else (turned.again_ms - now_ms) / 1000

    def _deliver(self, config: MarketConfig) -> int:
        """Send the due letters of a folder; how many did not arrive everywhere."""
        failed = 0
        for letter in self._take(config):
            only = None if letter.targets is None else frozenset(letter.targets)
            outcomes = asyncio.run(
                send(config, letter.headline, letter.body, robots=letter.robots, patience=SENDING, only=only)
            )
            left = [outcome.target for outcome in outcomes if not outcome.ok]
            remaining = letter.failed(left, _now_ms(config)) if left else None
            if left and remaining is None:
                log.error("alarm.given_up", title=letter.headline, targets=left, tries=letter.tries)
            self._change(config.base_dir, {letter.id: remaining})
            failed += bool(left)
        return failed

    def _take(self, config: MarketConfig) -> list[Letter]:
        base_dir, now_ms = config.base_dir, _now_ms(config)
        due: list[Letter] = []
        try:
            kept = self._unsaved.get(base_dir) or load(base_dir)
            if not any(letter.due(now_ms) for letter in kept.letters):
                return []
            with held([base_dir]) as stored:
                kept = self._unsaved.get(base_dir, stored[base_dir])
                found = [letter for letter in kept.letters if letter.due(now_ms)]
                due = [letter.taken(now_ms) for letter in together(found)]
                changed = dict.fromkeys((letter.id for letter in found), None) | {each.id: each for each in due}
                self._save({base_dir: (stored[base_dir], _with_letters(kept, changed))})
        except (LockedElsewhereError, OSError) as error:
            log.warning("alarms.not_taken", base_dir=str(base_dir), error=str(error))
        return due if self._lasting or base_dir not in self._unsaved else []

    def _change(self, base_dir: Path, letters: Mapping[str, Letter | None]) -> None:
        try:
            with held([base_dir]) as stored:
                kept = self._unsaved.get(base_dir, stored[base_dir])
                self._save({base_dir: (stored[base_dir], _with_letters(kept, letters))})
        except (LockedElsewhereError, OSError) as error:
            log.warning("alarms.not_kept", base_dir=str(base_dir), error=str(error))

    def _save(self, changes: Mapping[Path, tuple[Kept, Kept]]) -> None:
        """Keep what differs from what is stored; what the disk refuses is remembered here."""
        for base_dir, (stored, kept) in changes.items():
            try:
                if kept != stored:
                    save({base_dir: kept})
                self._unsaved.pop(base_dir, None)
            except OSError as error:
                self._unsaved[base_dir] = kept
                log.warning("alarms.unwritable", base_dir=str(base_dir), error=str(error))


def attend_once(base_dirs: Sequence[Path]) -> Look:
    """Look and tell, for a process that ends then: again while something that was seen is about to be told."""
    attendant = Attendant(lasting=False)
    ends_at = time.monotonic() + SETTLE_WITHIN_S
    while True:
        found = attendant.attend(base_dirs)
        if found.again_s is None or time.monotonic() + found.again_s > ends_at:
            return found
        time.sleep(max(found.again_s, SHORTEST_WAIT_S))


def glance(base_dirs: Iterable[Path]) -> Look:
    """Look without telling or writing anything."""
    watched, groups = _grouped(base_dirs, {})
    for config in (config for configs in groups for config in configs):
        try:
            sight = _seen(config, load(config.base_dir).page)
        except (OSError, BmacError) as error:
            watched.append(Watched(config.base_dir, config, problem=str(error)))
        else:
            watched.append(Watched(config.base_dir, config, sight.conditions))
    return Look(tuple(watched))


def calls_for_a_look(config: MarketConfig) -> bool:
    """Whether there is something to tell, or to keep, of a folder whose periods are processes of their own: between two
    of them no worker looks. Writes nothing, and is light: meant for the streamer, which then sends somebody."""
    folder = Folder(config.base_dir, config.trade_type, config.interval, config.save_type)
    served = read_signs(config.base_dir, WORKER_NAME, WorkerBeat) is not None
    if served or not targets_of(config) or not any(folder.ledger.glob("*.jsonl")):
        return False
    try:
        kept = load(config.base_dir)
        sight, now_ms = _seen(config, kept.page), _now_ms(config)
    except (OSError, BmacError) as error:
        log.warning("alarms.not_looked", base_dir=str(config.base_dir), error=str(error))
        return False
    turned = turn({sight.label: kept.page}, {sight.label: sight}, now_ms)
    changed = turned.pages[sight.label] != kept.page
    return changed or bool(turned.lines) or any(letter.due(now_ms) for letter in kept.letters)


def _grouped(
    base_dirs: Iterable[Path], known: dict[Path, MarketConfig]
) -> tuple[list[Watched], list[list[MarketConfig]]]:
    """The configs, those with the same readers together; and the folders that have none that can be used.

    Of a folder in ``known`` that one serves then: whoever broke the file must hear that its periods fail.
    """
    broken: list[Watched] = []
    groups: dict[Any, list[MarketConfig]] = {}
    for base_dir in dict.fromkeys(path.absolute() for path in base_dirs):
        try:
            config = known[base_dir] = load_config(base_dir)
        except BmacError as error:
            broken.append(Watched(base_dir, problem=str(error)))
            if base_dir not in known:
                continue
            config = known[base_dir]
        robots = tuple((config.dingding or {}).items())
        readers = (config.notify, robots, config.endpoints.dingding, config.language, config.time_zone)
        groups.setdefault(readers, []).append(config)
    return broken, list(groups.values())


def _now_ms(config: MarketConfig) -> int:
    """The exchange's time where it is known: a clock of ours that is set would make everything old at once."""
    clock = clock_of_market(config)
    return to_ms(utc_now()) if clock is None else clock.exchange_ms


def _seen(config: MarketConfig, page: Page) -> Sight:
    period = page.entries.get(PERIOD)
    told_since_ms = None if period is None or period.told is None else period.since_ms
    return judge(look(config, told_since_ms), page.open_keys)


def _letter(turned: Turn, sights: Mapping[str, Sight], config: MarketConfig, now_ms: int) -> Letter:
    reader = Reader.of(config.language, config.time_zone)
    labels = {name: sight.label for name, sight in sights.items()}
    message = written(turned.lines, labels, reader, turned.full_until_ms)
    listing = LISTING_ROBOT if LISTING_ROBOT in (config.dingding or {}) else ERROR_ROBOT
    robots = {listing if line.say is Say.NEWS else ERROR_ROBOT for line in turned.lines}
    return Letter(
        id=uuid.uuid4().hex[:12],
        title=message.title,
        body=message.body,
        robots=tuple(sorted(robots)),
        try_at_ms=now_ms,
    )


def _with_letters(kept: Kept, changed: Mapping[str, Letter | None]) -> Kept:
    letters = (changed.get(letter.id, letter) for letter in kept.letters)
    return replace(kept, letters=tuple(letter for letter in letters if letter is not None))
