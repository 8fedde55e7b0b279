from __future__ import annotations

from datetime import timedelta

import pytest

from kit.dialect.hosts import Endpoints, host_of
from kit.errors import ConfigError
from kit.words import Interval, Venue


@pytest.mark.parametrize(
    ("venue", "klines", "stream"),
    [
        (Venue.SPOT, "https://api.binance.com/api/v3/klines", "wss://stream.binance.com:9443/stream"),
        (Venue.UM, "https://fapi.binance.com/fapi/v1/klines", "wss://fstream.binance.com/market/stream"),
        (Venue.CM, "https://dapi.binance.com/dapi/v1/klines", "wss://dstream.binance.com/stream"),
    ],
)
def test_each_venue_has_its_own_doors(venue: Venue, klines: str, stream: str):
    host = host_of(venue)
    assert (host.rest_url("klines"), host.stream_url) == (klines, stream)


def test_only_spot_has_seconds():
    assert [Interval.S1 in host_of(venue).intervals for venue in Venue] == [True, False, False]


def test_limits_are_those_of_the_documents():
    assert [host_of(venue).messages_per_second for venue in Venue] == [5, 10, 10]
    assert host_of(Venue.CM).max_page_span == timedelta(days=200)
    assert host_of(Venue.UM).max_connection_life == timedelta(hours=24)
    assert host_of(Venue.SPOT).max_streams == 1024


def test_another_base_keeps_the_exchanges_own_paths_and_may_end_in_a_slash():
    host = host_of(Venue.UM, Endpoints(rest="http://127.0.0.1:8080/", ws="ws://127.0.0.1:8080/"))
    assert host.rest_url("klines") == "http://127.0.0.1:8080/fapi/v1/klines"
    assert host.stream_url == "ws://127.0.0.1:8080/market/stream"


def test_a_base_may_have_a_path_of_its_own():
    host = host_of(Venue.SPOT, Endpoints(rest="https://mirror.example/binance/"))
    assert host.rest_url("time") == "https://mirror.example/binance/api/v3/time"
    assert host.stream_url == host_of(Venue.SPOT).stream_url


def pool(venue: Venue, rest: str | None = None, proxy: str | None = None) -> str:
    return host_of(venue, Endpoints(rest=rest), proxy=proxy).pool


def test_both_futures_venues_share_one_pool_and_spot_has_its_own():
    assert (pool(Venue.SPOT), pool(Venue.UM), pool(Venue.CM)) == ("spot", "futures", "futures")


def test_on_one_test_server_both_futures_share_and_two_servers_never_do():
    first, second = "http://127.0.0.1:1111", "http://127.0.0.1:2222"
    assert pool(Venue.UM, first) == pool(Venue.CM, first)
    assert len({pool(Venue.UM, first), pool(Venue.UM, second), pool(Venue.SPOT, first), pool(Venue.UM)}) == 4


@pytest.mark.parametrize(
    "url", ["https://fapi.binance.com", "https://FAPI.binance.com:443/", "https://dapi.binance.com"]
)
def test_the_exchanges_own_hosts_written_out_are_still_its_pool(url: str):
    assert pool(Venue.UM, url) == "futures"


def test_one_spelling_of_a_server_is_as_good_as_another():
    assert pool(Venue.UM, "http://Server:80/") == pool(Venue.UM, "http://server")
    assert pool(Venue.UM, "http://[::1]:80/x") == pool(Venue.CM, "http://[::1]/y")


def test_another_proxy_is_another_pool_and_its_password_stays_out():
    through = pool(Venue.UM, proxy="socks5://user:secret@proxy.example:1080")
    assert through not in (pool(Venue.UM), pool(Venue.UM, proxy="http://other.example:1080"))
    assert "secret" not in through
    assert "user" not in through


@pytest.mark.parametrize(
    "rest", ["", "fapi.binance.com", "ftp://fapi.binance.com", "ws://x", "http://", "http://x:port", "http://[::1"]
)
def test_what_is_no_address_is_a_config_error_that_names_the_key(rest: str):
    with pytest.raises(ConfigError, match=r"endpoints\.rest"):
        host_of(Venue.UM, Endpoints(rest=rest))


def test_a_bad_proxy_is_not_shown():
    with pytest.raises(ConfigError) as caught:
        host_of(Venue.UM, proxy="http://user:secret@host:port")
    assert "secret" not in str(caught.value)
