"""What people read: complete in both languages, short, in their zone."""

from __future__ import annotations

import string
from zoneinfo import ZoneInfo

import pytest

from kit.alarms.book import Line, Say
from kit.alarms.conditions import Kind, NewsKind, Reason
from kit.alarms.message import NOTHING, Reader, written
from kit.alarms.texts import TEXTS, Language, Words
from tests.builders import NOON

SHANGHAI = Reader("zh", ZoneInfo("Asia/Shanghai"))
ENGLISH = Reader("en", ZoneInfo("UTC"))
FACTS = {
    "run_ms": NOON, "since_ms": NOON, "until_ms": NOON, "last_ms": NOON, "reason": "nobody answers", "pool": "futures",
    "count": 10, "expected": 600, "minutes": 5, "wanted": 600, "delivering": 0, "seconds": "2.0", "direction": "ahead",
    "free_gb": "1.5", "percent": "1", "pid": 42, "step": "factors",
    "symbols": {"AUSDT": Reason.UNANSWERED, "币安人生USDT": Reason.NO_REST},
}  # fmt: skip
LABELS = {"a": "usdt_perp 1m", "b": "usdt_perp 5m"}


def line(say: Say = Say.ALARM, folder: str = "a", kind: Kind | NewsKind = Kind.INCOMPLETE, **facts: object) -> Line:
    return Line(say, folder, "key", kind, FACTS | facts, NOON, NOON)


def names(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def test_both_languages_say_everything_with_the_same_facts() -> None:
    english, chinese = TEXTS["en"], TEXTS["zh"]
    assert english.trouble.keys() == chinese.trouble.keys() == set(Kind)
    assert english.news.keys() == chinese.news.keys() == set(NewsKind)
    assert english.reason.keys() == chinese.reason.keys() == set(Reason)
    assert english.directions.keys() == chinese.directions.keys()
    for kind in Kind:
        for field in Words._fields:
            one, other = getattr(english.trouble[kind], field), getattr(chinese.trouble[kind], field)
            assert one
            assert other
            assert names(one) == names(other), (kind, field)
    plain = (field for field in english._fields if isinstance(getattr(english, field), str))
    for field in plain:
        assert names(getattr(english, field)) == names(getattr(chinese, field)), field


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("kind", [*Kind, *NewsKind])
@pytest.mark.parametrize("say", Say)
def test_every_sentence_is_filled_and_short(language: Language, kind: Kind | NewsKind, say: Say) -> None:
    message = written([line(say, kind=kind)], LABELS, Reader(language, ZoneInfo("UTC")), None)
    shown = message.title + message.body
    assert NOTHING not in shown
    assert not set("{}") & set(shown)
    assert len(message.title) < 80
    assert len(message.body) < 500


def test_an_incomplete_period_as_it_is_read_in_shanghai() -> None:
    message = written([line()], LABELS, SHANGHAI, None)
    assert message.title == "usdt_perp 1m: 周期不完整"
    assert "11-22 20:00 UTC+8" in message.body
    assert "AUSDT (交易所没有该K线), 币安人生USDT (暂不能使用 REST), 等另外 8 个" in message.body


def test_what_is_the_same_in_two_markets_is_said_once() -> None:
    lines = [line(folder=folder, kind=Kind.DISK_LOW) for folder in ("a", "b")]
    message = written(lines, LABELS, ENGLISH, None)
    assert message.title == "usdt_perp 1m, usdt_perp 5m: disk nearly full"
    assert message.body.count("1.5 GB free") == 1


def test_the_same_trouble_with_other_facts_in_two_markets_names_both_in_the_title() -> None:
    lines = [line(count=1), line(folder="b", count=2)]
    assert written(lines, LABELS, ENGLISH, None).title == "usdt_perp 1m, usdt_perp 5m: period incomplete"


def test_several_troubles_are_counted_in_the_title() -> None:
    lines = [line(Say.WELL, kind=Kind.BANNED), line(), line(folder="b", kind=Kind.FAILED)]
    message = written(lines, LABELS, ENGLISH, NOON)
    assert message.title == "2 alarms, 1 well again, usdt_perp 1m: period incomplete"
    assert message.body.splitlines()[0].startswith("[usdt_perp 1m] 11-22 12:00 UTC: 10 of 600 missing")
    assert message.body.splitlines()[-1].endswith("comes after 11-22 12:00 UTC.")


@pytest.mark.parametrize("language", TEXTS)
def test_after_a_storm_in_many_markets_a_message_still_fits_where_it_is_read(language: Language) -> None:
    labels = {str(number): f"usdt_perp {number}m" for number in range(30)}
    lines = [line(folder=folder, kind=kind, reason=folder * 300) for folder in labels for kind in Kind]
    message = written(lines, labels, Reader(language, ZoneInfo("UTC")), NOON)
    assert len(message.title) <= 125
    assert len(message.body) < 3500, "Telegram refuses more than 4096, markup included"
    assert TEXTS[language].and_more.partition("{count}")[0] in message.body
    assert "12:00" in message.body.splitlines()[-1], "until when nothing more comes is still said"


def test_one_reason_of_all_symbols_is_said_behind_them() -> None:
    symbols = dict.fromkeys(["AUSDT", "BUSDT"], Reason.NO_REST)
    body = written([line(symbols=symbols, count=2)], LABELS, ENGLISH, None).body
    assert "AUSDT, BUSDT (no REST allowed now)" in body


def test_what_others_said_cannot_steer_a_terminal() -> None:
    body = written([line(kind=Kind.FAILED, reason="\x1b[31mred\u202e")], LABELS, ENGLISH, None).body
    assert body.replace("\n", "").isprintable()


def test_moments_are_told_in_odd_zones_too() -> None:
    assert Reader("en", ZoneInfo("Asia/Kolkata")).moment(NOON + 7_000) == "11-22 17:30:07 UTC+5:30"
    assert Reader("en", ZoneInfo("America/New_York")).moment(NOON) == "11-22 07:00 UTC-5"
    assert Reader("en", None).moment(NOON)
