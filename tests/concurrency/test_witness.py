"""The witness itself: it tells what it is there for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from tests.concurrency.witness import Witness

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def frame(*rows: tuple[str, int, float]) -> pl.DataFrame:
    """symbol, minute, close."""
    plain = [(symbol, NOON + number * MINUTE, close) for symbol, number, close in rows]
    return pl.DataFrame(plain, schema=["symbol", "candle_begin_time", "close"], orient="row")


BOTH = frame(("P0A", 0, 1.0), ("P0A", 1, 2.0), ("P0B", 0, 3.0), ("P0B", 1, 4.0))


def test_what_grows_and_what_leaves_the_window_is_in_order():
    witness = Witness({"P0": 2})
    witness.see(frame(("P0A", 0, 1.0), ("P0B", 0, 3.0)))
    witness.see(BOTH)
    witness.see(BOTH.filter(pl.col("candle_begin_time") > NOON))
    assert (witness.reads, witness.problems) == (3, [])


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (pl.concat([BOTH, BOTH[:1]]), "twice"),
        (BOTH[::-1], "order"),
        (BOTH[1:], "gone"),
        (BOTH.with_columns(close=pl.col("close") + 1), "changed"),
        (BOTH[:3], "of one flush"),
        (frame(*((name, minute, 1.0) for name in ("P0A", "P0B") for minute in (1, 2, 4))), "in between"),
        (frame(("P0A", 1, 2.0), ("P0B", 1, 4.0), ("R0A", 0, 4.0)), "not whole"),
    ],
)
def test_it_tells_what_may_not_be_seen(seen, told):
    witness = Witness({"P0": 2})
    witness.see(BOTH)
    if told == "not whole":
        witness.parts = {"P0": 2, "R0": 1}
    witness.see(seen)
    assert any(told in problem for problem in witness.problems), witness.problems


def test_a_failed_read_is_counted():
    witness = Witness()

    def fail() -> pl.DataFrame:
        raise OSError("gone")

    assert witness.attempt(fail, (OSError,)) is None
    assert (witness.reads, witness.failed) == (0, 1)
