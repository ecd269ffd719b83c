"""Binomial tails and limits, against exact rational arithmetic."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, strategies as st

from gantry.features.rollouts.verdict.tails import at_least, at_most, lower_limit, upper_limit

SHARES = [Fraction(1, 1000), Fraction(1, 20), Fraction(1, 3), Fraction(1, 2), Fraction(19, 20)]


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
    high, low = upper_limit(count, of, risk), lower_limit(count, of, risk)
    assert low <= count / of <= high
    if count < of:
        assert at_most(count, of, high) <= risk
    if count > 0:
        assert at_least(count, of, low) <= risk * (1 + 1e-9)
