"""Visitors and Gantry's own requests are judged apart."""

import pytest

from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.features.rollouts.verdict.judge import judge, judge_both
from gantry.features.rollouts.verdict.model import Analysis, CheckName, Numbers, Outcome, Pair
from tests.support.verdict import POLICY

_BOUNDS_MS = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
_NOBODY = Pair()


def answered(requests: int, took_ms: float, errors: int = 0) -> Numbers:
    return Numbers(requests, errors, Histogram.of([took_ms] * requests, _BOUNDS_MS))


def test_without_own_requests_it_is_the_verdict_on_visitors() -> None:
    visitors = Pair(answered(500, 20), answered(9_500, 20))
    assert judge_both(visitors, _NOBODY, POLICY, Analysis()) == judge(
        visitors.candidate, visitors.current, POLICY, Analysis()
    )


def test_a_slow_smoke_path_is_held_against_nobody() -> None:
    """Few visitors ask fast pages; the path that Gantry asks is slow on both. Added up, the candidate would look slow."""
    visitors = Pair(answered(40, 8), answered(760, 8))
    own = Pair(answered(300, 280), answered(300, 280))
    verdict = judge_both(visitors, own, POLICY, Analysis())
    assert verdict.outcome is Outcome.PASS
    assert verdict.summary.startswith(
        "Too few visitors to tell; by Gantry's own requests: No worse"
    )
    summed = judge(
        visitors.candidate + own.candidate, visitors.current + own.current, POLICY, Analysis()
    )
    assert summed.outcome is Outcome.FAIL, "what adding them up would have said"


@pytest.mark.parametrize("at_end", [False, True])
def test_a_candidate_that_answers_gantry_with_errors_is_taken_back(at_end: bool) -> None:
    own = Pair(answered(24, 8, errors=24), answered(24, 8))
    verdict = judge_both(_NOBODY, own, POLICY, Analysis(1, 6, at_end=at_end))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.summary.startswith("By Gantry's own requests: 24 of 24 requests failed")
    assert verdict.reasons[-1].check is CheckName.OWN
    assert verdict.reasons[-1].outcome is Outcome.FAIL


def test_own_requests_do_not_acquit_where_visitors_tell() -> None:
    near_the_margin = Pair(answered(2_000, 8, errors=22), answered(38_000, 8, errors=38))
    own = Pair(answered(400, 8), answered(400, 8))
    verdict = judge_both(near_the_margin, own, POLICY, Analysis())
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reasons[-1].outcome is Outcome.PASS


def test_what_visitors_suffer_is_said_first() -> None:
    visitors = Pair(answered(400, 8, errors=40), answered(7_600, 8))
    own = Pair(answered(100, 8, errors=100), answered(100, 8))
    verdict = judge_both(visitors, own, POLICY, Analysis())
    assert verdict.outcome is Outcome.FAIL
    assert verdict.summary.startswith("10.0 % of 400 requests failed on the candidate")


def test_no_pass_before_the_end() -> None:
    own = Pair(answered(400, 8), answered(400, 8))
    verdict = judge_both(_NOBODY, own, POLICY, Analysis(at_end=False))
    assert verdict.outcome is Outcome.INCONCLUSIVE
