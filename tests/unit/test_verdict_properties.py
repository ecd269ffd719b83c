"""What must hold of every verdict, whatever the numbers."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from benchmarks.verdict_traffic import SHARES, STAGE_S, Scenario, Traffic
from hypothesis import given, settings, strategies as st

from gantry.features.rollouts.verdict import wording
from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.features.rollouts.verdict.judge import fails, judge
from gantry.features.rollouts.verdict.model import (
    Analysis,
    CheckName,
    Counts,
    Numbers,
    Outcome,
    Policy,
)
from tests.support.verdict import POLICY, numbers, seen

ANALYSES = st.builds(Analysis, st.integers(1, 6), st.integers(1, 300), st.booleans())
POLICIES = st.builds(
    Policy,
    error_margin=st.floats(0.001, 0.2),
    latency_ratio=st.floats(1.0, 3.0),
    latency_floor_ms=st.floats(0.0, 100.0),
    restarts=st.integers(0, 1),
    alpha=st.floats(0.001, 0.2),
    confidence=st.floats(0.5, 0.99),
)


def times(factor: int, one: Numbers) -> Numbers:
    latency = one.latency
    counts = tuple(factor * count for count in latency.counts)
    return replace(
        one,
        requests=factor * one.requests,
        errors=factor * one.errors,
        latency=Histogram(latency.bounds_ms, counts, factor * latency.total),
        waiting=factor * one.waiting,
    )


@given(numbers(), POLICIES, ANALYSES)
@settings(max_examples=300)
def test_identical_numbers_never_fail(same: Numbers, policy: Policy, analysis: Analysis) -> None:
    assert judge(same, same, policy, analysis).outcome is not Outcome.FAIL


@given(numbers(), numbers(), st.integers(1, 200), ANALYSES)
@settings(max_examples=300)
def test_more_errors_never_make_a_verdict_better(
    candidate: Numbers, current: Numbers, more: int, analysis: Analysis
) -> None:
    worse = replace(candidate, errors=min(candidate.requests, candidate.errors + more))
    before = judge(candidate, current, POLICY, analysis).outcome
    after = judge(worse, current, POLICY, analysis).outcome
    if before is Outcome.FAIL:
        assert after is Outcome.FAIL
    if after is Outcome.PASS:
        assert before is Outcome.PASS


@given(st.integers(1, 400), st.integers(1, 8000), st.data(), st.sampled_from([5, 20, 100]))
@settings(max_examples=300)
def test_more_of_the_same_evidence_keeps_or_sharpens(
    requests: int, current_requests: int, data: st.DataObject, factor: int
) -> None:
    errors = data.draw(st.integers(0, requests))
    now = data.draw(st.integers(0, current_requests // 10))
    candidate, current = Numbers(requests, errors), Numbers(current_requests, now)
    before = judge(candidate, current, POLICY).reason(CheckName.ERRORS)
    after = judge(times(factor, candidate), times(factor, current), POLICY).reason(CheckName.ERRORS)
    assert before is not None and after is not None
    # Close to what is tolerated, more evidence may well show that it is tolerable.
    tolerated = now / current_requests + POLICY.error_margin
    if before.outcome is Outcome.FAIL and errors / requests >= 2 * tolerated:
        assert after.outcome is Outcome.FAIL
    if before.outcome is Outcome.PASS:
        assert after.outcome is Outcome.PASS


@given(numbers(), ANALYSES)
def test_no_traffic_is_inconclusive(current: Numbers, analysis: Analysis) -> None:
    assert judge(Numbers(), current, POLICY, analysis).outcome is Outcome.INCONCLUSIVE


@given(st.integers(0, 99), numbers(), ANALYSES)
def test_low_traffic_never_passes(requests: int, current: Numbers, analysis: Analysis) -> None:
    assert judge(seen(requests), current, POLICY, analysis).outcome is not Outcome.PASS


@given(numbers(), numbers(), POLICIES, ANALYSES)
@settings(max_examples=300)
def test_sentences_contain_the_numbers(
    candidate: Numbers, current: Numbers, policy: Policy, analysis: Analysis
) -> None:
    verdict = judge(candidate, current, policy, analysis)
    for reason in verdict.reasons:
        assert all(shown in reason.sentence for shown in _shown(reason.numbers))
    assert verdict.summary.endswith(".")
    assert any(reason.sentence[1:] in verdict.summary for reason in verdict.reasons)


def _shown(counts: Counts) -> Sequence[str]:
    if counts.candidate_of or counts.current_of:
        return (
            wording.part_of_requests(counts.candidate, counts.candidate_of),
            wording.part_of(counts.current, counts.current_of),
        )
    return [f"{count:,}" for count in (counts.candidate, counts.current) if count]


@given(numbers(), numbers(), POLICIES, ANALYSES)
@settings(max_examples=300)
def test_fails_is_what_judge_says(
    candidate: Numbers, current: Numbers, policy: Policy, analysis: Analysis
) -> None:
    said = judge(candidate, current, policy, analysis).outcome is Outcome.FAIL
    assert fails(candidate, current, policy, analysis) is said


@given(numbers(), numbers(), POLICIES, ANALYSES)
def test_reasons_come_in_their_order_and_explain_the_outcome(
    candidate: Numbers, current: Numbers, policy: Policy, analysis: Analysis
) -> None:
    verdict = judge(candidate, current, policy, analysis)
    order = list(CheckName)
    places = [order.index(reason.check) for reason in verdict.reasons]
    assert places == sorted(set(places))
    outcomes = {reason.outcome for reason in verdict.reasons}
    assert (Outcome.FAIL in outcomes) is (verdict.outcome is Outcome.FAIL)
    if verdict.outcome is Outcome.PASS:
        assert outcomes == {Outcome.PASS} and analysis.at_end


def test_rollouts_of_a_release_that_is_no_worse_are_not_failed() -> None:
    assert _failed_within(Scenario("2 % errors", 200.0, 0.02, 0.02), rollouts=60) <= 2


def test_rollouts_of_a_bad_release_fail_in_the_first_stage() -> None:
    assert _failed_within(Scenario("5 % errors", candidate_errors=0.05), 60, stages=1) == 60
    slow = Scenario("twice as slow", slowness=lambda _random, _second: 2.0)
    assert _failed_within(slow, 60, stages=1) == 60


def _failed_within(scenario: Scenario, rollouts: int, stages: int = len(SHARES)) -> int:
    traffic = Traffic(scenario, Random(7))
    return sum(_fails(traffic, stages) for _ in range(rollouts))


def _fails(traffic: Traffic, stages: int) -> bool:
    return any(
        fails(candidate, current, POLICY, Analysis(stage + 1, number, at_end=number == STAGE_S))
        for stage in range(stages)
        for number, (candidate, current) in enumerate(traffic.stage(stage), start=1)
    )
