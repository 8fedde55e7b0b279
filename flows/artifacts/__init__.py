"""What each run in Prefect carries: its ledger record as a table, a picture of the last day, the way to the factors.

table.py     the ledger record and the steps as rows (pure)
picture.py   the last day as SVG (pure)
progress.py  how far the filling of history has come, while it lasts (this one imports Prefect)

Each kind has one key a market, so that ``/artifacts/key/usdt-perp-1m-ledger`` is always the newest. They are made after
the work, and belong to their run: when Prefect's vacuum deletes the run they go with it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flows.artifacts.picture import as_markdown_image, picture, span_until
from flows.artifacts.table import ledger_rows
from flows.verdict import clock_word, verdict_of
from kit.buffer.layout import Folder, time_word
from kit.buffer.ledger import Ledger
from kit.config import MarketConfig, load_config
from kit.words import to_ms

if TYPE_CHECKING:
    from flows.board import Ending, Work

STATUS_URL = "BMAC_STATUS_URL"
"""Environment: where people open the page of ``python -m kit serve``, as seen from their browser. Unset: no page."""


@dataclass(frozen=True)
class Shown:
    """An artifact before it belongs to a run. ``name``: the last word of its key."""

    name: str
    kind: str
    data: str
    description: str


def artifacts_of(work: Work, ending: Ending) -> list[Shown]:
    """The artifacts of a period that has ended, out of it and the market's folder.

    Raises:
        ConfigError: the market's config is gone.
        OSError: its ledger cannot be read.
    """
    config = load_config(work.market.base_dir)
    made = [_ledger(work, ending), _day(work, config)]
    factors = next((step for step in work.reports if step.name == "factors" and step.error is None), None)
    if config.factors and factors is not None:
        made.append(_factors(work, config, factors.summary))
    return made


def key_of(work: Work, name: str) -> str:
    """A market's key for one kind of artifact: ``usdt-perp-1m-ledger``. Prefect takes letters, digits and dashes."""
    return f"{work.market.label} {name}".replace(" ", "-").replace("_", "-").lower()


def status_page() -> str | None:
    """Where the status page is; None when none is configured, or what is configured is no address of a page."""
    url = os.environ.get(STATUS_URL, "").strip()
    return url if urlsplit(url).scheme in ("http", "https") else None


def _ledger(work: Work, ending: Ending) -> Shown:
    return Shown("ledger", "table", json.dumps(ledger_rows(work, ending)), verdict_of(ending).message)


def _day(work: Work, config: MarketConfig) -> Shown:
    span = span_until(work.run_time, config.interval.delta)
    folder = Folder(config.base_dir, config.trade_type, config.interval, config.save_type)
    records = list(Ledger(folder).between(to_ms(span.first), to_ms(span.last)).values())
    complete = sum(record.complete for record in records)
    text = f"{work.market.label}: {complete} of {len(records)} run times complete"
    page = status_page()
    more = f"\n\n[Live status]({page})" if page else ""
    image = as_markdown_image(picture(records, span), text)
    return Shown("day", "markdown", f"{image}\n\n{text} until {clock_word(work.run_time)}.{more}\n", text)


def _factors(work: Work, config: MarketConfig, summary: str) -> Shown:
    path = config.base_dir / f"factors_{config.interval}" / f"{time_word(to_ms(work.run_time))}.parquet"
    page = status_page()
    link = f"[Factors on the status page]({page})" if page else f"[Factors as a file]({path.as_uri()})"
    text = (
        f"{link}\n\n`{path}`\n\n"
        "```python\n"
        f"Market({str(config.base_dir)!r}).factors(datetime.fromisoformat({work.run_time.isoformat()!r}))\n"
        "```\n"
    )
    return Shown("factors", "markdown", text, f"factors of {summary}")
