"""When people are told, whatever happens: no storm, nothing twice, no recovery without its alarm."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.alarms.book import (
    GATHER_MS,
    LONGEST_SETTLE_MS,
    MESSAGES,
    WINDOW_MS,
    Entry,
    Line,
    Page,
    Say,
    settle_ms,
    turn,
)
from kit.alarms.conditions import RULES, Condition, Kind, NewsKind, Sight, Symbols
from tests.builders import NOON

LOOK_MS = 5_000
HOUR_MS = 3_600_000
KEYS = {
    "period": (Kind.FAILED, Kind.CRASHED, Kind.NO_RECORD, Kind.INCOMPLETE),
    "stream": (Kind.STALLED, Kind.PART_SILENT),
    "disk": (Kind.DISK_LOW,),
    "worker": (Kind.WORKER_SILENT, Kind.WORKER_STOPPED),
    "step factors": (Kind.STEP_FAILING,),
}


def sight(*conditions: tuple[str, Kind], blind: frozenset[str] = frozenset(), symbols: Symbols | None = None) -> Sight:
    return Sight("usdt_perp 1m", tuple(Condition(*each) for each in conditions), blind, symbols=symbols)


class Reading:
    """Folders that are looked at every five seconds; what people are told is kept."""

    def __init__(self, *folders: str) -> None:
        self.pages: dict[str, Page] = {folder: Page() for folder in folders or ("m",)}
        self.now_ms = NOON
        self.told: list[tuple[int, tuple[Line, ...]]] = []

    def look(self, *sights: Sight, seconds: float = 0.0) -> None:
        """Looks at the same sights for some seconds, at least once."""
        until_ms = self.now_ms + seconds * 1000
        while True:
            # Through the bytes that lie on the disk: each look may be another process's.
            self.pages = {
                name: msgspec.json.decode(msgspec.json.encode(page), type=Page) for name, page in self.pages.items()
            }
            turned = turn(self.pages, dict(zip(self.pages, sights, strict=True)), self.now_ms)
            self.pages = turned.pages
            if turned.lines:
                self.told.append((self.now_ms, turned.lines))
            self.now_ms += LOOK_MS
            if self.now_ms > until_ms:
                return

    @property
    def lines(self) -> list[tuple[Say, str]]:
        return [(line.say, line.kind.value) for _, lines in self.told for line in lines]


def test_what_lasts_is_told_once_and_its_end_is_told_once() -> None:
    people = Reading()
    people.look(sight(("stream", Kind.STALLED)), seconds=300)
    people.look(sight(), seconds=300)
    assert people.lines == [(Say.ALARM, "stalled"), (Say.WELL, "stalled")]
    assert people.told[0][0] - NOON >= RULES[Kind.STALLED].confirm_s * 1000


def test_what_ends_before_it_is_confirmed_is_told_to_nobody() -> None:
    people = Reading()
    for _ in range(20):
        people.look(sight(("stream", Kind.STALLED)), seconds=20)
        people.look(sight(), seconds=5)
    assert people.told == []


def test_while_it_lasts_people_are_reminded_each_hour_and_of_what_was_stopped_each_day() -> None:
    people = Reading()
    people.look(sight(("disk", Kind.DISK_LOW), ("worker", Kind.WORKER_STOPPED)), seconds=25 * 3600)
    told = Counter(people.lines)
    assert told == {
        (Say.ALARM, "disk_low"): 1,
        (Say.STILL, "disk_low"): 24,
        (Say.ALARM, "worker_stopped"): 1,
        (Say.STILL, "worker_stopped"): 1,
    }


def test_what_gets_worse_is_told_again_and_what_gets_better_is_not() -> None:
    people = Reading()
    for kind in (Kind.INCOMPLETE, Kind.NO_RECORD, Kind.FAILED, Kind.INCOMPLETE, Kind.FAILED):
        people.look(sight(("period", kind)), seconds=60)
    people.look(sight(), seconds=60)
    assert people.lines == [
        (Say.ALARM, "incomplete"),
        (Say.ALARM, "no_record"),
        (Say.ALARM, "failed"),
        (Say.WELL, "failed"),
    ]


def test_a_worse_kind_has_to_be_confirmed_for_itself() -> None:
    people = Reading()
    people.look(sight(("period", Kind.INCOMPLETE)), seconds=600)
    people.look(sight(("period", Kind.CRASHED)), seconds=30)
    assert people.lines == [(Say.ALARM, "incomplete")]


def test_what_happens_in_all_markets_at_one_moment_is_one_message() -> None:
    people = Reading("a", "b", "c")
    wrong = sight(("period", Kind.INCOMPLETE), ("disk", Kind.DISK_LOW))
    people.look(wrong, sight(), sight())  # c is seen a look later
    people.look(wrong, wrong, wrong, seconds=60)
    assert [line.folder for line in people.told[0][1]].count("b") >= 1
    assert len(people.told) <= 2


def test_a_key_of_which_nothing_is_known_is_neither_wrong_nor_well() -> None:
    people = Reading()
    people.look(sight(("stream", Kind.STALLED)), seconds=60)
    people.look(sight(blind=frozenset({"stream"})), seconds=7200)
    assert people.lines == [(Say.ALARM, "stalled")]
    people.look(sight(), seconds=60)
    assert people.lines[-1] == (Say.WELL, "stalled")


def test_what_flaps_has_to_be_gone_longer_and_longer() -> None:
    people = Reading()
    for _ in range(60):
        people.look(sight(("period", Kind.INCOMPLETE)), seconds=30)
        people.look(sight(), seconds=30)
    said = Counter(say for say, _ in people.lines)
    assert said[Say.ALARM] <= 4, "an hour of flapping each minute"
    assert settle_ms(Entry(Kind.INCOMPLETE, alarmed_ms=(1, 2, 3))) == 16 * settle_ms(Entry(Kind.INCOMPLETE))


def test_the_clock_set_back_a_day_silences_nothing() -> None:
    people = Reading()
    for _ in range(MESSAGES):
        people.look(sight(("disk", Kind.DISK_LOW)), seconds=60)
        people.look(sight(), seconds=2000)
    people.look(sight(("worker", Kind.WORKER_SILENT)), seconds=60)
    before = len(people.told)
    people.now_ms -= 24 * HOUR_MS
    people.look(sight(("worker", Kind.WORKER_SILENT), ("stream", Kind.STALLED)), seconds=800)
    assert (Say.ALARM, "stalled") in people.lines[before:]


def symbols(trading: str, stopped: str = "") -> Symbols:
    return Symbols(frozenset(trading), dict.fromkeys(stopped, "SETTLING"))


def test_listings_and_delistings_are_told_once_and_the_first_look_tells_none() -> None:
    people = Reading()
    for seen in (symbols("AB"), symbols("ABC"), symbols("AC", "B"), symbols("ABC"), symbols("ABC")):
        people.look(sight(symbols=seen), seconds=30)
    told = [(line.kind, dict(line.facts["symbols"])) for _, lines in people.told for line in lines]
    assert told == [
        (NewsKind.LISTED, {"C": ""}),
        (NewsKind.STOPPED, {"B": "SETTLING"}),
        (NewsKind.RESUMED, {"B": ""}),
    ]


def test_symbols_that_cannot_be_read_for_a_while_are_not_listed_anew() -> None:
    people = Reading()
    for seen in (symbols("AB"), None, symbols("AB")):
        people.look(sight(symbols=seen), seconds=30)
    assert people.told == []


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_rule_and_its_end_is_told_soon(kind: Kind) -> None:
    assert 0 <= RULES[kind].confirm_s <= 150
    quiet_by_nature = kind is Kind.PART_SILENT
    assert GATHER_MS < RULES[kind].settle_s * 1000 <= (LONGEST_SETTLE_MS if quiet_by_nature else 60_000)


@pytest.mark.parametrize("trade_every_s", [30, 40, 60])
def test_a_night_in_which_illiquid_pairs_pause_wakes_people_once(trade_every_s: int) -> None:
    """40 symbols trade at random; a stream without a frame for two minutes does not deliver."""
    chance, people = random.Random(1), Reading()
    traded = [0.0] * 40
    following = [chance.expovariate(1 / trade_every_s) for _ in traded]
    for now in range(0, 8 * 3600, 5):
        for number in range(len(traded)):
            while following[number] <= now:
                traded[number] = following[number]
                following[number] += chance.expovariate(1 / trade_every_s)
        quiet = any(now - moment > 120 for moment in traded)
        people.look(sight(("stream", Kind.PART_SILENT)) if quiet else sight())
    assert people.lines == [(Say.ALARM, "part_silent")]


def test_what_comes_and_goes_all_night_is_a_few_messages() -> None:
    """A minute of trouble in each ten, for eight hours."""
    people = Reading()
    for _ in range(48):
        people.look(sight(("period", Kind.INCOMPLETE)), seconds=55)
        people.look(sight(), seconds=535)
    said = Counter(say for say, _ in people.lines)
    assert said[Say.ALARM] + said[Say.WELL] <= 8
    assert said[Say.STILL] <= 8


Trouble = st.fixed_dictionaries({key: st.sampled_from([None, "blind", *kinds]) for key, kinds in KEYS.items()})


def seen_of(trouble: dict[str, Kind | str | None]) -> Sight:
    wrong = [(key, kind) for key, kind in trouble.items() if isinstance(kind, Kind)]
    return sight(*wrong, blind=frozenset(key for key, kind in trouble.items() if kind == "blind"))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(Trouble, Trouble, st.sampled_from([0, 5, 10, 30, 120, 900])), max_size=60),
    st.lists(st.integers(-100_000_000, 100_000_000), max_size=2),
)
def test_whatever_happens_there_is_no_storm_and_each_alarm_has_one_recovery(lives, jumps) -> None:
    people = Reading("a", "b")
    for number, (one, other, seconds) in enumerate(lives):
        people.look(seen_of(one), seen_of(other), seconds=seconds)
        if number % 25 == 24 and jumps:
            people.now_ms += jumps.pop()
    jumped = len(lives) >= 25
    people.look(sight(), sight(), seconds=4 * 3600)
    moments = [at for at, _ in people.told]
    if not jumped:
        assert all(later - at >= WINDOW_MS for at, later in zip(moments, moments[MESSAGES:], strict=False))
    open_alarms: set[tuple[str, str]] = set()
    for _, lines in people.told:
        for line in lines:
            key = (line.folder, line.key)
            if line.say is Say.WELL:
                assert key in open_alarms, "a recovery of nothing"
                open_alarms.discard(key)
            elif line.say is Say.STILL:
                assert key in open_alarms, "a reminder of nothing"
            else:
                open_alarms.add(key)
    assert not open_alarms, "never told that it is over"
