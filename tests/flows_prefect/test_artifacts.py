"""What a run shows, and the events, as they are made: without Prefect."""

from __future__ import annotations

import base64
import json
import re
import xml.etree.ElementTree as ET
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from flows.artifacts import Shown, artifacts_of, key_of
from flows.artifacts.picture import COLUMNS, Look, columns_of, missing_by_symbol, picture, span_until
from flows.board import Work
from flows.events import changes_by, happenings, resource_of, symbol_changes
from flows.steps import Outcome, StepReport
from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.layout import Folder
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.dialect.symbols import SymbolInfo
from kit.errors import UnreachableError
from kit.words import Interval, TradeType
from tests.flows_prefect.builders import RUN_TIME, ending, market, outcome, report, work
from tests.flows_prefect.conftest import REPOSITORY, write_market
from tests.flows_prefect.stand_in import record_of

if TYPE_CHECKING:
    from pathlib import Path

    from flows.board import Ending

MINUTE = timedelta(minutes=1)
DAY = span_until(RUN_TIME, MINUTE)


def record(minutes_ago: int, missing: tuple[str, ...] = (), seconds: float = 2.0) -> LedgerRecord:
    plain = record_of(RUN_TIME - minutes_ago * MINUTE, list(missing))
    return msgspec.structs.replace(plain, seconds_to_complete=None if missing else seconds)


def done(base_dir: Path, end: Ending, *reports: StepReport) -> Work:
    made = Work(market(base_dir, label="usdt_perp 1m"), RUN_TIME)
    for each in reports:
        made.report(each)
    made.end(end)
    return made


def cells(shown: Shown) -> dict[str, str]:
    return {row["what"]: row["value"] for row in json.loads(shown.data)}


def svg_of(shown: Shown) -> ET.Element:
    found = re.match(r"!\[[^\]]*\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)\n", shown.data)
    assert found is not None
    return ET.fromstring(base64.b64decode(found[1]))  # noqa: S314 - made here


def test_a_run_shows_its_ledger_record_with_missing_and_excused_symbols(tmp_path: Path) -> None:
    lacking = msgspec.structs.replace(
        record_of(RUN_TIME, ["AUSDT", "BUSDT"]), excused={"CUSDT": "halt", "DUSDT": "halt", "EUSDT": "settling"}
    )
    end = ending(outcome(lacking), attempts=3)
    table, _ = artifacts_of(done(write_market(tmp_path / "m"), end, report()), end)
    assert (table.kind, table.description) == ("table", "incomplete 1/0 in 2.1 s, 2 missing: AUSDT, BUSDT (3 attempts)")
    assert cells(table)["missing"] == "2: AUSDT, BUSDT"
    assert cells(table)["excused"] == "2 halt (CUSDT, DUSDT); 1 settling (EUSDT)"
    assert cells(table)["complete"] == "no"
    assert cells(table)["step newest"] == "newest 3 filled (0.40 s)"


def test_a_period_that_could_not_be_done_shows_why_and_no_secret(tmp_path: Path) -> None:
    end = ending(error=UnreachableError("cannot reach http://user:hunter22@127.0.0.1/"))
    table, _ = artifacts_of(done(write_market(tmp_path / "m"), end), end)
    assert "cannot reach" in cells(table)["result"]
    assert "hunter22" not in table.data + table.description


def test_the_picture_is_of_the_day_that_the_ledger_on_disk_tells(tmp_path: Path) -> None:
    base_dir = write_market(tmp_path / "m")
    folder = Folder(base_dir, TradeType("usdt_perp"), Interval("1m"))
    folder.open_for_writing()
    Ledger(folder).put([record(1), record(5, ("XEMUSDT",)), record(1440, ("TOOOLDUSDT",))])
    _, day = artifacts_of(done(base_dir, ending()), ending())
    assert day.kind == "markdown"  # an image artifact would show its whole address below the picture
    assert day.description == "usdt_perp 1m: 1 of 2 run times complete"
    words = [text.text for text in svg_of(day).iter("{http://www.w3.org/2000/svg}text")]
    assert "XEMUSDT" in words
    assert "TOOOLDUSDT" not in words


def test_a_column_says_the_worst_of_its_run_times() -> None:
    records = [record(0, seconds=9.0), record(1, seconds=3.0), record(20, ("A",)), record(40, seconds=4000.0)]
    columns = columns_of(records, DAY)
    assert len(columns) == COLUMNS
    assert [(column.look, column.seconds) for column in columns[-4:]] == [
        (Look.LATER, 0.0),
        (Look.UNKNOWN, 0.0),
        (Look.INCOMPLETE, 0.0),
        (Look.UNKNOWN, 9.0),
    ]
    full = columns_of([record(n, seconds=2.0 + n / 100) for n in range(1440)], DAY)
    assert {column.look for column in full} == {Look.COMPLETE}


def test_those_who_are_missing_most_come_first() -> None:
    records = [record(1, ("A", "B")), record(2, ("B",)), record(3, ("C",)), record(4)]
    assert missing_by_symbol(records) == [("B", 2), ("A", 1), ("C", 1)]


@pytest.mark.parametrize("step", [timedelta(seconds=1), MINUTE, timedelta(hours=1), timedelta(days=1)])
def test_a_picture_stays_small_however_bad_the_day_was(step: timedelta) -> None:
    span = span_until(RUN_TIME, step)
    names = tuple(f"<币安>&{n}USDT" for n in range(300))
    records = [
        msgspec.structs.replace(record(0, names if n % 2 else ()), run_time=span.first + n * step)
        for n in range(0, span.size, max(1, span.size // 200))
    ]
    drawn = picture(records, span)
    ET.fromstring(drawn)  # noqa: S314 - made here; names are escaped
    assert len(drawn.encode()) < 9000
    assert "the worst 8 of 300" in drawn


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("http://127.0.0.1:8321/", "[Factors on the status page](http://127.0.0.1:8321/)"),
        ("", "[Factors as a file](file://{base_dir}/factors_1m/20261122T070500Z.parquet)"),
        ("javascript:alert(1)", "[Factors as a file](file://{base_dir}/factors_1m/20261122T070500Z.parquet)"),
    ],
)
def test_the_way_to_the_factors_leads_to_the_page_or_else_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str, link: str
) -> None:
    monkeypatch.setenv("BMAC_STATUS_URL", page)
    base_dir = write_market(tmp_path / "m", factors=[["PctChg", 100]])
    computed = StepReport("factors", RUN_TIME, RUN_TIME, "742 symbols")
    *_, factors = artifacts_of(done(base_dir, ending(), computed), ending())
    assert factors.description == "factors of 742 symbols"
    assert factors.data.splitlines()[0] == link.format(base_dir=base_dir)


def test_without_factors_there_is_no_way_to_them(tmp_path: Path) -> None:
    idle = StepReport("factors", RUN_TIME, RUN_TIME, "not configured")
    found = artifacts_of(done(write_market(tmp_path / "m"), ending(), idle), ending())
    assert [each.name for each in found] == ["ledger", "day"]


def test_keys_are_such_as_prefect_takes() -> None:
    assert re.fullmatch("[a-z0-9-]+", key_of(work(), "ledger"))


def test_a_period_tells_its_end_its_failed_steps_its_gaps_and_its_factors() -> None:
    filled = msgspec.structs.replace(record_of(RUN_TIME), filled=7, by_rest=2, revised=1)
    end = ending(outcome(filled))
    made = work()
    for step in (
        report("funding", error="HTTP 403"),
        StepReport("factors", RUN_TIME, RUN_TIME + MINUTE, "742 symbols"),
    ):
        made.report(step)
    made.end(end)
    told = {each.name: each for each in happenings(made, end, {"listed": ["NEWUSDT"]})}
    assert list(told) == [
        "bmac.period.complete",
        "bmac.step.failed",
        "bmac.factors.computed",
        "bmac.gap.filled",
        "bmac.symbol.listed",
    ]
    assert told["bmac.period.complete"].payload["state"] == "Completed"
    assert told["bmac.gap.filled"].payload == {"candles": 5, "revised": 1}
    assert told["bmac.symbol.listed"].payload == {"count": 1, "symbols": ["NEWUSDT"]}
    assert all(json.dumps(dict(each.payload)) for each in told.values())
    assert resource_of(made.market)["prefect.resource.id"] == "bmac.market.usdt_perp.5m"


@pytest.mark.parametrize(
    ("ended", "name"),
    [
        (ending(), "bmac.period.complete"),
        (ending(Outcome(record_of(RUN_TIME), (), already_done=True)), "bmac.period.complete"),
        (ending(outcome(record_of(RUN_TIME, ["A"]))), "bmac.period.incomplete"),
        (ending(error=UnreachableError("nobody")), "bmac.period.failed"),
    ],
)
def test_every_end_of_a_period_has_its_event(ended: Ending, name: str) -> None:
    (only,) = happenings(work(ended=ended), ended, {})
    assert only.name == name


def info(symbol: str, status: str) -> SymbolInfo:
    quote = "BTC" if symbol.endswith("BTC") else "USDT"
    return SymbolInfo(venue="spot", symbol=symbol, status=status, base_asset="A", quote_asset=quote)


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        (None, "TRADING", "listed"),
        ("PENDING_TRADING", "TRADING", "listed"),
        ("HALT", "TRADING", "resumed"),
        ("TRADING", "BREAK", "halted"),
        ("TRADING", "SETTLING", "delisted"),
        ("TRADING", None, "delisted"),
        ("TRADING", "A_WORD_OF_NEXT_YEAR", "delisted"),
        ("TRADING", "TRADING", None),
        ("SETTLING", "CLOSE", None),
        (None, "PENDING_TRADING", None),
    ],
)
def test_what_became_of_a_symbol(before: str | None, after: str | None, word: str | None) -> None:
    old, new = ([info("X", status)] if status else [] for status in (before, after))
    assert symbol_changes(old, new) == ({word: ["X"]} if word else {})


def test_listings_are_told_by_the_exchange_info_that_came_with_the_period(tmp_path: Path) -> None:
    base_dir = write_market(tmp_path / "m", trade_type="usdt_spot")
    folder = Folder(base_dir, TradeType("usdt_spot"), Interval("1m"))
    folder.open_for_writing()
    store, began = ExchangeInfoStore(folder), RUN_TIME + timedelta(seconds=3)

    def changes(already_done: bool = False) -> dict[str, list[str]]:
        known = msgspec.structs.replace(record_of(RUN_TIME), started_at=began)
        end = ending(outcome(known, already_done=already_done))
        return changes_by(done(base_dir, end), end)

    store.save([info("AAAUSDT", "TRADING").to_dict()], RUN_TIME)
    assert changes() == {}  # nothing since the last period
    both = [info("AAAUSDT", "HALT").to_dict(), info("BBBUSDT", "TRADING").to_dict()]
    store.save([*both, info("CCCBTC", "TRADING").to_dict()], began + timedelta(seconds=0.5))
    assert changes() == {"halted": ["AAAUSDT"], "listed": ["BBBUSDT"]}  # CCCBTC belongs to another market
    assert changes(already_done=True) == {}


def test_a_first_start_lists_nobody(tmp_path: Path) -> None:
    base_dir = write_market(tmp_path / "m", trade_type="usdt_spot")
    folder = Folder(base_dir, TradeType("usdt_spot"), Interval("1m"))
    folder.open_for_writing()
    ExchangeInfoStore(folder).save([info("AAAUSDT", "TRADING").to_dict()], RUN_TIME + timedelta(seconds=4))
    known = msgspec.structs.replace(record_of(RUN_TIME), started_at=RUN_TIME + timedelta(seconds=3))
    end = ending(outcome(known))
    assert changes_by(done(base_dir, end), end) == {}


def test_the_document_and_the_automations_name_events_that_exist() -> None:
    named = re.compile(r"bmac\.(?:period|step|gap|factors|symbol)\.[a-z]+")
    told = set(re.findall(named, (REPOSITORY / "docs" / "prefect.md").read_text()))
    waited_for = set(re.findall(named, (REPOSITORY / "deployments" / "automations.yaml").read_text()))
    changes = {word: ["X"] for word in ("listed", "resumed", "halted", "delisted")}
    filled = ending(outcome(msgspec.structs.replace(record_of(RUN_TIME), filled=1)))
    made = work()
    made.report(report("funding", error="HTTP 403"))
    made.report(StepReport("factors", RUN_TIME, RUN_TIME, "742 symbols"))
    ends = (filled, ending(outcome(record_of(RUN_TIME, ["A"]))), ending(error=UnreachableError("nobody")))
    assert told == {each.name for end in ends for each in happenings(made, end, changes)}
    assert waited_for <= told
