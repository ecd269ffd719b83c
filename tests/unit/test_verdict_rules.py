"""What `judge` says, as tables."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from gantry.features.rollouts.verdict.checks import ErrorsCheck
from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.features.rollouts.verdict.judge import combined, judge
from gantry.features.rollouts.verdict.model import (
    Analysis,
    CheckInput,
    CheckName,
    Numbers,
    Outcome,
    Policy,
)
from gantry.features.rollouts.verdict.statistics import at_least, at_most
from tests.support.verdict import BOUNDS_MS, POLICY, seen, spread, timed

PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
GOOD, CURRENT = seen(600, 1), seen(11_400, 11)


@pytest.mark.parametrize(
    ("candidate", "current", "outcome"),
    [
        ((0, 0), (0, 0), INCONCLUSIVE),
        ((0, 0), (2000, 2), INCONCLUSIVE),
        ((1, 0), (19, 0), INCONCLUSIVE),
        ((1, 1), (19, 0), INCONCLUSIVE),  # one bad request is an anecdote
        ((1, 1), (1, 1), INCONCLUSIVE),
        ((2, 2), (38, 0), FAIL),
        ((5, 0), (95, 0), INCONCLUSIVE),
        ((5, 5), (95, 0), FAIL),
        ((5, 5), (95, 95), INCONCLUSIVE),  # everything fails: not the candidate's doing
        ((5, 5), (5, 0), INCONCLUSIVE),  # heads five times
        ((12, 12), (12, 0), FAIL),
        ((40, 2), (760, 0), FAIL),
        ((40, 2), (760, 1), INCONCLUSIVE),
        ((412, 21), (7912, 8), FAIL),
        ((600, 0), (11_400, 0), PASS),
        ((600, 1), (11_400, 11), PASS),
        ((600, 6), (11_400, 11), INCONCLUSIVE),
        ((90, 0), (11_400, 0), INCONCLUSIVE),
        ((3000, 30), (9000, 90), PASS),
        ((3000, 55), (9000, 90), INCONCLUSIVE),
        ((3000, 90), (9000, 90), FAIL),
    ],
)
def test_errors(candidate: tuple[int, int], current: tuple[int, int], outcome: Outcome) -> None:
    assert judge(seen(*candidate), seen(*current), POLICY).outcome is outcome


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"smoke_failures": 1}, CheckName.SMOKE),
        ({"out_of_memory_kills": 1}, CheckName.OUT_OF_MEMORY),
        ({"restarts": 1}, CheckName.RESTARTS),
    ],
)
def test_what_should_not_happen_fails_unless_both_suffer(
    change: dict[str, Any], check: CheckName
) -> None:
    bad = replace(GOOD, **change)
    verdict = judge(bad, CURRENT, POLICY)
    reason = verdict.reason(check)
    assert verdict.outcome is FAIL
    assert reason is not None and reason.outcome is FAIL
    assert verdict.summary.startswith("1 ")
    both = judge(bad, replace(CURRENT, **change), POLICY)
    assert both.outcome is INCONCLUSIVE


def test_restarts_may_be_allowed() -> None:
    policy = replace(POLICY, restarts=2)
    assert judge(replace(GOOD, restarts=2), CURRENT, policy).outcome is PASS
    assert judge(replace(GOOD, restarts=3), CURRENT, policy).outcome is FAIL


@pytest.mark.parametrize(
    ("factor", "outcome"), [(0.5, PASS), (1.0, PASS), (1.1, PASS), (2.0, FAIL), (30.0, FAIL)]
)
def test_latency(factor: float, outcome: Outcome) -> None:
    assert judge(seen(600, 0, factor), CURRENT, POLICY).outcome is outcome


def test_a_doubled_p95_fails_by_itself() -> None:
    fast, slow = [30.0] * 900, [120.0] * 100
    current = Numbers(10_000, 0, timed(10 * (fast + slow)))
    candidate = Numbers(1000, 0, timed(fast + [2 * latency_ms for latency_ms in slow]))
    verdict = judge(candidate, current, POLICY)
    failed = [reason.check for reason in verdict.reasons if reason.outcome is FAIL]
    assert failed == [CheckName.P95, CheckName.P99]


def test_a_slow_tail_fails_by_p99_alone() -> None:
    current = Numbers(10_000, 0, timed([30.0] * 10_000))
    candidate = Numbers(1000, 0, timed([30.0] * 970 + [900.0] * 30))
    verdict = judge(candidate, current, POLICY)
    failed = [reason.check for reason in verdict.reasons if reason.outcome is FAIL]
    assert failed == [CheckName.P99]


def test_a_few_milliseconds_more_are_within_the_floor() -> None:
    current = Numbers(10_000, 0, timed([4.0] * 10_000))
    candidate = Numbers(1000, 0, timed([9.0] * 1000))
    assert judge(candidate, current, POLICY).outcome is PASS
    assert judge(candidate, current, replace(POLICY, latency_floor_ms=1.0)).outcome is FAIL


def test_latency_beyond_what_is_measured_cannot_be_compared() -> None:
    both = Numbers(1000, 0, Histogram(BOUNDS_MS, (0,) * len(BOUNDS_MS), 1000))
    reason = judge(both, both, POLICY).reason(CheckName.P95)
    assert reason is not None and reason.outcome is INCONCLUSIVE
    assert "last bound" in reason.sentence


def test_a_candidate_that_never_answers_fails_at_the_second_analysis() -> None:
    silent, current = Numbers(waiting=20), replace(seen(380), waiting=4)
    first, second = Analysis(number=1, at_end=False), Analysis(number=2, at_end=False)
    assert judge(silent, current, POLICY, first).outcome is INCONCLUSIVE
    verdict = judge(silent, current, POLICY, second)
    assert verdict.outcome is FAIL
    assert verdict.summary == (
        "20 of 20 requests had no answer yet on the candidate, 1.0 % of 384 on the current release."
    )


def test_streams_that_both_hold_open_do_not_fail() -> None:
    candidate, current = replace(seen(60), waiting=30), replace(seen(1100), waiting=900)
    assert (
        judge(candidate, current, POLICY, Analysis(number=9)).reason(CheckName.WAITING) is not None
    )
    assert judge(candidate, current, POLICY, Analysis(number=9)).outcome is not FAIL


def test_without_a_current_release_only_the_ceiling_condemns() -> None:
    nobody = Numbers()
    assert judge(seen(200, 40), nobody, POLICY).outcome is INCONCLUSIVE
    assert judge(seen(200, 200), nobody, POLICY).outcome is FAIL
    assert judge(seen(200, 0), nobody, POLICY).outcome is INCONCLUSIVE


def test_a_pass_comes_at_the_end_of_a_stage_only() -> None:
    early = judge(GOOD, CURRENT, POLICY, Analysis(number=50, at_end=False))
    assert early.outcome is INCONCLUSIVE
    assert early.summary.startswith("Nothing shown yet: ")
    assert judge(GOOD, CURRENT, POLICY, Analysis(number=60)).outcome is PASS


def test_later_stages_ask_for_more() -> None:
    candidate, current = seen(40, 2), seen(760, 0)
    assert judge(candidate, current, POLICY, Analysis(stage=1)).outcome is FAIL
    assert judge(candidate, current, POLICY, Analysis(stage=2)).outcome is INCONCLUSIVE


@pytest.mark.parametrize(
    ("candidate", "current", "summary"),
    [
        (
            seen(412, 21),
            seen(7912, 8),
            "5.1 % of 412 requests failed on the candidate, 0.1 % of 7,912 on the current release.",
        ),
        (
            seen(34, 0),
            seen(640, 1),
            (
                "Not enough to tell: 34 requests to the candidate, 640 to the current release; "
                "a pass needs 100 to each."
            ),
        ),
        (
            GOOD,
            CURRENT,
            (
                "No worse than the current release: 0.2 % of 600 requests failed on the candidate, "
                "0.1 % of 11,400 on the current release."
            ),
        ),
        (
            replace(GOOD, latency=spread(600, 2.0)),
            CURRENT,
            (
                "P50 was 72 ms on the candidate, 40 ms on the current release: 68.8 % of 600 requests "
                "took longer than 50 ms, against 36.9 % of 11,400, and 2 more checks."
            ),
        ),
        (
            replace(GOOD, restarts=3),
            CURRENT,
            "3 restarts on the candidate, none on the current release.",
        ),
    ],
)
def test_summaries(candidate: Numbers, current: Numbers, summary: str) -> None:
    assert judge(candidate, current, POLICY).summary == summary


def test_the_order_of_checks_does_not_matter() -> None:
    for outcomes in ([PASS, FAIL, INCONCLUSIVE], [PASS, PASS, INCONCLUSIVE], [PASS, PASS, PASS]):
        said = {combined(order, at_end=True) for order in permutations(outcomes)}
        assert said == {min(outcomes, key=[FAIL, INCONCLUSIVE, PASS].index)}


@pytest.mark.parametrize(
    ("requests", "current_requests", "now", "margin"),
    [
        (100, 100, 0.2, 0.05),
        (100, 1900, 0.0, 0.05),
        (400, 400, 0.01, 0.05),
        (600, 2000, 0.001, 0.01),
        (600, 300, 0.005, 0.02),
    ],
)
def test_a_candidate_at_the_margin_passes_no_oftener_than_is_said(
    requests: int, current_requests: int, now: float, margin: float
) -> None:
    """Summed over everything that can be seen of a candidate that is worse by just the margin."""
    policy, wrongly = replace(POLICY, error_margin=margin), 0.0
    for errors in range(current_requests + 1):
        chance = at_least(errors, current_requests, now) - at_least(
            errors + 1, current_requests, now
        )
        if chance > 1e-6:
            most = _most_errors_that_pass(requests, Numbers(current_requests, errors), policy)
            wrongly += chance * at_most(most, requests, now + margin)
    assert wrongly <= 1.0 - policy.confidence


def _most_errors_that_pass(requests: int, current: Numbers, policy: Policy) -> int:
    errors = -1
    while ErrorsCheck().passes(
        CheckInput(Numbers(requests, errors + 1), current, policy, Analysis())
    ):
        errors += 1
    return errors
