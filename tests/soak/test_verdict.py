"""What counts as growth, and what is compared with what."""

from __future__ import annotations

import pytest

from tests.soak.verdict import Kind, Span, Thirds, corrected, grown, judge, thirds

MB = Kind("MB")
COMPARED = Thirds(Span(10, 20), Span(30, 40))


def series(first: float, last: float) -> list[tuple[float, float]]:
    return [(second, first if second < 25 else last) for second in range(40)]


@pytest.mark.parametrize(
    ("first", "last", "flat"),
    [
        (100, 100, True),
        (100, 105, True),
        (100, 105.1, False),
        (100, 50, True),
        (0, 0, True),
        (20, 21, True),
        (5, 6, False),
    ],
)
def test_more_than_five_percent_is_growth_and_shrinking_is_none(first, last, flat):
    assert judge("x", MB, series(first, last), COMPARED).flat is flat


def test_a_difference_that_is_noise_is_no_growth():
    assert judge("x", Kind("ms", noise=5.0), series(10, 15), COMPARED).flat is True
    assert judge("x", Kind("ms", noise=5.0), series(10, 15.5), COMPARED).flat is False


def test_a_peak_or_what_happens_between_the_thirds_is_no_growth_but_too_few_values_are_no_verdict():
    peaks = [(second, 900.0 if second in (12, 25, 26, 33) else 100.0) for second in range(40)]
    assert judge("x", MB, peaks, COMPARED).flat is True
    few = judge("x", MB, series(100, 100)[:32], COMPARED)
    assert (few.flat, few.growth) == (None, None)
    assert grown([few]) == ["x"]


def test_what_is_open_for_a_moment_is_no_growth_but_one_more_that_stays_is():
    files = Kind("", typical=min)
    waits = [(second, 12 if second % (8 if second < 25 else 2) else 9) for second in range(40)]
    assert judge("x", files, waits, COMPARED).flat is True
    leak = [(second, value + (second > 25)) for second, value in waits]
    assert judge("x", files, leak, COMPARED).flat is False


def test_a_slow_leak_is_found_between_the_thirds():
    leaking = [(second, 100 + second / 4) for second in range(40)]
    verdict = judge("x", MB, leaking, COMPARED)
    assert verdict.flat is False or verdict.growth == pytest.approx(0.048, abs=0.002)
    assert judge("x", MB, [(second, 100 + second) for second in range(40)], COMPARED).flat is False


def test_what_takes_longer_because_the_machine_is_slower_is_no_growth_but_is_told():
    yardstick = series(20, 30)
    verdict = judge("x", Kind("ms", yardstick="time"), series(80, 120), COMPARED, yardstick)
    assert (verdict.flat, verdict.growth, verdict.as_measured) == (True, 0, 0.5)


def test_what_takes_longer_than_the_slower_machine_explains_is_growth():
    verdict = judge("x", Kind("ms", yardstick="time"), series(80, 120), COMPARED, series(20, 25))
    assert verdict.flat is False
    assert verdict.growth == pytest.approx(0.2)


def test_a_faster_machine_hides_no_growth():
    verdict = judge("x", Kind("ms", yardstick="time"), series(80, 80), COMPARED, series(20, 10))
    assert (verdict.flat, verdict.growth, verdict.as_measured) == (False, 1, 0)


def test_a_single_moment_of_the_yardstick_corrects_nothing():
    yardstick = [(at_s, 500.0 if at_s in (12, 34) else value) for at_s, value in series(20, 20)]
    assert corrected(series(80, 80), yardstick, COMPARED) == series(80, 80)


def test_without_a_yardstick_to_go_by_there_is_no_verdict():
    late = [(at_s, value) for at_s, value in series(20, 20) if at_s >= 20]
    assert judge("x", Kind("ms", yardstick="time"), series(80, 80), COMPARED, late).flat is None
    early = [(at_s, value) for at_s, value in series(20, 20) if at_s < 20]
    assert judge("x", Kind("ms", yardstick="time"), series(80, 80), COMPARED, early).flat is None


def test_the_thirds_of_ten_minutes_are_one_cycle_of_the_folder_apart_and_come_after_the_warm_up():
    assert thirds(600, warm_up_s=180, cycle_s=256) == Thirds(Span(216, 344), Span(472, 600))


@pytest.mark.parametrize("minutes", [10, 15, 30, 60, 600])
def test_whole_cycles_lie_between_the_thirds_of_any_long_run(minutes):
    compared = thirds(minutes * 60, warm_up_s=180, cycle_s=256)
    assert (compared.last.first_s - compared.first.first_s) % 256 == 0
    assert compared.first.first_s >= 180
    assert compared.last.end_s == minutes * 60


def test_a_run_shorter_than_a_cycle_is_cut_in_three_after_its_warm_up():
    assert thirds(40, warm_up_s=10, cycle_s=256) == Thirds(Span(10, 20), Span(30, 40))
