"""How often a candidate that is no worse is convicted, computed exactly."""

from fractions import Fraction

import pytest
from hypothesis import given, settings, strategies as st

from gantry.features.rollouts.verdict import risk
from gantry.features.rollouts.verdict.evidence import early_limits, is_beyond, is_worse

RISK = risk.of_step(0.01, 1) * risk.ERRORS


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
def test_looking_after_every_bad_request_keeps_the_risk(share: Fraction, alpha: float) -> None:
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
def test_beyond_means_more_than_tolerated(count: int, of: int, tolerated: float) -> None:
    if count <= of and is_beyond(count, of, tolerated):
        assert count / of > tolerated
        assert is_beyond(min(count + 1, of), of, tolerated)


def test_beyond_needs_more_where_there_is_more_to_see() -> None:
    assert is_beyond(2, 60, 0.011)
    assert not is_beyond(2, 200, 0.011)
    assert not is_beyond(40, 3000, 0.011)
    assert is_beyond(60, 3000, 0.011)


def test_the_parts_of_the_risk_sum_to_no_more_than_all_of_it() -> None:
    assert sum(risk.of_step(0.01, step) for step in range(1, 2000)) <= 0.01
    assert sum(risk.of_look(0.01, number) for number in range(1, 2000)) <= 0.01
    assert risk.ERRORS + risk.ERRORS_ALONE + risk.LATENCY + risk.WAITING <= 1.0
