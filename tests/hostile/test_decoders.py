"""Whatever bytes come, a decoder gives a value or a typed refusal; so does everything that a value is used for next.

The same decoders are fuzzed by coverage in ``python -m tests.hostile.fuzz``.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.errors import BmacError
from tests.hostile.decoders import all_decoders, refusal_of, silence

pytestmark = pytest.mark.xdist_group("hostile")

with silence():
    DECODERS = all_decoders()
ON_DISK = {name for name, decoder in DECODERS.items() if decoder.feed.__qualname__.startswith("_in_folder")}


@pytest.fixture(autouse=True)
def silent():
    with silence():
        yield


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
ODD_BYTES = [b"", b"\0", b"\xff", b"1e400", b"NaN", b"-Infinity", b'"\\ud800"', b"9" * 40, b"-1", b"null", b"[]", b"{}"]


@st.composite
def changed(draw, examples):
    """A sound example with pieces cut out, doubled or replaced."""
    data = draw(st.sampled_from(examples))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        piece = draw(st.sampled_from(ODD_BYTES) | st.binary(max_size=6) | st.just(data[start:end] * 2))
        data = data[:start] + piece + data[end:]
    return data


def members(document, path=()):
    """Where each value of decoded JSON stands."""
    yield path
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document if isinstance(document, list) else ())
    )
    for key, value in inner:
        yield from members(value, (*path, key))


@st.composite
def with_other_values(draw, examples):
    """A sound JSON example with one of its values replaced by another of any kind."""
    document = json.loads(draw(st.sampled_from(examples)))
    *way, last = draw(st.sampled_from([path for path in members(document) if path] or [(None,)]))
    value = draw(documents | st.just("A\x1b[2J\n") | st.sampled_from([10**30, -1, 2**63, 1e308, "9" * 5000]))
    place = document
    for key in way:
        place = place[key]
    if last is None:
        return json.dumps(value).encode()
    place[last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize("name", DECODERS)
def test_bytes_of_any_kind_give_a_value_or_a_typed_refusal(name):
    decoder = DECODERS[name]

    @settings(max_examples=25 if name in ON_DISK else 100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.one_of(changed(decoder.examples), st.binary(max_size=40), documents.map(lambda it: json.dumps(it).encode()))
    )
    def holds(data):
        refusal_of(decoder, data)

    holds()


def is_json(data):
    try:
        return isinstance(json.loads(data), dict | list)
    except ValueError:
        return False


JSON = [name for name, decoder in DECODERS.items() if any(map(is_json, decoder.examples))]


@pytest.mark.parametrize("name", JSON)
def test_sound_json_with_a_value_of_another_kind_gives_a_value_or_a_typed_refusal(name):
    decoder = DECODERS[name]
    examples = [example for example in decoder.examples if is_json(example)]

    @settings(max_examples=40 if name in ON_DISK else 150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(with_other_values(examples))
    def holds(data):
        refusal_of(decoder, data)

    holds()


DEEP = 200_000
BIG = 10_000_000


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"[" * DEEP, id="deep lists"),
        pytest.param(b'{"a":' * DEEP, id="deep objects"),
        pytest.param(b'{"symbols":[' + b"[" * DEEP + b"]" * DEEP + b"]}", id="deep inside"),
        pytest.param(b"9" * BIG, id="a number of ten million digits"),
        pytest.param(b'[[1787949600000,"' + b"9" * BIG + b'"]]', id="a price of ten million digits"),
        pytest.param(b'{"e":"' + b"x" * BIG + b'"}', id="a name of ten million letters"),
        pytest.param(b"418\nRetry-After: " + b"9" * 5000 + b"\nDate: Mon, 1 Jan " + b"9" * 5000, id="long headers"),
        pytest.param(b"429\nDate: Fri, 31 Dec 9999 23:59:59 GMT\n\n{}", id="the end of time"),
        pytest.param(b'418\n\n{"code":-1003,"msg":"banned until ' + b"9" * 5000 + b'"}', id="a ban without end"),
        pytest.param(b'{"interval":"1m","interval":"5m","trade_type":"usdt_perp"}', id="a key twice"),
        pytest.param("\ufeff{}".encode("utf-16"), id="another encoding"),
    ],
)
def test_what_is_deep_huge_or_odd_is_refused_or_taken_like_anything_else(name, data):
    refusal_of(DECODERS[name], data)


def test_the_examples_are_sound():
    for name, decoder in DECODERS.items():
        refused = [example for example in decoder.examples if refusal_of(decoder, example) is not None]
        assert not refused or name == "answer", name


def test_a_foreign_error_would_be_noticed():
    def broken(_):
        raise KeyError("symbol")

    decoder = type(DECODERS["frame"])("broken", broken, ())
    with pytest.raises(KeyError):
        refusal_of(decoder, b"")
    assert issubclass(BmacError, Exception)
