"""How often a candidate that is no worse is convicted, computed exactly; binomial tails, against rational arithmetic."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings, strategies as st

from gantry.features.rollouts.verdict.statistics import (
    RISK_PART_ERRORS,
    RISK_PART_ERRORS_ALONE,
    RISK_PART_LATENCY,
    RISK_PART_WAITING,
    analysis_risk,
    at_least,
    at_most,
    early_limits,
    exceeds_tolerance,
    is_worse,
    stage_risk,
    upper_limit,
)

RISK = stage_risk(0.01, 1) * RISK_PART_ERRORS
SHARES = [Fraction(1, 1000), Fraction(1, 20), Fraction(1, 3), Fraction(1, 2), Fraction(19, 20)]


def wrongly_convicted(
    share: Fraction, convicted: dict[tuple[int, int], bool], longest: int
) -> Fraction:
    """P(convicted at any of the first `longest` bad requests), each the candidate's with `share`."""
    alive, caught = {0: Fraction(1)}, Fraction(0)
    for total in range(1, longest + 1):
        following: dict[int, Fraction] = {}
        for count, chance in alive.items():
            for now, part in ((count, 1 - share), (count + 1, share)):
                if convicted[now, total]:
                    caught += chance * part
                else:
                    following[now] = following.get(now, Fraction(0)) + chance * part
        alive = following
    return caught


@pytest.mark.parametrize(
    "share", [Fraction(1, 50), Fraction(1, 20), Fraction(1, 4), Fraction(1, 2)]
)
@pytest.mark.parametrize("alpha", [RISK, 0.05])
def test_an_analysis_after_every_bad_request_keeps_the_risk(share: Fraction, alpha: float) -> None:
    longest = 60
    convicted = {
        (count, total): is_worse(count, total, float(share), alpha)
        for total in range(longest + 1)
        for count in range(total + 1)
    }
    assert 0 < wrongly_convicted(share, convicted, longest) <= alpha


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5])
def test_limits_spend_what_they_say(share: float) -> None:
    """The early limits alone, against the sum over all orders in which bad requests can come."""
    limits, part = early_limits(share, 0.02), Fraction(share)
    convicted = {
        (count, total): count > 0 and total - count <= limits[min(count, len(limits) - 1)]
        for total in range(80)
        for count in range(total + 1)
    }
    assert wrongly_convicted(part, convicted, 79) <= Fraction(0.02)


@pytest.mark.parametrize(
    ("count", "total", "share", "convicted"),
    [
        (0, 0, 0.05, False),
        (1, 1, 0.001, False),  # one bad request is an anecdote
        (2, 2, 0.05, True),  # 1 in 400
        (2, 3, 0.05, False),
        (3, 6, 0.05, True),
        (3, 9, 0.05, False),
        (3, 3, 0.25, False),  # 1 in 64
        (4, 4, 0.25, True),  # 1 in 256
        (10, 10, 0.5, True),
        (5, 10, 0.5, False),
        (2, 2, 1.0, False),  # nothing to compare with
        (300, 4000, 0.05, True),
        (230, 4000, 0.05, False),
    ],
)
def test_small_numbers(count: int, total: int, share: float, convicted: bool) -> None:
    assert is_worse(count, total, share, RISK) is convicted


@given(st.integers(0, 200), st.integers(0, 400), st.floats(0.001, 0.9))
@settings(max_examples=300)
def test_one_more_bad_request_never_acquits(count: int, others: int, share: float) -> None:
    if is_worse(count, count + others, share, RISK):
        assert is_worse(count + 1, count + 1 + others, share, RISK)


@given(st.integers(2, 200), st.integers(1, 400), st.floats(0.001, 0.9))
@settings(max_examples=300)
def test_one_more_of_the_current_release_never_convicts(
    count: int, others: int, share: float
) -> None:
    if is_worse(count, count + others, share, RISK):
        assert is_worse(count, count + others - 1, share, RISK)


@given(st.integers(1, 300), st.integers(1, 3000), st.floats(0.001, 0.5))
@settings(max_examples=300)
def test_exceeding_means_more_than_tolerated(count: int, of: int, tolerated: float) -> None:
    if count <= of and exceeds_tolerance(count, of, tolerated):
        assert count / of > tolerated
        assert exceeds_tolerance(min(count + 1, of), of, tolerated)


def test_exceeding_needs_more_where_there_is_more_to_see() -> None:
    assert exceeds_tolerance(2, 60, 0.011)
    assert not exceeds_tolerance(2, 200, 0.011)
    assert not exceeds_tolerance(40, 3000, 0.011)
    assert exceeds_tolerance(60, 3000, 0.011)


def test_the_parts_of_the_risk_sum_to_no_more_than_all_of_it() -> None:
    assert sum(stage_risk(0.01, stage) for stage in range(1, 2000)) <= 0.01
    assert sum(analysis_risk(0.01, number) for number in range(1, 2000)) <= 0.01
    parts = RISK_PART_ERRORS + RISK_PART_ERRORS_ALONE + RISK_PART_LATENCY + RISK_PART_WAITING
    assert parts <= 1.0


def exactly(counts: range, of: int, share: Fraction) -> Fraction:
    return sum(
        (comb(of, k) * share**k * (1 - share) ** (of - k) for k in counts), start=Fraction(0)
    )


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("of", [1, 2, 3, 7, 20, 60])
def test_tails_agree_with_fractions(of: int, share: Fraction) -> None:
    for count in range(of + 1):
        high = float(exactly(range(count, of + 1), of, share))
        low = float(exactly(range(count + 1), of, share))
        assert at_least(count, of, float(share)) == pytest.approx(high, rel=1e-10)
        assert at_most(count, of, float(share)) == pytest.approx(low, rel=1e-10)


def test_tails_at_the_ends() -> None:
    assert at_least(0, 0, 0.3) == 1.0
    assert at_least(1, 0, 0.3) == 0.0
    assert at_least(3, 5, 0.0) == 0.0
    assert at_least(3, 5, 1.0) == 1.0
    assert at_most(5, 5, 0.9) == 1.0
    assert at_most(-1, 5, 0.9) == 0.0


def test_tails_of_millions_agree_with_their_mirror() -> None:
    for count in (499_000, 500_000, 501_000, 502_500):
        together = at_least(count, 1_000_000, 0.5) + at_most(count - 1, 1_000_000, 0.5)
        assert together == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize(
    ("count", "of", "risk", "limit"),
    [
        (0, 1, 0.05, 0.95),
        (0, 300, 0.05, 1 - 0.05 ** (1 / 300)),
        (1, 1, 0.05, 1.0),
        (5, 5, 0.05, 1.0),
        (0, 0, 0.05, 1.0),
    ],
)
def test_upper_limits_that_have_a_formula(count: int, of: int, risk: float, limit: float) -> None:
    assert upper_limit(count, of, risk) == pytest.approx(limit, abs=2e-7)


@given(st.integers(1, 400), st.data(), st.sampled_from([0.001, 0.025, 0.05, 0.2]))
def test_limits_enclose_what_was_seen_and_never_understate(
    of: int, data: st.DataObject, risk: float
) -> None:
    count = data.draw(st.integers(0, of))
    high, low = upper_limit(count, of, risk), 1.0 - upper_limit(of - count, of, risk)
    assert low <= count / of <= high
    if count < of:
        assert at_most(count, of, high) <= risk
    if count > 0:
        assert at_least(count, of, low) <= risk * (1 + 1e-9)
