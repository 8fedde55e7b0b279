"""Where metrics are served, as people write it."""

from __future__ import annotations

import pytest

from kit.metrics import Address, MetricsError, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("9461", "127.0.0.1", 9461),
        ("0", "127.0.0.1", 0),
        ("localhost:9461", "localhost", 9461),
        ("0.0.0.0:9461", "0.0.0.0", 9461),  # noqa: S104 - only parsed
        ("[::1]:9461", "::1", 9461),
        ("streamer-1.example:65535", "streamer-1.example", 65535),
    ],
)
def test_a_port_alone_is_on_loopback_and_a_host_is_kept(text, host, port):
    address = parse_address(text)
    assert address == Address(host, port)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize("text", [None, ""])
def test_nothing_written_means_no_metrics(text):
    assert parse_address(text) is None


@pytest.mark.parametrize(
    "text", [":9461", "65536", "-1", "9461 ", "http://localhost:9461", "::1:9461", "a:b", "9461:", "１"]
)
def test_what_is_no_address_is_refused_with_what_is_allowed(text):
    with pytest.raises(MetricsError, match=r"\[HOST:\]PORT"):
        parse_address(text)


@pytest.mark.parametrize(
    ("host", "is_loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("a.b", False)]
)
def test_loopback_is_known_by_name_and_by_number(host, is_loopback):
    assert Address(host, 1).is_loopback is is_loopback
