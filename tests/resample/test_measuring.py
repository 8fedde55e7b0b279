"""The measurement itself runs; its figures are the benchmarks' business."""

from __future__ import annotations

from tests.resample.measuring import measure


def test_the_measurement_runs_on_a_small_market(tmp_path):
    figures = measure(tmp_path, symbols=3, candles=60, sample=1)
    assert all(figure.reached is not None and figure.reached > 0 for figure in figures)
