"""Each check of a verdict by itself: its limits to the last request, against the formula that it stands for, and what it tells."""

from dataclasses import replace
from fractions import Fraction
from math import comb, inf, sqrt
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gantry.features.rollouts.verdict.checks import (
    ErrorsCheck,
    EventsCheck,
    LatencyCheck,
    TrafficCheck,
    WaitingCheck,
)
from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.features.rollouts.verdict.model import (
    Analysis,
    CheckInput,
    CheckName,
    Counts,
    Numbers,
    Outcome,
    Reason,
)
from gantry.features.rollouts.verdict.statistics import upper_limit
from tests.support.verdict import POLICY

PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
RESTARTS = EventsCheck(
    CheckName.RESTARTS,
    lambda numbers: numbers.restarts,
    lambda policy: policy.restarts,
    "restart",
    "restarts",
)


def given_of(candidate: Numbers, current: Numbers, number: int = 2, **policy: Any) -> CheckInput:
    return CheckInput(
        candidate, current, replace(POLICY, **policy), Analysis(number=number, at_end=True)
    )


def tail(count: int, of: int, share: Fraction) -> Fraction:
    """P(X >= count), exactly."""
    return sum(
        (comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(count, of + 1)),
        start=Fraction(0),
    )


@pytest.mark.parametrize(
    ("candidate", "current", "tolerated", "fails", "passes"),
    [
        (0, 0, 0, False, True),
        (1, 0, 0, True, False),
        (1, 1, 0, False, False),
        (2, 1, 0, True, False),
        (1, 2, 0, False, False),
        (2, 0, 2, False, True),
        (3, 0, 2, True, False),
        (3, 3, 2, False, False),
    ],
)
def test_events_are_counted(
    candidate: int, current: int, tolerated: int, fails: bool, passes: bool
) -> None:
    numbers = given_of(Numbers(restarts=candidate), Numbers(restarts=current), restarts=tolerated)
    assert (RESTARTS.fails(numbers), RESTARTS.passes(numbers)) == (fails, passes)


def test_the_reason_of_events_has_their_counts() -> None:
    numbers = given_of(Numbers(restarts=1), Numbers(restarts=2))
    assert RESTARTS.reason(numbers, INCONCLUSIVE) == Reason(
        CheckName.RESTARTS,
        INCONCLUSIVE,
        "1 restart on the candidate, 2 on the current release",
        1,
        2,
        Counts(1, 0, 2, 0),
    )


@pytest.mark.parametrize(
    ("candidate", "current", "passes"),
    [(100, 100, True), (99, 5000, False), (5000, 99, False), (5000, 100, True), (0, 0, False)],
)
def test_traffic_is_enough_from_the_minimum_of_both(
    candidate: int, current: int, passes: bool
) -> None:
    numbers = given_of(Numbers(candidate), Numbers(current))
    assert TrafficCheck().passes(numbers) is passes
    assert TrafficCheck().fails(numbers) is False


def test_the_reason_of_traffic_says_what_a_pass_needs() -> None:
    numbers = given_of(Numbers(1), Numbers(2000))
    sentence = "1 request to the candidate, 2,000 to the current release"
    counts = Counts(1, 0, 2000, 0)
    passed = Reason(CheckName.TRAFFIC, PASS, sentence, 1, 2000, counts)
    assert TrafficCheck().reason(numbers, PASS) == passed
    short = replace(passed, outcome=INCONCLUSIVE, sentence=f"{sentence}; a pass needs 100 to each")
    assert TrafficCheck().reason(numbers, INCONCLUSIVE) == short


@given(
    st.integers(1, 3000), st.integers(1, 3000), st.data(), st.sampled_from([0.001, 0.01, 0.05, 0.2])
)
@settings(max_examples=200, deadline=None)
def test_errors_pass_by_the_limit_of_the_difference(
    requests: int, current_requests: int, data: st.DataObject, margin: float
) -> None:
    """Zou and Donner's limit written down as they did, from the exact limits of both shares."""
    errors = data.draw(st.integers(0, min(requests, 60)))
    current_errors = data.draw(st.integers(0, min(current_requests, 60)))
    then, now = errors / requests, current_errors / current_requests
    above = upper_limit(errors, requests, 0.05) - then
    below = now - (1.0 - upper_limit(current_requests - current_errors, current_requests, 0.05))
    limit = then - now + sqrt(above**2 + below**2)
    numbers = given_of(
        Numbers(requests, errors), Numbers(current_requests, current_errors), error_margin=margin
    )
    if abs(limit - margin) > 1e-6:
        assert ErrorsCheck().passes(numbers) is (limit < margin)


def test_errors_pass_where_the_current_release_had_no_request_and_never_without_a_request() -> None:
    assert ErrorsCheck().passes(given_of(Numbers(1000), Numbers()))
    assert not ErrorsCheck().passes(given_of(Numbers(), Numbers(1000)))


@pytest.mark.parametrize(
    ("errors", "requests", "current_errors", "current_requests", "passes"),
    [
        (3, 1000, 995, 1000, True),  # it repairs what fails nearly always
        (0, 100, 1000, 1000, True),
        (0, 20, 100, 100, True),
        (50, 100, 1000, 1000, True),  # half repaired is better too
        (995, 1000, 995, 1000, True),  # as bad, and shown to be no worse than that
        (10, 10, 10, 10, False),
        (0, 1, 1, 1, False),  # one request says nothing
    ],
)
def test_what_repairs_a_release_that_fails_nearly_always_passes(
    errors: int, requests: int, current_errors: int, current_requests: int, passes: bool
) -> None:
    numbers = given_of(Numbers(requests, errors), Numbers(current_requests, current_errors))
    assert ErrorsCheck().passes(numbers) is passes
    assert not ErrorsCheck().fails(numbers)


@pytest.mark.parametrize(
    ("errors", "requests", "current_requests", "fails"),
    [
        (2, 2, 38, True),
        (1, 1, 3800, False),
        (0, 400, 400, False),
        # With fewer than 100 requests of the current release the ceiling of a half decides as well.
        (200, 250, 0, True),
        (200, 250, 99, True),
        (60, 60, 60, True),
        (30, 60, 0, False),
        (32, 60, 0, False),
        (90, 100, 0, True),
    ],
)
def test_errors_fail(errors: int, requests: int, current_requests: int, fails: bool) -> None:
    numbers = given_of(Numbers(requests, errors), Numbers(current_requests))
    assert ErrorsCheck().fails(numbers) is fails


def test_the_ceiling_is_for_candidates_that_cannot_be_compared() -> None:
    """Of both releases more than half fails: nobody knows whose doing it is, unless there is nothing to compare with."""
    for current_requests, fails in ((0, True), (99, True), (100, False), (400, False)):
        current = Numbers(current_requests, current_requests * 7 // 10)
        numbers = given_of(Numbers(400, 350), current)
        assert ErrorsCheck().fails(numbers) is fails


def test_the_reason_of_errors_has_shares_and_counts() -> None:
    numbers = given_of(Numbers(40, 3), Numbers(400, 1))
    assert ErrorsCheck().reason(numbers, FAIL) == Reason(
        CheckName.ERRORS,
        FAIL,
        "3 of 40 requests failed on the candidate, 0.2 % of 400 on the current release",
        3 / 40,
        1 / 400,
        Counts(3, 40, 1, 400),
    )
    nobody = ErrorsCheck().reason(given_of(Numbers(), Numbers()), INCONCLUSIVE)
    assert (nobody.candidate, nobody.current) == (0.0, 0.0)


@pytest.mark.parametrize("number", [2, 3, 10])
@pytest.mark.parametrize("others", [0, 20, 80])
def test_what_hangs_fails_when_it_is_no_luck(number: int, others: int) -> None:
    """Each analysis is a test of its own: 1 / (j (j + 1)) of 2 % of what the first stage may risk."""
    budget = 0.01 * 0.8 * 0.02 / (number * (number + 1))
    for waiting in range(2, 30):
        candidate, current = Numbers(waiting=waiting), Numbers(380, waiting=others)
        share = Fraction(waiting, waiting + 380 + others)
        luck = tail(waiting, waiting + others, share)
        numbers = given_of(candidate, current, number)
        assert WaitingCheck().fails(numbers) is (luck <= budget)


@pytest.mark.parametrize(
    ("candidate", "current", "passes"),
    [
        (Numbers(), Numbers(100), False),
        (Numbers(100), Numbers(), True),
        (Numbers(75, waiting=25), Numbers(100), True),
        (Numbers(74, waiting=26), Numbers(100), False),
        (Numbers(64, waiting=36), Numbers(90, waiting=10), False),
        (Numbers(66, waiting=34), Numbers(90, waiting=10), True),
        (Numbers(waiting=1), Numbers(waiting=1), True),
    ],
)
def test_waiting_passes_up_to_a_quarter_more_than_now(
    candidate: Numbers, current: Numbers, passes: bool
) -> None:
    numbers = given_of(candidate, current)
    assert WaitingCheck().passes(numbers) is passes
    if passes:
        assert not WaitingCheck().fails(numbers)


def test_waiting_convicts_from_the_second_analysis_and_the_second_request() -> None:
    current = Numbers(100_000)
    assert not WaitingCheck().fails(given_of(Numbers(waiting=9), current, number=1))
    assert WaitingCheck().fails(given_of(Numbers(waiting=9), current, number=2))
    assert WaitingCheck().fails(given_of(Numbers(waiting=2), current))
    assert not WaitingCheck().fails(given_of(Numbers(waiting=1), current))


def test_the_reason_of_waiting_counts_what_has_no_answer_among_all() -> None:
    numbers = given_of(Numbers(30, waiting=10), Numbers(390, waiting=10))
    assert WaitingCheck().reason(numbers, FAIL) == Reason(
        CheckName.WAITING,
        FAIL,
        "10 of 40 requests had no answer yet on the candidate, 2.5 % of 400 on the current release",
        10 / 40,
        10 / 400,
        Counts(10, 40, 10, 400),
    )


BOUNDS_MS = (10.0, 100.0, 110.0, 125.0, 200.0, 1000.0)
MEDIAN = LatencyCheck(CheckName.P50, 0.5)


def took(*latencies: tuple[int, float]) -> Numbers:
    """Requests by how many took how many milliseconds."""
    times_ms = [latency_ms for count, latency_ms in latencies for _ in range(count)]
    return Numbers(len(times_ms), 0, Histogram.of(times_ms, BOUNDS_MS))


@pytest.mark.parametrize(
    ("ratio", "floor_ms", "slow_ms", "fails"),
    [
        (1.25, 5.0, 120.0, False),  # within 1.25 times 100 ms
        (1.25, 5.0, 180.0, True),
        (1.0, 25.0, 120.0, False),  # within 25 ms more
        (1.0, 25.0, 180.0, True),
        (1.0, 120.0, 180.0, False),  # the larger of both counts
        (2.2, 0.0, 180.0, False),
        (1.0, 0.0, 105.0, True),
    ],
)
def test_a_quantile_may_be_slower_by_the_ratio_or_by_the_floor(
    ratio: float, floor_ms: float, slow_ms: float, fails: bool
) -> None:
    # The median of the current release lies on the bound of 100 ms, the candidate's within a bucket.
    current, candidate = took((5000, 90.0), (5000, 500.0)), took((100, 90.0), (1900, slow_ms))
    numbers = given_of(candidate, current, latency_ratio=ratio, latency_floor_ms=floor_ms)
    assert current.latency.quantile_ms(0.5) == 100.0
    assert MEDIAN.fails(numbers) is fails
    assert MEDIAN.passes(numbers) is not fails


@pytest.mark.parametrize(("requests", "passes"), [(4, False), (5, True), (30, True)])
def test_a_quantile_passes_when_slower_ones_are_ruled_out(requests: int, passes: bool) -> None:
    """All are faster: by luck alone with half to the power of their number, which must be at most 5 %."""
    numbers = given_of(took((requests, 20.0)), took((5000, 90.0)))
    assert MEDIAN.passes(numbers) is passes


@pytest.mark.parametrize(
    ("slow", "passes"), [(0, True), (39, True), (40, True), (41, True), (42, False), (50, False)]
)
def test_a_quantile_passes_up_to_so_many_slow_requests(slow: int, passes: bool) -> None:
    numbers = given_of(took((100 - slow, 20.0), (slow, 900.0)), took((5000, 90.0), (50, 95.0)))
    exact = 1 - tail(slow + 1, 100, Fraction(1, 2))
    assert (exact <= Fraction(5, 100)) is passes
    assert MEDIAN.passes(numbers) is passes


@pytest.mark.parametrize(
    ("requests", "slow", "passes"),
    [
        (99, 0, False),
        (100, 0, True),
        (100, 1, True),
        (100, 2, False),
        (200, 2, True),
        (200, 3, False),
    ],
)
def test_a_quantile_that_few_reach_passes_by_what_was_seen(
    requests: int, slow: int, passes: bool
) -> None:
    check = LatencyCheck(CheckName.P99, 0.99, seen_is_enough=True)
    candidate = took((requests - slow, 20.0), (slow, 900.0))
    numbers = given_of(candidate, took((10_000, 90.0)))
    assert check.passes(numbers) is passes


def test_a_quantile_convicts_by_the_share_of_the_traffic() -> None:
    """The slow requests of both are compared, each bound of the histogram with its part of the risk."""
    current = took((950, 20.0), (50, 900.0))
    budget = Fraction(0.01 * 0.8 * 0.08) / len(BOUNDS_MS)
    check = LatencyCheck(CheckName.P95, 0.95)
    fewest = next(
        slow
        for slow in range(1, 200)
        if check.fails(
            given_of(took((1000 - slow, 20.0), (slow, 950.0)), current, latency_ratio=1.0)
        )
    )
    by_chance = tail(fewest, fewest + 50, Fraction(1, 2))
    before = tail(fewest - 1, fewest + 49, Fraction(1, 2))
    # About half of the budget goes to the first few requests; from there on each count has its part.
    assert by_chance <= budget
    assert before > budget / 10 / (fewest * (fewest - 1)) / 10


def test_what_was_not_timed_cannot_be_compared() -> None:
    timed, untimed = took((2000, 20.0)), Numbers(2000)
    for numbers in (given_of(timed, untimed), given_of(untimed, timed), given_of(untimed, untimed)):
        assert not MEDIAN.fails(numbers)
        assert not MEDIAN.passes(numbers)
    reason = MEDIAN.reason(given_of(took((1, 5.0)), untimed), INCONCLUSIVE)
    assert reason == Reason(
        CheckName.P50,
        INCONCLUSIVE,
        "p50 cannot be compared: 1 timed request on the candidate, none on the current release",
        5.0,
        0.0,
        Counts(1, 0, 0, 0),
    )


def test_a_limit_beyond_the_last_bound_is_told() -> None:
    slow = took((2000, 5000.0))
    numbers = given_of(took((300, 20.0)), slow)
    assert not MEDIAN.passes(numbers)
    assert MEDIAN.reason(numbers, INCONCLUSIVE) == Reason(
        CheckName.P50,
        INCONCLUSIVE,
        "p50 cannot be compared: 300 timed requests on the candidate, 2,000 on the current release; "
        "what is tolerated lies beyond the last bound of the histogram",
        55.0,
        inf,
        Counts(300, 0, 2000, 0),
    )


def test_the_reason_of_latency_tells_how_many_took_longer_than_which_bound() -> None:
    candidate, current = took((100, 90.0), (300, 900.0)), took((3990, 90.0), (10, 900.0))
    numbers = given_of(candidate, current)
    then_ms, now_ms = candidate.latency.quantile_ms(0.5), current.latency.quantile_ms(0.5)
    assert MEDIAN.reason(numbers, FAIL) == Reason(
        CheckName.P50,
        FAIL,
        "p50 was 467 ms on the candidate, 55 ms on the current release: 75.0 % of 400 requests took "
        "longer than 100 ms, against 0.2 % of 4,000",
        then_ms,
        now_ms,
        Counts(300, 400, 10, 4000),
    )


def test_what_is_slower_than_the_histogram_reaches_is_told_as_over_its_last_bound() -> None:
    candidate, current = took((100, 90.0), (300, 2000.0)), took((3990, 90.0), (10, 900.0))
    reason = MEDIAN.reason(given_of(candidate, current), FAIL)
    assert reason.sentence.startswith("p50 was over 1 s on the candidate, 55 ms on the current")
    assert reason.candidate == inf


def test_a_quantile_is_compared_at_the_bounds_beside_the_limit_and_nowhere_else() -> None:
    """What both do far below the limit is no evidence, however different it is."""
    candidate, current = took((2000, 80.0)), took((2000, 5.0))
    assert not MEDIAN.fails(given_of(candidate, current, latency_floor_ms=200.0))
    assert MEDIAN.fails(given_of(candidate, current, latency_floor_ms=20.0))


def test_the_times_of_a_release_that_fails_are_no_measure() -> None:
    """Its errors take 20 ms, what repairs it takes 90: neither a fault nor a reason to wait."""
    failing = replace(took((1000, 15.0)), requests=1000, errors=1000)
    mended = replace(took((1000, 150.0)), requests=1000)
    numbers = given_of(mended, failing)
    check = LatencyCheck(CheckName.P50, 0.5)
    assert (check.fails(numbers), check.passes(numbers)) == (False, True)
    assert check.reason(numbers, PASS).sentence == (
        f"{CheckName.P50} cannot be compared: 1,000 timed requests on the candidate, "
        "1,000 on the current release; most of its requests fail"
    )
    answering = replace(failing, errors=400)
    assert check.fails(given_of(mended, answering)), "a release that answers is a measure"
    few = replace(took((50, 15.0)), requests=50, errors=50)
    assert not check.passes(given_of(mended, few)), "too few requests to know"
