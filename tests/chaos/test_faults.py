"""The short form: every fault once, those that do not hide each other at the same time, on a stage of real processes.

``python -m tests.chaos --each`` tries each alone and tells how long each took to be complete again.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.acts import Act, Timed, fault
from tests.chaos.run import Examiner, Result, files_that_lie, limits_broken
from tests.chaos.schedule import SPOT_SYMBOLS
from tests.chaos.stage import SPOT_1S, Stage
from tests.chaos.trials import HEALED_WITHIN_S, SPOT_KLINES

pytestmark = [pytest.mark.xdist_group("chaos_a"), pytest.mark.timeout(600)]

BTC, ETH, SOL, CJK, PEPE, FRESH, BNB, XRP, DOGE, ADA = SPOT_SYMBOLS


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    """One stage for all of them: a fault must leave nothing behind that the next could trip over."""
    with Stage(tmp_path_factory.mktemp("chaos") / "stage", seed=11, illiquid_share=0) as stage:
        examiner = Examiner(stage, SPOT_1S)
        examiner.settle()
        yield examiner


def played(examiner: Examiner, name: str, *timeline: Timed, missing: tuple[str, ...] = ()) -> Result:
    result = examiner.sequence(name, timeline, HEALED_WITHIN_S, missing)
    assert result.problems == ()
    return result


def test_finals_and_frames_that_are_not_as_they_should_be_leave_no_trace(examiner: Examiner) -> None:
    at_once = (
        fault("finals_dropped", 5, symbols=[BTC]),
        fault("finals_duplicated", 5, symbols=[ETH], copies=3),
        fault("finals_out_of_order", 5, symbols=[SOL, CJK], within_ms=1500),
        fault("finals_late", 5, symbols=[PEPE], by_ms=4000),
        fault("finals_late", 5, symbols=[FRESH], by_ms=15_000),
        fault("finals_early", 5, symbols=[BNB], by_ms=300),
        fault("frames_garbage", 5, symbols=[XRP], every_n=3),
        fault("frames_truncated", 5, symbols=[DOGE], every_n=3),
        fault("frames_wrong_types", 5, symbols=[ADA], every_n=2),
        fault("frames_binary", 5, symbols=[ETH], every_n=4),
        fault("frames_oversized", 5, symbols=[SOL], every_n=4, bytes=500_000),
    )
    played(examiner, "finals and frames", *(Timed(0, act) for act in at_once))


def test_the_ledger_names_just_what_could_not_be_had_while_rest_is_down_in_every_way(examiner: Examiner) -> None:
    ways = (
        fault("rest_5xx", 2, status=503),
        fault("rest_429", 2, retry_after_s=1),
        fault("rest_418", 2, ban_s=2),
        fault("rest_timeout", 2),
        fault("rest_reset", 2),
        fault("rest_truncated_json", 2),
        fault("rest_wrong_types", 2),
        fault("rest_maintenance", 2, form="239999"),
    )
    dropped = fault("finals_dropped", 2 * len(ways), symbols=[BTC, ETH])
    timeline = [Timed(2 * number, way) for number, way in enumerate(ways)]
    result = played(examiner, "REST is down", Timed(0, dropped), *timeline, missing=(BTC, ETH))
    assert result.incomplete > 0


def test_connections_that_end_fall_silent_or_deliver_half_leave_no_trace(examiner: Examiner) -> None:
    played(
        examiner,
        "connections",
        Timed(0, Act("connections", "abort")),
        Timed(0, fault("partial_resubscription", 3, share=0.5)),
        Timed(3, fault("slow_acknowledgement", 3, by_ms=2000)),
        Timed(3, Act("connections", "server_shutdown", (("share", 0.5),))),
        Timed(5, fault("subscription_error", 3)),
        Timed(5, Act("connections", "close", (("code", 1008),))),
        Timed(8, fault("never_delivers", 4, share=0.5)),
        Timed(8, Act("connections", "life")),
        Timed(12, fault("silence", 4, share=0.5)),
        Timed(12, fault("freeze", 4, share=0.3)),
        Timed(15, Act("connections", "abort")),
        Timed(15, fault("refuse", 3, how="reset")),
    )


def test_klines_that_are_stale_unfinished_or_not_there_yet_are_right_in_the_end(examiner: Examiner) -> None:
    played(
        examiner,
        "klines",
        Timed(0, fault("finals_dropped", 5, symbols=[BTC, ETH, SOL, CJK])),
        Timed(0, fault("klines_stale", 5, symbols=[BTC], for_ms=5000)),
        Timed(0, fault("klines_unfinished", 5, symbols=[ETH], for_ms=5000)),
        Timed(0, fault("klines_hole_for_a_while", 5, symbols=[SOL])),
        Timed(2, fault("rest_oversized", 3, bytes=3_000_000, path=SPOT_KLINES)),
        Timed(0, fault("quiet", 4, symbols=[XRP], kind="no_frames")),
    )


def test_killed_and_paused_processes_and_a_wrong_clock_lose_nothing(examiner: Examiner) -> None:
    played(
        examiner,
        "processes",
        Timed(0, Act("kill", "streamer", lasts_s=2)),
        Timed(1, Act("kill", "flow", lasts_s=2)),
        Timed(6, Act("pause", "streamer", lasts_s=5)),
        Timed(8, Act("pause", "flow", lasts_s=5)),
        Timed(9, Act("skew", "clock", (("skew_ms", 1500),), 4)),
    )


def test_in_the_end_no_limit_was_broken_and_no_file_lies(examiner: Examiner) -> None:
    assert limits_broken(examiner.stage.control.ledger()) == []
    assert files_that_lie(examiner.stage, SPOT_1S) == []
    counts = examiner.stage.summary()["markets"]["spot"]
    assert counts["failed_reads"] == 0
    assert counts["reads"] > 20
    assert counts["compared"] > 500
    assert counts["wrong_now"] == []
