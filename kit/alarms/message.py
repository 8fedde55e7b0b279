"""Lines of alarms as one short message: what is the same in several markets is said once. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import accumulate
from typing import Any
from zoneinfo import ZoneInfo

from kit.alarms.book import Line, Say
from kit.alarms.conditions import Condition, Facts, NewsKind, Reason
from kit.alarms.judge import NAMED_SYMBOLS
from kit.alarms.texts import TEXTS, Language, Texts
from kit.outside import printable
from kit.words import from_ms

NOTHING = "?"
"""For a fact that is not known."""
MOST_CHARS, TITLE_CHARS = 3000, 120
"""What Telegram takes in one message (4096, with markup) and a phone shows: after a storm the rest is only counted."""


@dataclass(frozen=True)
class Reader:
    """Who reads: the language, and the zone of the times (None: the machine's own)."""

    language: Language
    zone: tzinfo | None

    @classmethod
    def of(cls, language: Language, time_zone: str | None) -> Reader:
        """The reader of a config's ``language`` and ``time_zone``."""
        return cls(language, None if time_zone is None else ZoneInfo(time_zone))

    @property
    def texts(self) -> Texts:
        """The sentences."""
        return TEXTS[self.language]

    def moment(self, ms: int) -> str:
        """A moment of UTC milliseconds as ``11-22 15:05 UTC+8``, with seconds where there are any."""
        local = from_ms(ms).astimezone(self.zone)
        minutes = round((local.utcoffset() or local - local).total_seconds() / 60)
        hours, rest = divmod(abs(minutes), 60)
        offset = f"{'+' if minutes > 0 else '-'}{hours}" + (f":{rest:02d}" if rest else "") if minutes else ""
        return f"{local:%m-%d %H:%M:%S}".removesuffix(":00") + f" UTC{offset}"

    def sentence(self, template: str, facts: Facts) -> str:
        """A sentence filled with facts; what is not known is ``?``."""
        shown = {name: self._fact(name, value, facts) for name, value in facts.items()}
        return " ".join(template.format_map(_Known(shown)).split())

    def _fact(self, name: str, value: Any, facts: Facts) -> str:
        if name.endswith("_ms"):
            return NOTHING if value is None else self.moment(value)
        if name == "symbols":
            return self._symbols(value, max(int(facts.get("count", 0)), len(value)))
        if name == "direction":
            return self.texts.directions[value]
        return printable(str(value))

    def _symbols(self, symbols: Mapping[str, str], count: int) -> str:
        named = list(symbols.items())[:NAMED_SYMBOLS]
        reasons = {reason for _, reason in named}
        # One reason of all is said once, behind them.
        each = [symbol + self._why(reason if len(reasons) > 1 else "") for symbol, reason in named]
        more = [self.texts.and_more.format(count=count - len(named))] if count > len(named) else []
        return printable(", ".join([*each, *more]) + self._why(reasons.pop() if len(reasons) == 1 else ""))

    def _why(self, reason: str) -> str:
        word = self.texts.reason[Reason(reason)] if reason in set(Reason) else reason.lower().replace("_", " ")
        return f" ({word})" if word else ""


class _Known(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return NOTHING


@dataclass(frozen=True)
class Written:
    """A message: its title, and a body of some lines."""

    title: str
    body: str


def written(lines: Sequence[Line], labels: Mapping[str, str], reader: Reader, full_until_ms: int | None) -> Written:
    """The message of those lines. ``labels``: what people call a folder's market."""
    markets: dict[tuple[Say, str, str], list[str]] = {}
    for line in sorted(lines, key=lambda line: list(Say).index(line.say)):
        told = _title(line, reader), _text(line, reader)
        markets.setdefault((line.say, *told), []).append(labels[line.folder])
    parts = _fitting([f"[{_joined(names)}] {text}" for (_, _, text), names in markets.items()], reader)
    if full_until_ms is not None:
        parts.append(reader.sentence(reader.texts.full, {"until_ms": full_until_ms}))
    return Written(printable(_headline(markets, reader), limit=TITLE_CHARS), "\n\n".join(parts))


def _fitting(parts: Sequence[str], reader: Reader) -> list[str]:
    """As many of the first parts as fit into a message; at least one."""
    ends = list(accumulate(len(part) + 2 for part in parts))
    fitting = max(1, bisect_right(ends, MOST_CHARS))
    more = [reader.texts.and_more.format(count=len(parts) - fitting)] if fitting < len(parts) else []
    return [*parts[:fitting], *more]


def described(condition: Condition, reader: Reader) -> str:
    """A condition in one line, for a terminal."""
    words = reader.texts.trouble[condition.kind]
    return f"{words.title}: {reader.sentence(words.what, condition.facts)} {reader.texts.todo}{words.todo}"


def _headline(markets: Mapping[tuple[Say, str, str], list[str]], reader: Reader) -> str:
    titles: dict[str, list[str]] = {}
    for (_, title, _), names in markets.items():
        titles.setdefault(title, []).extend(names)
    if len(titles) == 1:
        ((title, names),) = titles.items()
        return f"{_joined(names)}: {title}"
    says = [say for say, _, _ in markets]
    wells = says.count(Say.WELL)
    troubles = len(says) - wells - says.count(Say.NEWS)
    counts = [
        template.format(count=count)
        for template, count in ((reader.texts.alarms, troubles), (reader.texts.recoveries, wells))
        if count
    ]
    first = next(iter(markets))
    return ", ".join([*counts, f"{_joined(markets[first])}: {first[1]}"])


def _title(line: Line, reader: Reader) -> str:
    if isinstance(line.kind, NewsKind):
        return reader.texts.news[line.kind].partition("{")[0].strip(" :：")
    title = reader.texts.trouble[line.kind].title
    word = {Say.STILL: reader.texts.still, Say.WELL: reader.texts.well}.get(line.say, "")
    return f"{title} ({word})" if word else title


def _text(line: Line, reader: Reader) -> str:
    if isinstance(line.kind, NewsKind):
        return reader.sentence(reader.texts.news[line.kind], line.facts)
    words = reader.texts.trouble[line.kind]
    if line.say is Say.WELL:
        began = reader.sentence(reader.texts.began, {"since_ms": line.since_ms})
        return f"{reader.sentence(words.well, line.facts)} ({began})"
    return f"{reader.sentence(words.what, line.facts)}\n{reader.texts.todo}{words.todo}"


def _joined(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))
