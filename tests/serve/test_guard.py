"""Who may read the page."""

from __future__ import annotations

import pytest

from kit.serve.guard import host_allowed, is_loopback


@pytest.mark.parametrize(
    "header", ["localhost", "localhost:8321", "LOCALHOST:9", "127.0.0.1:8321", "127.8.8.8", "[::1]:8321", "[::1]"]
)
def test_on_loopback_its_own_names_are_answered_whatever_the_port(header):
    assert host_allowed(header, "127.0.0.1")
    assert host_allowed(header, "::1")


@pytest.mark.parametrize(
    "header",
    [None, "", "evil.example", "evil.example:8321", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.5",
     "[::1", "user@evil.example", "localhost@evil.example"],
)  # fmt: skip
def test_on_loopback_a_foreign_name_is_refused(header):
    assert not host_allowed(header, "127.0.0.1")
    assert not host_allowed(header, "localhost")


def test_on_a_network_address_any_name_is_answered():
    assert host_allowed("market-host.example:8321", "192.168.1.5")


@pytest.mark.parametrize(
    ("host", "loopback"), [("::1", True), ("localhost", True), ("192.168.1.5", False), ("a", False)]
)
def test_loopback_is_told_from_the_network(host, loopback):
    assert is_loopback(host) is loopback
