"""The verdict on a candidate, from the numbers of visitors' requests and of Gantry's own. Pure.

The two are never added up: Gantry asks both releases for the same paths and as often, visitors ask the candidate for a
share only, and a sum of such mixtures differs where the releases do not (Simpson's paradox). So each is judged by itself.
Own requests can fail a candidate, with a risk `alpha` of their own; they can pass it only where visitors ask too little.
"""

from collections.abc import Iterable
from dataclasses import replace

from gantry.features.rollouts.verdict import wording
from gantry.features.rollouts.verdict.checks import (
    ErrorsCheck,
    EventsCheck,
    LatencyCheck,
    TrafficCheck,
    WaitingCheck,
)
from gantry.features.rollouts.verdict.model import (
    Analysis,
    Check,
    CheckInput,
    CheckName,
    Counts,
    Numbers,
    Outcome,
    Pair,
    Policy,
    Reason,
    Verdict,
)
from gantry.kernel.units import counted

_ONLY_ANALYSIS = Analysis()
# In the order of `CheckName`, in which reasons are told.
_CHECKS: tuple[Check, ...] = (
    EventsCheck(
        CheckName.SMOKE,
        lambda numbers: numbers.smoke_failures,
        lambda policy: 0,
        "failed smoke check",
        "failed smoke checks",
    ),
    EventsCheck(
        CheckName.OUT_OF_MEMORY,
        lambda numbers: numbers.out_of_memory_kills,
        lambda policy: 0,
        "out-of-memory kill",
        "out-of-memory kills",
    ),
    EventsCheck(
        CheckName.RESTARTS,
        lambda numbers: numbers.restarts,
        lambda policy: policy.restarts,
        "restart",
        "restarts",
    ),
    ErrorsCheck(),
    WaitingCheck(),
    LatencyCheck(CheckName.P50, 0.50),
    LatencyCheck(CheckName.P95, 0.95),
    LatencyCheck(CheckName.P99, 0.99, seen_is_enough=True),
    TrafficCheck(),
)


def judge_both(visitors: Pair, own: Pair, policy: Policy, analysis: Analysis) -> Verdict:
    """The verdict on a candidate from the requests of visitors, and from those that Gantry made itself."""
    verdict = judge(visitors.candidate, visitors.current, policy, analysis)
    if not own.candidate.requests and not own.current.requests:
        return verdict
    ours = judge(own.candidate, own.current, policy, analysis)
    both = replace(verdict, reasons=(*verdict.reasons, _own_reason(ours, own)))
    if ours.outcome is Outcome.FAIL and verdict.outcome is not Outcome.FAIL:
        return replace(
            both, outcome=Outcome.FAIL, summary=f"By Gantry's own requests: {ours.summary}"
        )
    if ours.outcome is Outcome.PASS and _lacks_traffic(verdict):
        return replace(
            both,
            outcome=Outcome.PASS,
            summary=f"Too few visitors to tell; by Gantry's own requests: {ours.summary}",
        )
    return both


def judge(
    candidate: Numbers, current: Numbers, policy: Policy, analysis: Analysis = _ONLY_ANALYSIS
) -> Verdict:
    """The verdict on `candidate`, from its numbers and those of `current` since the stage began.

    Fail may be acted on at once, at any analysis: however often a stage is analysed, a candidate that is no worse fails
    in a whole rollout with a probability of `policy.alpha` at most. Pass is said at the end of a stage only, and only
    when the numbers rule out that the candidate is worse than the policy tolerates. Everything else is inconclusive.

    Parameters:
        candidate: numbers of the candidate.
        current: numbers of the current release, over the same minutes. Without traffic of it, as in a stage of 100 %,
            only what needs no comparison can fail.
        analysis: which analysis of the rollout this is.

    Raises:
        IntegrityError: the two latency histograms have different bounds.
    """
    given = CheckInput(candidate, current, policy, analysis)
    reasons = tuple(check.reason(given, _outcome(check, given)) for check in _CHECKS)
    outcome = combined((reason.outcome for reason in reasons), at_end=analysis.at_end)
    return Verdict(outcome, reasons, _summary(outcome, reasons, analysis))


def fails(
    candidate: Numbers, current: Numbers, policy: Policy, analysis: Analysis = _ONLY_ANALYSIS
) -> bool:
    """Whether `judge` says fail, without saying why: for simulations, where nobody reads the reasons."""
    given = CheckInput(candidate, current, policy, analysis)
    return any(check.fails(given) for check in _CHECKS)


def combined(outcomes: Iterable[Outcome], *, at_end: bool) -> Outcome:
    """One fail fails; a pass needs the end of the stage and every check. The order does not matter."""
    found = set(outcomes)
    if Outcome.FAIL in found:
        return Outcome.FAIL
    return Outcome.PASS if at_end and found == {Outcome.PASS} else Outcome.INCONCLUSIVE


def _outcome(check: Check, given: CheckInput) -> Outcome:
    if check.fails(given):
        return Outcome.FAIL
    return Outcome.PASS if check.passes(given) else Outcome.INCONCLUSIVE


def _summary(outcome: Outcome, reasons: tuple[Reason, ...], analysis: Analysis) -> str:
    errors = next(reason for reason in reasons if reason.check is CheckName.ERRORS)
    if outcome is Outcome.PASS:
        return f"No worse than the current release: {errors.sentence}."
    if outcome is Outcome.INCONCLUSIVE and not analysis.at_end:
        return f"Nothing shown yet: {errors.sentence}."
    telling = [reason for reason in reasons if reason.outcome is outcome]
    if outcome is Outcome.INCONCLUSIVE and telling[-1].check is CheckName.TRAFFIC:
        # It explains the other checks that could not tell.
        return f"Not enough to tell: {telling[-1].sentence}."
    more = len(telling) - 1
    also = f", and {counted(more, 'more check')}" if more else ""
    if outcome is Outcome.FAIL:
        return f"{telling[0].sentence[0].upper()}{telling[0].sentence[1:]}{also}."
    return f"Not enough to tell: {telling[0].sentence}{also}."


def _lacks_traffic(verdict: Verdict) -> bool:
    traffic = verdict.reason(CheckName.TRAFFIC)
    few = traffic is not None and traffic.outcome is Outcome.INCONCLUSIVE
    return few and verdict.outcome is Outcome.INCONCLUSIVE


def _own_reason(ours: Verdict, own: Pair) -> Reason:
    candidate, current = own.candidate, own.current
    failed = wording.part_of_requests(candidate.errors, candidate.requests)
    beside = wording.part_of(current.errors, current.requests)
    return Reason(
        check=CheckName.OWN,
        outcome=ours.outcome,
        sentence=f"of Gantry's own, {failed} failed on the candidate, {beside} on the current release",
        candidate=candidate.errors / max(1, candidate.requests),
        current=current.errors / max(1, current.requests),
        numbers=Counts(candidate.errors, candidate.requests, current.errors, current.requests),
    )
