"""A second streamer on the same folders: refused, or standing by; which takes over, when, and what that costs."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from tests.concurrency.stage import PATIENCE_S, assert_sound, eventually, slices, stage

pytestmark = pytest.mark.xdist_group("concurrency")


def sockets(pid: int) -> int:
    return len(psutil.Process(pid).net_connections("inet"))


def test_a_killed_streamer_is_followed_by_one_of_those_that_stand_by_and_a_stopped_one_is_not(tmp_path):
    with stage(tmp_path, symbols=10) as here:
        base_dir = here.market("market")
        with here.streamer("first", base_dir) as first:
            eventually(lambda: len(next(iter(slices(base_dir).values()), [])) >= 2, "the first streams")
            with (
                here.streamer("one", "--standby", base_dir) as one,
                here.streamer("other", "--standby", base_dir) as other,
                here.streamer("refused", base_dir) as refused,
            ):
                for name in ("one", "other"):
                    (waits,) = eventually(lambda name=name: here.events(name, "streamer.standing_by"), "it stands by")
                    assert f"pid {first.pid}" in waits["reason"]
                assert eventually(refused.ended, "the third is refused") == 2
                assert f"pid {first.pid}" in here.log("refused")
                assert "--standby" in here.log("refused")
                assert sockets(one.pid) == sockets(other.pid) == 0

                os.kill(first.pid, signal.SIGSTOP)
                time.sleep(2.0)  # eight looks at the lock
                assert not here.events("one", "streamer.takes_over") + here.events("other", "streamer.takes_over")
                os.kill(first.pid, signal.SIGKILL)
                eventually(lambda: len(list(slices(base_dir).values())[-1]) >= 4 and len(slices(base_dir)) == 2, "next")
                active = {name for name in ("one", "other") if here.events(name, "streamer.takes_over")}
                assert len(active) == 1
                idle = other if active == {"one"} else one
                assert sockets(idle.pid) == 0
                assert idle.stop() == 0

                with here.start("flow", "flows", "period", base_dir) as flow:
                    record = flow.line(PATIENCE_S)
                assert record["complete"] is True
                assert_sound(here, base_dir, record, ["BTCUSDT", "ETHUSDT"])
                assert (one if idle is other else other).stop() == 0


def test_folders_are_taken_over_one_by_one_each_by_its_config_as_it_is_then(tmp_path):
    with stage(tmp_path, symbols=10) as here:
        one, two = here.market("one"), here.market("two")
        with here.streamer("first", one) as first, here.streamer("second", two) as second:
            eventually(lambda: slices(one) and slices(two), "both stream")
            with here.streamer("standby", "--standby", one, two) as standby:
                eventually(lambda: len(here.events("standby", "streamer.standing_by")) == 2, "it stands by for both")
                here.market("one", interval="7m")  # broken while it stands by: what it began with serves
                here.market("two", keep_symbols=["BTCUSDT"])
                with here.streamer("bad", "--standby", one) as bad:
                    assert eventually(bad.ended, "with a broken config it does not even begin") == 2
                assert first.stop() == 0
                eventually(lambda: len(slices(one)) == 2, "the first's folder is streamed again")
                assert [event["market"] for event in here.events("standby", "streamer.takes_over")] == [str(one)]
                assert here.events("standby", "config.unusable")
                assert second.stop() == 0
                eventually(lambda: len(slices(two)) == 2 and len(list(slices(two).values())[-1]) >= 2, "both are")
                assert [event["count"] for event in here.events("standby", "market.symbols")] == [10, 1]
                assert standby.stop() == 0
