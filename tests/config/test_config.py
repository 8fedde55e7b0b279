"""config.json: what it accepts, and how it says no."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.config import FactorSpec, MarketConfig, load_config, parse_config
from kit.config.schema import SCHEMA_PATH, config_schema, schema_text
from kit.errors import ConfigError
from kit.words import Interval, TradeType

TOKEN = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"  # noqa: S105 - made up
SECRET = "SECfeedfacecafebeef0123456789abcdef"  # noqa: S105 - made up


def written(tmp_path: Path, content: str | bytes | dict[str, Any]) -> Path:
    text = json.dumps(content) if isinstance(content, dict) else content
    (tmp_path / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path


def sound(**keys: Any) -> dict[str, Any]:
    return {"interval": "5m", "trade_type": "usdt_perp", **keys}


def parsed(**keys: Any) -> MarketConfig:
    return parse_config(Path("/market"), sound(**keys))


def refusal(**keys: Any) -> str:
    """The one problem of a config that is sound but for these keys."""
    with pytest.raises(ConfigError) as raised:
        parsed(**keys)
    assert len(raised.value.problems) == 1, raised.value.problems
    return raised.value.problems[0]


def test_two_keys_are_enough_and_the_rest_are_bmacs_defaults(tmp_path):
    config = load_config(written(tmp_path, {"interval": "1m", "trade_type": "usdt_deli"}))
    assert (config.trade_type, config.interval) == (TradeType.USDT_DELI, Interval.M1)
    assert (config.num_candles, config.funding_rate, config.keep_symbols, config.save_type) == (
        1500,
        False,
        None,
        "parquet",
    )
    assert (config.http_timeout_sec, config.candle_close_timeout_sec) == (5, 15)
    assert (config.num_rest_fetchers, config.num_socket_listeners) == (8, 8)
    assert (config.dingding, config.proxy, config.factor_package, config.resample) == (None, None, None, None)
    assert (config.exclude_symbols, config.factors, config.notify) == ((), (), ())
    assert (config.endpoints.rest, config.endpoints.ws, config.endpoints.dingding) == (None, None, None)
    assert config.offset == timedelta(seconds=3)
    assert config.base_dir == tmp_path


def test_everything_written_is_there_with_its_type():
    config = parsed(
        keep_symbols=["BTCUSDT", "币安人生USDT"],
        exclude_symbols=["ETHUSDT"],
        endpoints={"rest": "http://127.0.0.1:80/", "ws": "ws://[::1]:81", "dingding": "http://localhost:82/robot/send"},
        factors=[["PctChg", 100], ["Bias", 20]],
        factor_package="my.factors",
        resample={"interval": "1h", "base_offset": "25m"},
        offset_sec=2.5,
        http_timeout_sec=7,
        save_type="feather",
    )
    assert config.keep_symbols == ("BTCUSDT", "币安人生USDT")
    assert config.endpoints.rest == "http://127.0.0.1:80"
    assert config.factors == (FactorSpec("PctChg", 100), FactorSpec("Bias", 20))
    assert config.resample is not None
    assert (config.resample.interval, config.resample.offset) == (Interval.H1, timedelta(minutes=25))
    assert config.offset == timedelta(seconds=2.5)
    assert config.http_timeout == timedelta(seconds=7)
    assert config.candle_close_timeout == timedelta(seconds=15)


def test_null_stands_for_the_default_of_lists_and_objects():
    config = parsed(exclude_symbols=None, factors=None, notify=None, endpoints=None, dingding=None)
    assert config == parsed()


def test_the_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        parsed().num_candles = 5


def test_bmacs_robots_are_taken_by_name_and_a_single_one_as_default():
    robot = {"access_token": TOKEN, "secret": SECRET}
    named = parsed(dingding={"error": robot, "listing": robot}).dingding
    single = parsed(dingding=robot).dingding
    assert named is not None
    assert single is not None
    assert list(named) == ["error", "listing"]
    assert list(single) == ["default"]
    assert named["error"].secret is not None
    assert named["error"].secret.get_secret_value() == SECRET


@pytest.mark.parametrize("trade_type", ["usdt_spot", "usdt_deli", "coin_deli"])
def test_funding_rates_are_switched_off_with_a_warning_where_there_are_none(tmp_path, trade_type, caplog):
    folder = written(tmp_path, {"interval": "1h", "trade_type": trade_type, "funding_rate": True})
    assert load_config(folder).funding_rate is False


def test_funding_rates_stay_on_for_perpetuals():
    assert parsed(funding_rate=True).funding_rate is True


def test_the_key_by_which_editors_find_the_schema_is_let_through():
    assert parsed(**{"$schema": "./config_schema.json"}) == parsed()


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    assert load_config(written(tmp_path, b"\xef\xbb\xbf" + json.dumps(sound()).encode())).interval is Interval.M5


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("interval", "7m", ["interval", '"7m"', "1m, 3m, 5m"]),
        ("interval", 5, ["interval", "5", "1m, 3m, 5m"]),
        ("interval", "1s", ["interval", "spot only", "usdt_perp"]),
        ("trade_type", "usdt_prep", ["trade_type", "did you mean 'usdt_perp'?", "coin_swap"]),
        ("num_candles", 0, ["num_candles", "0", "1 to 10000"]),
        ("num_candles", 10_001, ["num_candles", "10001", "1 to 10000"]),
        ("num_candles", True, ["num_candles", "true", "1 to 10000"]),
        ("num_candles", "1500", ["num_candles", '"1500"', "1 to 10000"]),
        ("num_candles", None, ["num_candles", "null", "1 to 10000"]),
        ("funding_rate", "yes", ["funding_rate", '"yes"', "true or false"]),
        ("save_type", "csv", ["save_type", '"csv"', "parquet or feather"]),
        ("http_timeout_sec", 0, ["http_timeout_sec", "above 0"]),
        ("http_timeout_sec", float("nan"), ["http_timeout_sec", "NaN"]),
        ("candle_close_timeout_sec", float("inf"), ["candle_close_timeout_sec", "Infinity"]),
        ("num_rest_fetchers", 65, ["num_rest_fetchers", "65", "1 to 64"]),
        ("num_socket_listeners", 0, ["num_socket_listeners", "1 to 64"]),
        ("offset_sec", -1, ["offset_sec", "-1"]),
        ("offset_sec", 300, ["offset_sec", "less than the interval"]),
        ("keep_symbols", [], ["keep_symbols", "[]"]),
        ("keep_symbols", "BTCUSDT", ["keep_symbols", '"BTCUSDT"', "null or"]),
        ("keep_symbols", ["BTCUSDT", "../x"], ["keep_symbols[1]", "path separators"]),
        ("keep_symbols", ["A\\B"], ["keep_symbols[0]", "path separators"]),
        ("keep_symbols", [".."], ["keep_symbols[0]", "path separators"]),
        ("keep_symbols", ["A\nB"], ["keep_symbols[0]", "control characters"]),
        ("keep_symbols", ["\ud800"], ["keep_symbols[0]", "control characters"]),
        ("keep_symbols", [""], ["keep_symbols[0]", "1 to 64"]),
        ("exclude_symbols", ["btcusdt"], ["exclude_symbols[0]", "upper case"]),
        ("exclude_symbols", [5], ["exclude_symbols[0]", "5"]),
        ("endpoints", {"rest": "127.0.0.1:80"}, ["endpoints.rest", "http://"]),
        ("endpoints", {"rest": "ws://h"}, ["endpoints.rest", "ws://h", "http://"]),
        ("endpoints", {"ws": "http://h"}, ["endpoints.ws", "ws://"]),
        ("endpoints", {"ws": "ws://h:99999"}, ["endpoints.ws", "port"]),
        ("endpoints", {"rest": "http://"}, ["endpoints.rest", "no host"]),
        ("endpoints", {"rest": "http://h/?a=1"}, ["endpoints.rest", "query"]),
        ("endpoints", {"rest": "http://a b"}, ["endpoints.rest", "spaces"]),
        ("endpoints", {"websocket": "ws://h"}, ["endpoints.websocket", "is not a key", "rest, ws"]),
        ("endpoints", "http://h", ["endpoints", "an object"]),
        ("proxy", "socks9://h:1", ["proxy", "socks5"]),
        ("factors", [["PctChg", 0]], ["factors[0][1]", "0"]),
        ("factors", [["PctChg", 1501]], ["factors", "1501", "num_candles"]),
        ("factors", [["Pct Chg", 1]], ["factors[0][0]", "Pct Chg"]),
        ("factors", [["PctChg", 1, 2]], ["factors[0]", "pairs"]),
        ("factors", {"PctChg": 1}, ["factors", "pairs"]),
        ("factor_package", "../evil", ["factor_package", "../evil"]),
        ("resample", {"interval": "5m"}, ["resample", "multiple"]),
        ("resample", {"interval": "1m"}, ["resample", "multiple"]),
        ("resample", {"interval": "1h", "base_offset": "7m"}, ["resample", "base_offset", "multiple of 5m"]),
        ("resample", {"interval": "1h", "base_offset": "60m"}, ["resample", "base_offset", "below 1h"]),
        ("resample", {"interval": "1h", "base_offset": "soon"}, ["resample.base_offset", '"soon"']),
        ("resample", {"interval": "1h", "offset": "5m"}, ["resample.offset", "did you mean 'base_offset'?"]),
        ("resample", {}, ["resample.interval", "is missing"]),
        ("notify", ["json://h", "nonsense"], ["notify", "number 2"]),
        ("num_candle", 5, ["num_candle is not a key", "did you mean 'num_candles'?", "trade_type"]),
        ("a\nb", 5, ["'a\\nb' is not a key"]),
    ],
)
def test_a_wrong_key_is_named_with_what_was_written_and_what_is_allowed(key, value, words):
    told = refusal(**{key: value})
    assert all(word in told for word in words), told
    assert "allowed:" in told
    assert "\n" not in told


def test_one_second_candles_are_sound_on_spot_with_any_offset():
    config = parse_config(Path(), {"interval": "1s", "trade_type": "usdt_spot"})
    assert config.offset > config.interval.delta


def test_a_window_that_just_fits_is_sound():
    assert parsed(num_candles=50, factors=[["PctChg", 50]]).factors[0].n == 50


def test_excluding_all_that_is_kept_is_refused():
    assert "nothing of keep_symbols is left" in refusal(keep_symbols=["BTCUSDT"], exclude_symbols=["BTCUSDT"])


def test_all_wrong_keys_are_told_at_once_those_that_need_two_keys_too():
    with pytest.raises(ConfigError) as raised:
        parse_config(
            Path("/market"),
            {"interval": "1s", "trade_type": "coin_perp", "num_candles": "x", "resmaple": {}, "save_type": "csv"},
        )
    assert [problem.split()[0] for problem in raised.value.problems] == [
        "interval",
        "num_candles",
        "save_type",
        "resmaple",
    ]
    assert str(raised.value).startswith("/market/config.json: ")


def test_both_required_keys_are_asked_for():
    with pytest.raises(ConfigError, match=r"trade_type is missing.*usdt_perp.*interval is missing.*1m"):
        parse_config(Path(), {})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"interval": "1m",\n  "trade_type" "x"}', "line 2, column 16"),
        ("", "not JSON"),
        ("[]", "not an object"),
        ("null", "not an object"),
        ('"text"', "not an object"),
        (b'{"interval":\n "\xff"}', "not UTF-8 text: unreadable byte in line 2, column 3"),
        ("[" * 100_000, "nested too deeply"),
        ('{"num_candles": ' + "9" * 5000 + "}", "too many digits"),
    ],
)
def test_a_file_that_is_no_json_object_is_told_with_its_place(tmp_path, content, words):
    with pytest.raises(ConfigError, match=words):
        load_config(written(tmp_path, content))


def test_a_key_written_twice_is_refused_next_to_other_problems(tmp_path):
    text = '{"interval": "1m", "interval": "5m", "trade_type": "usdt_perp", "save_type": "csv"}'
    with pytest.raises(ConfigError) as raised:
        load_config(written(tmp_path, text))
    assert raised.value.problems[0] == "'interval' is written twice; allowed: once"
    assert raised.value.problems[1].startswith("save_type")


def test_a_missing_file_says_what_to_write(tmp_path):
    with pytest.raises(ConfigError, match=r"no such file.*trade_type"):
        load_config(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "a\0b"])
def test_what_cannot_be_read_is_a_config_error(tmp_path, name):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path if name == "config.json" else tmp_path / name)


@pytest.mark.parametrize(
    "keys",
    [
        {"dingding": {"error": {"access_token": f"https://x/?access_token={TOKEN}", "secret": SECRET}}},
        {"dingding": {"error": {"acess_token": TOKEN, "secret": [SECRET]}}},
        {"dingding": TOKEN},
        {"dingding": [SECRET]},
        {"dingding": {"acess_token": TOKEN, "secret": SECRET}},
        {"notify": f"tgram://{TOKEN}/1"},
        {"notify": [TOKEN]},
        {"notify": [{"url": TOKEN}]},
        {"proxy": f"htp://user:{TOKEN}@host"},
        {"proxy": f"http//user:{TOKEN}@host:port"},
        {"proxy": [TOKEN]},
        {"endpoints": {"rest": f"http://user:{TOKEN}@host"}},
        {"endpoints": {"ws": f"http:/user:{TOKEN}@host"}},
        {"endpoints": {"dingding": f"https://oapi.dingtalk.com/robot/send?access_token={TOKEN}"}},
        {"interval": f"https://user:{TOKEN}@host"},
        {"save_type": f"x?secret={TOKEN}"},
    ],
)
def test_a_refusal_shows_no_secret(keys):
    with pytest.raises(ConfigError) as raised:
        parsed(**keys)
    assert TOKEN not in str(raised.value)
    assert SECRET not in str(raised.value)
    assert TOKEN not in repr(raised.value.__cause__)


def test_a_configuration_shown_shows_no_secret():
    config = parsed(
        dingding={"error": {"access_token": TOKEN, "secret": SECRET}},
        notify=[f"tgram://{TOKEN}/1"],
        proxy=f"socks5://user:{TOKEN}@host:1",
    )
    for shown in (repr(config), str(config), repr(config.dingding), repr(config.notify)):
        assert TOKEN not in shown
        assert SECRET not in shown
    assert config.proxy == f"socks5://user:{TOKEN}@host:1"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([*MarketConfig.model_fields, "$schema", "unknown"])


@given(raw=st.dictionaries(KEYS, JSON) | JSON)
def test_whatever_json_is_written_the_answer_is_a_config_or_a_config_error(raw):
    problems: tuple[str, ...] = ()
    try:
        config = parse_config(Path("/market"), raw)
    except ConfigError as error:
        config, problems = None, error.problems
    assert isinstance(config, MarketConfig) or problems
    assert all("allowed:" in problem for problem in problems)
    " ".join(problems).encode()  # can be printed: no half characters


def test_the_committed_schema_is_the_one_of_the_code():
    assert SCHEMA_PATH.read_text(encoding="utf-8") == schema_text(), "run `python -m kit.config`"


def test_the_schema_describes_every_key_and_refuses_unknown_ones():
    schema = config_schema()
    assert set(schema["properties"]) == {*MarketConfig.model_fields, "$schema"}
    assert sorted(schema["required"]) == ["interval", "trade_type"]
    assert schema["additionalProperties"] is False
    described = [*schema["properties"].values()]
    described += [
        field for part in ("Robot", "Resample", "Endpoints") for field in schema["$defs"][part]["properties"].values()
    ]
    assert all(field.get("description") for field in described)


def test_reading_a_config_loads_none_of_the_heavy_packages():
    heavy = "pandas", "polars", "prefect", "pyarrow", "apprise", "requests", "numpy"
    code = f"import kit.config, kit.logs, kit.notify, sys; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
