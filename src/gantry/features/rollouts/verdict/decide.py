"""The verdict on a candidate: `judge`."""

from collections.abc import Iterable

from gantry.features.rollouts.verdict.case import Case, Checking
from gantry.features.rollouts.verdict.events import Events, Traffic
from gantry.features.rollouts.verdict.latency import Latency
from gantry.features.rollouts.verdict.model import Check, Look, Numbers, Outcome, Reason, Verdict
from gantry.features.rollouts.verdict.policy import Policy
from gantry.features.rollouts.verdict.shares import Errors, Waiting

_FIRST_LOOK = Look()
_ORDER = {check: place for place, check in enumerate(Check)}
_ERRORS = Errors()
_CHECKS: tuple[Checking, ...] = (
    _ERRORS,
    Latency(Check.P50, 0.50),
    Latency(Check.P95, 0.95),
    Latency(Check.P99, 0.99, seen_is_enough=True),
    Waiting(),
    Events(
        Check.SMOKE,
        lambda numbers: numbers.smoke_failures,
        lambda policy: 0,
        "failed smoke check",
        "failed smoke checks",
    ),
    Events(
        Check.OUT_OF_MEMORY,
        lambda numbers: numbers.out_of_memory_kills,
        lambda policy: 0,
        "out-of-memory kill",
        "out-of-memory kills",
    ),
    Events(
        Check.RESTARTS,
        lambda numbers: numbers.restarts,
        lambda policy: policy.restarts_allowed,
        "restart",
        "restarts",
    ),
    Traffic(),
)
_NEW_ERRORS = Events(
    Check.NEW_ERRORS,
    lambda numbers: numbers.new_error_groups,
    lambda policy: policy.new_error_groups_allowed or 0,
    "new kind of error",
    "new kinds of errors",
)


def judge(
    candidate: Numbers, current: Numbers, policy: Policy, look: Look = _FIRST_LOOK
) -> Verdict:
    """What is to be said of `candidate`, from what was seen of it and of `current` since the step began.

    Fail may be acted on at once, at any look: however often a step is looked at, a candidate that is no worse fails in
    a whole rollout with a probability of `policy.alpha` at most. Pass is said at the end of a step only, and only when
    the numbers rule out that the candidate is worse than the policy tolerates. Everything else is inconclusive.

    Parameters:
        candidate: what was seen of the candidate.
        current: what was seen of the current release, over the same minutes. Without traffic of it, as in a step of
            100 %, only what needs no comparison can fail.
        look: which look this is.

    Raises:
        IntegrityError: the two latency histograms have different bounds.
    """
    case = Case(candidate, current, policy, look)
    reasons = [check.reason(case, _outcome(check, case)) for check in _checks(policy)]
    reasons.sort(key=lambda reason: _ORDER[reason.check])
    outcome = combined((reason.outcome for reason in reasons), at_end=look.at_end)
    return Verdict(outcome, tuple(reasons), _summary(outcome, reasons, look))


def fails(candidate: Numbers, current: Numbers, policy: Policy, look: Look = _FIRST_LOOK) -> bool:
    """Whether `judge` says fail, without saying why: for simulations, where nobody reads the reasons."""
    case = Case(candidate, current, policy, look)
    return any(check.fails(case) for check in _checks(policy))


def combined(outcomes: Iterable[Outcome], *, at_end: bool) -> Outcome:
    """One fail fails; a pass needs the end of the step and every check. The order does not matter."""
    seen = set(outcomes)
    if Outcome.FAIL in seen:
        return Outcome.FAIL
    return Outcome.PASS if at_end and seen == {Outcome.PASS} else Outcome.INCONCLUSIVE


def _checks(policy: Policy) -> tuple[Checking, ...]:
    return _CHECKS if policy.new_error_groups_allowed is None else (*_CHECKS, _NEW_ERRORS)


def _outcome(check: Checking, case: Case) -> Outcome:
    if check.fails(case):
        return Outcome.FAIL
    return Outcome.PASS if check.passes(case) else Outcome.INCONCLUSIVE


def _summary(outcome: Outcome, reasons: list[Reason], look: Look) -> str:
    errors = next(reason for reason in reasons if reason.check is Check.ERRORS)
    if outcome is Outcome.PASS:
        return f"No worse than the current release: {errors.sentence}."
    if outcome is Outcome.INCONCLUSIVE and not look.at_end:
        return f"Nothing shown yet: {errors.sentence}."
    telling = [reason for reason in reasons if reason.outcome is outcome]
    if outcome is Outcome.INCONCLUSIVE and telling[-1].check is Check.TRAFFIC:
        # It explains the other checks that could not tell.
        return f"Not enough to tell: {telling[-1].sentence}."
    more = len(telling) - 1
    also = f", and {more} more check{'s' if more > 1 else ''}" if more else ""
    if outcome is Outcome.FAIL:
        return f"{telling[0].sentence[0].upper()}{telling[0].sentence[1:]}{also}."
    return f"Not enough to tell: {telling[0].sentence}{also}."
