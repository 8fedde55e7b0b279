"""The endpoint tells, and whoever treats it badly harms neither others nor the program."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog.testing
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from kit.metrics import Address, MetricsError
from kit.metrics import endpoint as endpoint_module
from kit.metrics.endpoint import PLACES, UnansweredError, serving
from tests.ports import free_port


class Counting:
    """Tells how often it was asked; ``problem`` is raised instead. ``pause_s``: it takes its time."""

    def __init__(self, pause_s: float = 0.0) -> None:
        self.asked = 0
        self.pause_s = pause_s
        self.problem: Exception | None = None

    def collect(self):
        self.asked += 1
        time.sleep(self.pause_s)
        if self.problem is not None:
            raise self.problem
        yield GaugeMetricFamily("asked", "How often.", value=self.asked)


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Nobody is cut because the machine stands still; nor do idle ones end by themselves."""
    monkeypatch.setattr(endpoint_module, "ANSWERED_WITHIN_SEC", 600.0)
    monkeypatch.setattr(endpoint_module._Handler, "timeout", 600.0)


@pytest.fixture
def collector():
    return Counting()


@pytest.fixture
def address(collector):
    with serving(Address("127.0.0.1", 0), collector) as bound:
        yield bound


def get(address: Address, path: str = "/metrics") -> str:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=120) as answer:
        return answer.read().decode()


def value_of(text: str, name: str) -> float:
    families = {family.name: family for family in text_string_to_metric_families(text)}
    return families[name].samples[0].value


def test_it_tells_what_the_collector_knows_and_what_the_process_uses(address):
    text = get(address)
    assert value_of(text, "asked") == 1
    assert value_of(text, "process_resident_memory_bytes") > 1e6


def test_anything_else_is_not_found(address, collector):
    with pytest.raises(urllib.error.HTTPError) as error:
        get(address, "/")
    assert error.value.code == 404
    error.value.close()
    assert collector.asked == 0


def test_a_port_in_use_is_an_error_that_names_it(address):
    with pytest.raises(MetricsError, match=f"{address}: Address already in use"), serving(address, Counting()):
        pass


def test_a_host_that_is_not_ours_is_an_error(collector):
    with pytest.raises(MetricsError, match=r"192\.0\.2\.1:9461"), serving(Address("192.0.2.1", 9461), collector):
        pass


def test_the_port_is_free_again_afterwards(collector):
    with serving(Address("127.0.0.1", free_port()), collector) as bound:
        get(bound)
    with serving(bound, collector):
        get(bound)


def test_many_who_ask_at_once_share_a_reading(monkeypatch):
    monkeypatch.setattr(endpoint_module, "TOGETHER_SEC", 60.0)
    collector = Counting(pause_s=0.2)
    with serving(Address("127.0.0.1", 0), collector) as bound, ThreadPoolExecutor(PLACES - 1) as pool:
        texts = list(pool.map(get, [bound] * (PLACES - 1)))
    assert collector.asked == 1
    assert {value_of(text, "asked") for text in texts} == {1}


def test_idle_connections_lock_nobody_out_and_take_few_threads(address):
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        for _ in range(10 * PLACES):
            stack.enter_context(socket.create_connection((address.host, address.port)))
        assert value_of(get(address), "asked") == 1
        deadline = time.monotonic() + 60
        while threading.active_count() - before > PLACES:  # those of the connections that were cut are just ending
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_who_sends_slowly_is_cut_when_the_time_is_over(address, monkeypatch):
    monkeypatch.setattr(endpoint_module, "ANSWERED_WITHIN_SEC", 0.3)
    with socket.create_connection((address.host, address.port)) as slow:
        slow.settimeout(120)
        slow.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert any(refuses(slow, b"x") for _ in range(2000)), "never cut"  # one header without end


def refuses(connection: socket.socket, data: bytes) -> bool:
    """Whether a connection takes no more, after a moment."""
    time.sleep(0.05)
    try:
        connection.sendall(data)
    except OSError:
        return True
    return False


def test_a_program_that_does_not_answer_is_a_failed_scrape_and_nothing_else(address, collector, monkeypatch):
    monkeypatch.setattr(endpoint_module, "TOGETHER_SEC", 0.0)
    collector.problem = UnansweredError("it hangs")
    with structlog.testing.capture_logs() as logs, pytest.raises(urllib.error.HTTPError) as error:
        get(address)
    assert error.value.code == 503
    error.value.close()
    assert [entry["reason"] for entry in logs if entry["event"] == "metrics.unanswered"] == ["it hangs"]
    collector.problem = None
    assert value_of(get(address), "asked") == 2


def test_a_bug_while_reading_is_logged_and_the_next_scrape_works(address, collector, monkeypatch):
    monkeypatch.setattr(endpoint_module, "TOGETHER_SEC", 0.0)
    collector.problem = ZeroDivisionError("a bug")
    with structlog.testing.capture_logs() as logs, pytest.raises(OSError):  # noqa: PT011 - closed without an answer
        get(address)
    assert [entry["event"] for entry in logs] == ["metrics.broke"]
    collector.problem = None
    assert value_of(get(address), "asked") == 2


def test_other_addresses_than_loopback_are_warned_of(collector):
    with structlog.testing.capture_logs() as logs, serving(Address("0.0.0.0", 0), collector):  # noqa: S104 - the point
        pass
    assert [entry["event"] for entry in logs] == ["metrics.serving", "metrics.no_password"]
