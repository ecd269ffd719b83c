"""Histograms and numbers: windows, counters that begin anew, what is refused."""

from math import inf
from typing import Any

import pytest
from hypothesis import given

from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.features.rollouts.verdict.model import Numbers, Pair
from gantry.kernel.errors import IntegrityError
from tests.support.verdict import BOUNDS_MS, numbers, seen, spread, timed


def test_quantiles_lie_within_their_bucket() -> None:
    latency = timed([3.0] * 50 + [60.0] * 45 + [300.0] * 5)
    assert latency.quantile_ms(0.5) == 5.0
    assert 50.0 < latency.quantile_ms(0.6) < 75.0
    assert latency.quantile_ms(0.95) == 75.0
    assert 250.0 < latency.quantile_ms(0.99) < 400.0


def test_quantiles_at_the_ends() -> None:
    assert Histogram().quantile_ms(0.5) == 0.0
    assert timed([9000.0]).quantile_ms(0.5) == inf
    assert timed([1.0]).quantile_ms(0.5) == 2.5


def test_bounds_from_a_latency() -> None:
    assert spread(10).first_bound_from(50.0) == BOUNDS_MS.index(50.0)
    assert spread(10).first_bound_from(50.1) == BOUNDS_MS.index(75.0)
    assert spread(10).first_bound_from(inf) is None


@pytest.mark.parametrize(
    ("bounds", "counts", "total"),
    [
        ((1.0, 2.0), (1,), 1),
        ((2.0, 1.0), (1, 2), 2),
        ((1.0, 1.0), (1, 2), 2),
        ((1.0, 2.0), (2, 1), 2),
        ((1.0, 2.0), (1, 3), 2),
        ((1.0, 2.0), (-1, 0), 0),
    ],
)
def test_impossible_histograms_are_refused(
    bounds: tuple[float, ...], counts: tuple[int, ...], total: int
) -> None:
    with pytest.raises(IntegrityError) as refused:
        Histogram(bounds, counts, total)
    assert refused.value.code == "verdict.histogram"


@pytest.mark.parametrize(
    "counts", [{"requests": -1}, {"requests": 3, "errors": 4}, {"waiting": -1}]
)
def test_impossible_numbers_are_refused(counts: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError) as refused:
        Numbers(**counts)
    assert refused.value.code == "verdict.numbers"


@given(numbers(), numbers())
def test_a_window_is_what_was_added(start: Numbers, window: Numbers) -> None:
    assert (start + window) - start == window


@given(numbers(), numbers(), numbers())
def test_windows_follow_each_other(first: Numbers, second: Numbers, third: Numbers) -> None:
    assert (first + second) + third == first + (second + third)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (seen(1000, 10), seen(40, 3)),
        (seen(1000, 10), seen(1001, 9)),
        (Numbers(10, 0, timed([3.0] * 10)), Numbers(12, 1, timed([3.0] * 2 + [90.0] * 10))),
        (seen(50), Numbers(60)),  # latency is no longer measured
    ],
)
def test_a_fall_of_any_counter_of_traffic_is_a_new_beginning(start: Numbers, end: Numbers) -> None:
    assert end.began_anew_since(start)
    assert Pair(end, end).began_anew_since(Pair(start, end))
    assert Pair(end, end).began_anew_since(Pair(end, start))
    assert not end.began_anew_since(end)


def test_restarts_begin_anew_by_themselves() -> None:
    start = Numbers(100, 1, restarts=5, smoke_failures=1)
    end = Numbers(150, 1, restarts=2, smoke_failures=2)
    assert end - start == Numbers(50, 0, restarts=2, smoke_failures=1)


def test_an_error_seen_before_its_request_counts_as_a_request() -> None:
    assert Numbers(100, 3) - Numbers(100, 2) == Numbers(1, 1)


def test_what_waits_is_taken_from_the_end() -> None:
    assert (Numbers(5, waiting=2) - Numbers(1, waiting=9)).waiting == 2
    assert (Numbers(5, waiting=2) + Numbers(1, waiting=9)).waiting == 9


def test_different_bounds_are_not_mixed() -> None:
    with pytest.raises(IntegrityError) as refused:
        spread(5) + Histogram((1.0,), (5,), 5)
    assert refused.value.code == "verdict.bounds"


@given(numbers())
def test_nothing_seen_yet_is_the_beginning_of_any_window(window: Numbers) -> None:
    assert window - Numbers() == window
    assert Numbers() + window == window
    assert (window + Numbers(waiting=window.waiting)) == window
