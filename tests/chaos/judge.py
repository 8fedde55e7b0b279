"""What must hold of a buffer at every moment, judged from what a reader reads, what the exchange's truth is, and what
was read before. Pure: a reading comes in, findings come out; the process around it is ``judge_process``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Key = tuple[str, int]
"""Symbol and begin time in milliseconds."""

Values = tuple[float, ...]
"""open, high, low, close, volume, quote_volume, trade_num, taker buy base, taker buy quote."""

ANNOUNCED_MS = 10_000
"""The judge learns of a symbol's end within 2 s, on a busy machine within some more."""


def noticed_within_ms(step_ms: int) -> int:
    """So long the flow may take to notice a listing, a delisting or a relisting: the exchange info of its next period,
    and some for a machine that is busy with other things."""
    return max(30_000, step_ms * 3 // 2)


@dataclass(frozen=True)
class Listed:
    """A symbol of the market as the exchange's truth has it. ``noticed_ms``: when the judge first saw it so."""

    symbol: str
    trading: bool
    listed_ms: int
    ended_ms: int | None
    noticed_ms: int


@dataclass(frozen=True)
class Record:
    """What the judge wants of a ledger record. ``run_ms``: milliseconds."""

    run_ms: int
    expected: int
    by_stream: int
    by_rest: int
    missing: frozenset[str]
    excused: Mapping[str, str]
    complete: bool


@dataclass(frozen=True)
class Reading:
    """One look at a market. The ledger was read before the candles, and the revisions after them.

    ``exchange_ms``: the latest the exchange's clock has been, after the reading. ``revised``: old and new values of
    every revision by key. ``truth``: the true candles up to ``truth_until_ms`` (begin times).
    """

    rows: Mapping[Key, Values]
    sources: Mapping[Key, str]
    revised: Mapping[Key, Sequence[tuple[Values, Values]]]
    records: Sequence[Record]
    listed: Mapping[str, Listed]
    truth: Mapping[Key, Values]
    truth_until_ms: int
    exchange_ms: int


@dataclass(frozen=True)
class Finding:
    """Something that must not be. ``kind``: lost, changed, early, fabricated, wrong, joined, false_complete,
    false_excuse, unreadable."""

    kind: str
    symbol: str
    begin_ms: int
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass
class Memory:
    """What has been read of one market. ``wrong``: candles that differ from the truth now; a revision may mend them."""

    step_ms: int
    num_candles: int
    seen: dict[Key, Values] = field(default_factory=dict)
    wrong: dict[Key, Values] = field(default_factory=dict)
    ever_wrong: set[Key] = field(default_factory=set)
    _told: set[tuple[str, Key]] = field(default_factory=set)

    def look(self, now: Reading) -> list[Finding]:
        """What is wrong with this reading, each thing told once; the reading becomes what was seen."""
        found = [*self._lost(now), *self._changed(now), *self._early(now), *self._joined(now)]
        found += [*self._untrue(now), *self._false_records(now)]
        self.seen = dict(now.rows)
        fresh = [one for one in found if (one.kind, (one.symbol, one.begin_ms)) not in self._told]
        self._told |= {(one.kind, (one.symbol, one.begin_ms)) for one in fresh}
        return fresh

    def _lost(self, now: Reading) -> list[Finding]:
        """Readable once, readable for ever: within the window, and for symbols that have left it without an end."""
        newest_ms = max((begin for _, begin in now.rows), default=0)
        oldest_ms = newest_ms - (self.num_candles - 1) * self.step_ms
        names = {name for name, _ in now.rows}
        return [
            Finding("lost", symbol, begin, f"was {self.seen[symbol, begin]}")
            for symbol, begin in self.seen.keys() - now.rows.keys()
            if (begin >= oldest_ms or self._must_stay(symbol, now))
            and not _under_former_name(symbol, begin, now, names)
        ]

    def _must_stay(self, symbol: str, now: Reading) -> bool:
        one = now.listed.get(symbol)
        return one is not None and not one.trading and self._noticed(one, now)

    def _noticed(self, one: Listed, now: Reading) -> bool:
        return now.exchange_ms - one.noticed_ms > noticed_within_ms(self.step_ms)

    def _changed(self, now: Reading) -> list[Finding]:
        return [
            Finding("changed", *key, f"was {was}, is {now.rows[key]}, and no revision says so")
            for key, was in self.seen.items()
            if key in now.rows and now.rows[key] != was and not _explained(was, now.rows[key], now.revised.get(key, ()))
        ]

    def _early(self, now: Reading) -> list[Finding]:
        return [
            Finding("early", symbol, begin, f"closes in {begin + self.step_ms - now.exchange_ms} ms")
            for symbol, begin in now.rows
            if begin + self.step_ms > now.exchange_ms
        ]

    def _joined(self, now: Reading) -> list[Finding]:
        """A ticker that came back as another asset must not have the candles of the former one."""
        return [
            Finding("joined", symbol, begin, f"listed anew at {one.listed_ms}")
            for symbol, begin in now.rows
            if (one := now.listed.get(symbol)) is not None
            and begin < one.listed_ms - one.listed_ms % 60_000
            and self._noticed(one, now)
        ]

    def _untrue(self, now: Reading) -> list[Finding]:
        found = []
        self.wrong = {}
        for key, values in now.rows.items():
            symbol, begin = key
            if begin > now.truth_until_ms or "#" in symbol:
                continue  # a former asset's candles were compared while they had the ticker
            true = now.truth.get(key)
            if true is None:
                if not _former_asset(symbol, begin, now):
                    found.append(Finding("fabricated", symbol, begin, f"{now.sources[key]}: {values}"))
            elif true != values:
                self.wrong[key] = values
                self.ever_wrong.add(key)
        return found

    def _false_records(self, now: Reading) -> list[Finding]:
        return [finding for record in now.records if record.complete for finding in self._false(record, now)]

    def _false(self, record: Record, now: Reading) -> list[Finding]:
        """What a record calls complete is readable, or excused where there truly is nothing."""
        begin = record.run_ms - self.step_ms
        found = []
        for symbol, one in now.listed.items():
            key = (symbol, begin)
            if key in now.rows or key not in now.truth or begin < one.listed_ms or not self._noticed(one, now):
                continue
            if symbol not in record.excused:
                found.append(Finding("false_complete", symbol, begin, "neither readable nor excused"))
            elif one.trading:
                found.append(Finding("false_excuse", symbol, begin, f"excused as {record.excused[symbol]!r}"))
        return found


def _explained(was: Values, is_now: Values, revised: Sequence[tuple[Values, Values]]) -> bool:
    """Whether revisions lead from one to the other, one after the other."""
    at = was
    for old, new in revised:
        if old == at:
            at = new
    return at == is_now


def _former_asset(symbol: str, begin: int, now: Reading) -> bool:
    one = now.listed.get(symbol)
    return one is not None and begin < one.listed_ms


def _under_former_name(symbol: str, begin: int, now: Reading, names: set[str]) -> bool:
    former = (name for name in names if name.startswith(f"{symbol}#"))
    return any((name, begin) in now.rows for name in former)


def unhealed(now: Reading, step_ms: int, first_ms: int, last_ms: int) -> list[str]:
    """What is not yet as it must be in the end: the buffer equals the truth bit for bit over begin times first to last,
    the ledger has a complete record of each, and its numbers are those of the provenance."""
    problems = []
    span = range(first_ms, last_ms + 1, step_ms)
    for key, true in now.truth.items():
        if first_ms <= key[1] <= last_ms and _wanted(key, now, step_ms) and now.rows.get(key) != true:
            problems.append(f"{key[0]} {key[1]}: {'missing' if key not in now.rows else 'differs from the truth'}")
    problems += [
        f"{symbol} {begin}: the exchange has no such candle"
        for symbol, begin in now.rows
        if first_ms <= begin <= last_ms and "#" not in symbol and (symbol, begin) not in now.truth
        and not _former_asset(symbol, begin, now)
    ]  # fmt: skip
    records = {record.run_ms: record for record in now.records}
    for begin in span:
        record = records.get(begin + step_ms)
        if record is None:
            problems.append(f"{begin}: no ledger record")
        elif not record.complete:
            problems.append(f"{begin}: incomplete, {sorted(record.missing)} missing")
        else:
            problems += _numbers(record, begin, now)
    return problems


def _wanted(key: Key, now: Reading, step_ms: int) -> bool:
    """Whether the candle has to be there: of a symbol of the market as it is now, and closed well before its end was
    announced. The embedded exchange trades on to the end of the minute, but gives futures' last candle to nobody."""
    one = now.listed.get(key[0])
    if one is None or key[1] < one.listed_ms:
        return False
    return one.trading or key[1] + step_ms <= one.noticed_ms - ANNOUNCED_MS


def _numbers(record: Record, begin: int, now: Reading) -> list[str]:
    """The record's numbers against the provenance of what is readable, symbols that ended left out on both sides."""
    if record.by_stream + record.by_rest + len(record.missing) + len(record.excused) != record.expected:
        return [f"{begin}: the numbers of {record} do not add up"]
    sources = [source for (symbol, at), source in now.sources.items() if at == begin and "#" not in symbol]
    stream = sources.count("stream")
    rest = len(sources) - stream
    stopped = sum(not one.trading for one in now.listed.values())
    apart = abs(stream - record.by_stream) + abs(rest - record.by_rest)
    if apart > stopped:
        return [f"{begin}: by stream {record.by_stream}, readable {stream}; by REST {record.by_rest}, readable {rest}"]
    return []
