"""One table names every metric; what is told, written and drawn goes by it."""

from __future__ import annotations

import re

import pytest

from kit.metrics.__main__ import PAGE_PATH, page
from kit.metrics.exposition import Samples, at_most
from kit.metrics.histogram import Histogram
from kit.metrics.labels import market_labels
from kit.metrics.table import METRICS, Kind, Part

ROWS = pytest.mark.parametrize("row", METRICS.values(), ids=METRICS)
BASE_UNITS = ("_seconds", "_bytes", "_total", "_info")


@ROWS
def test_names_say_whose_they_are_and_count_in_base_units(row):
    assert re.fullmatch(r"bmac(_[a-z]+)+", row.name)
    assert (row.kind is Kind.COUNTER) == row.name.endswith("_total")
    assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|mb|percent)(_|$)", row.name)
    if row.kind is Kind.HISTOGRAM:
        assert row.name.endswith(BASE_UNITS)


@ROWS
def test_meanings_are_sentences_and_nothing_is_labelled_by_symbol(row):
    assert row.help.endswith(".")
    assert "\n" not in row.help
    assert "|" not in row.help  # it stands in a table of the page
    assert "symbol" not in row.labels


def test_the_page_in_the_documents_is_the_tables():
    assert PAGE_PATH.read_text(encoding="utf-8") == page(), "run: python -m kit.metrics"


def test_each_metric_of_a_part_is_told_even_without_a_value():
    assert {family.name for family in Samples(Part.WORKER)} == {
        row.name.removesuffix("_total") for row in METRICS.values() if row.part is Part.WORKER
    }


def test_what_is_not_in_the_table_cannot_be_told():
    samples = Samples(Part.STREAMER)
    with pytest.raises(KeyError):
        samples.put("bmac_streamer_unheard_of", 1, market="m")
    with pytest.raises(KeyError):
        samples.put("bmac_worker_complete", 1, market="m")  # of the other part
    with pytest.raises(KeyError):
        samples.put("bmac_streamer_finals_total", 1, symbol="BTCUSDT")
    with pytest.raises(TypeError):
        samples.put("bmac_streamer_arrival_seconds", 1, market="m")
    with pytest.raises(TypeError):
        samples.put_histogram("bmac_streamer_finals_total", Histogram([1.0]), market="m")


def test_a_histogram_counts_up_to_and_with_its_bounds():
    histogram = Histogram([0.1, 1.0])
    for seconds in (-0.001, 0.1, 0.5, 1.0, 7.0):
        histogram.observe(seconds)
    samples = Samples(Part.STREAMER)
    samples.put_histogram("bmac_streamer_arrival_seconds", histogram, market="m")
    (family,) = (each for each in samples if each.name == "bmac_streamer_arrival_seconds")
    told = {(each.name.rpartition("_")[2], each.labels.get("le")): each.value for each in family.samples}
    assert told == {
        ("bucket", "0.1"): 2,
        ("bucket", "1.0"): 4,
        ("bucket", "+Inf"): 5,
        ("count", None): 5,
        ("sum", None): pytest.approx(8.6),
    }


def test_reasons_that_others_choose_are_bounded():
    told = at_most(((f"reason {number}", 2) for number in range(100)), limit=4)
    assert told == {"reason 0": 2, "reason 1": 2, "reason 2": 2, "reason 3": 2, "more": 192}


def test_two_folders_with_the_same_market_get_different_labels(tmp_path):
    names = {tmp_path / "a": "usdt_perp_1m", tmp_path / "b": "usdt_perp_1m", tmp_path / "c": "usdt_spot_1h"}
    labels = market_labels(names)
    assert labels[tmp_path / "c"] == "usdt_spot_1h"
    assert labels[tmp_path / "a"] == f"usdt_perp_1m@{tmp_path / 'a'}"
    assert len(set(labels.values())) == 3
