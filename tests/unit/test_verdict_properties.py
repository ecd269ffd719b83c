"""What must hold of every verdict, whatever the numbers."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from benchmarks.verdict_traffic import SHARES, STEP_S, Scenario, Traffic
from hypothesis import given, settings, strategies as st

from gantry.features.rollouts.verdict import wording
from gantry.features.rollouts.verdict.decide import fails, judge
from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.features.rollouts.verdict.model import Check, Counts, Look, Numbers, Outcome
from gantry.features.rollouts.verdict.policy import Policy
from tests.support.verdict import numbers, seen

POLICY = Policy()
LOOKS = st.builds(Look, st.integers(1, 6), st.integers(1, 300), st.booleans())
POLICIES = st.builds(
    Policy,
    error_margin=st.floats(0.001, 0.2),
    latency_ratio=st.floats(1.0, 3.0),
    latency_floor_ms=st.floats(0.0, 100.0),
    alpha=st.floats(0.001, 0.2),
    confidence=st.floats(0.5, 0.99),
    new_error_groups_allowed=st.none() | st.integers(0, 1),
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


@given(numbers(), POLICIES, LOOKS)
@settings(max_examples=300)
def test_identical_numbers_never_fail(same: Numbers, policy: Policy, look: Look) -> None:
    assert judge(same, same, policy, look).outcome is not Outcome.FAIL


@given(numbers(), numbers(), st.integers(1, 200), LOOKS)
@settings(max_examples=300)
def test_more_errors_never_make_a_verdict_better(
    candidate: Numbers, current: Numbers, more: int, look: Look
) -> None:
    worse = replace(candidate, errors=min(candidate.requests, candidate.errors + more))
    before = judge(candidate, current, POLICY, look).outcome
    after = judge(worse, current, POLICY, look).outcome
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
    before = judge(candidate, current, POLICY).of(Check.ERRORS)
    after = judge(times(factor, candidate), times(factor, current), POLICY).of(Check.ERRORS)
    assert before is not None and after is not None
    # Close to what is tolerated, more evidence may well show that it is tolerable.
    tolerated = now / current_requests + POLICY.error_margin
    if before.outcome is Outcome.FAIL and errors / requests >= 2 * tolerated:
        assert after.outcome is Outcome.FAIL
    if before.outcome is Outcome.PASS:
        assert after.outcome is Outcome.PASS


@given(numbers(), LOOKS)
def test_no_traffic_is_inconclusive(current: Numbers, look: Look) -> None:
    assert judge(Numbers(), current, POLICY, look).outcome is Outcome.INCONCLUSIVE


@given(st.integers(0, 99), numbers(), LOOKS)
def test_low_traffic_never_passes(requests: int, current: Numbers, look: Look) -> None:
    assert judge(seen(requests), current, POLICY, look).outcome is not Outcome.PASS


@given(numbers(), numbers(), POLICIES, LOOKS)
@settings(max_examples=300)
def test_sentences_contain_the_numbers(
    candidate: Numbers, current: Numbers, policy: Policy, look: Look
) -> None:
    verdict = judge(candidate, current, policy, look)
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


@given(numbers(), numbers(), POLICIES, LOOKS)
@settings(max_examples=300)
def test_fails_is_what_judge_says(
    candidate: Numbers, current: Numbers, policy: Policy, look: Look
) -> None:
    said = judge(candidate, current, policy, look).outcome is Outcome.FAIL
    assert fails(candidate, current, policy, look) is said


@given(numbers(), numbers(), POLICIES, LOOKS)
def test_reasons_come_in_their_order_and_explain_the_outcome(
    candidate: Numbers, current: Numbers, policy: Policy, look: Look
) -> None:
    verdict = judge(candidate, current, policy, look)
    order = list(Check)
    places = [order.index(reason.check) for reason in verdict.reasons]
    assert places == sorted(set(places))
    outcomes = {reason.outcome for reason in verdict.reasons}
    assert (Outcome.FAIL in outcomes) is (verdict.outcome is Outcome.FAIL)
    if verdict.outcome is Outcome.PASS:
        assert outcomes == {Outcome.PASS} and look.at_end


def test_rollouts_of_a_release_that_is_no_worse_are_not_failed() -> None:
    assert _failed_within(Scenario("2 % errors", 200.0, 0.02, 0.02), rollouts=60) <= 2


def test_rollouts_of_a_bad_release_fail_in_the_first_step() -> None:
    assert _failed_within(Scenario("5 % errors", candidate_errors=0.05), 60, steps=1) == 60
    slow = Scenario("twice as slow", slowness=lambda _random, _second: 2.0)
    assert _failed_within(slow, 60, steps=1) == 60


def _failed_within(scenario: Scenario, rollouts: int, steps: int = len(SHARES)) -> int:
    traffic = Traffic(scenario, Random(7))
    return sum(_fails(traffic, steps) for _ in range(rollouts))


def _fails(traffic: Traffic, steps: int) -> bool:
    return any(
        fails(candidate, current, POLICY, Look(step + 1, number, at_end=number == STEP_S))
        for step in range(steps)
        for number, (candidate, current) in enumerate(traffic.step(step), start=1)
    )
