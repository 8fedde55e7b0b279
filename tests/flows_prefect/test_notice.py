"""A bad period reaches the people whom the folder's config names, over a real socket."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from flows.board import Work
from flows.markets import served_market
from flows.notice import Message, tell
from flows.worker import Teller
from kit.errors import UnreachableError
from tests.flows_prefect.builders import RUN_TIME, ending
from tests.flows_prefect.conftest import write_market

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flows_prefect.conftest import Receiver


def work_in(folder: Path) -> Work:
    return Work(served_market(folder), RUN_TIME)


def test_everybody_in_notify_is_told_once_about_a_failed_period(tmp_path: Path, receiver: Receiver) -> None:
    folder = write_market(tmp_path, notify=[receiver.url, receiver.url + "second"])
    work = work_in(folder)
    teller = Teller([work.market])
    teller.start()
    for _ in range(2):  # the second is within the hour
        teller.tell(work, ending(error=UnreachableError("nobody answers"), attempts=6))
    deadline = time.monotonic() + 15
    while len(receiver.bodies) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    teller.stop()
    assert [body["title"] for body in receiver.bodies] == ["usdt_perp 1m 2026-11-22 07:05Z: failed"] * 2
    assert "nobody answers (6 attempts, 2.1 s)" in receiver.bodies[0]["message"]


async def test_a_config_that_cannot_be_read_any_more_costs_a_log_line_and_no_error(tmp_path: Path) -> None:
    assert await tell(tmp_path, Message("title", "body")) == []
