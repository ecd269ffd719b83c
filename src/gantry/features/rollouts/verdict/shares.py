"""Checks that compare shares of requests: those that failed, and those that wait for an answer."""

from dataclasses import dataclass
from math import sqrt

from gantry.features.rollouts.verdict import risk, wording
from gantry.features.rollouts.verdict.case import Case
from gantry.features.rollouts.verdict.evidence import FEWEST, is_beyond, is_worse
from gantry.features.rollouts.verdict.model import Check, Counts, Outcome, Reason
from gantry.features.rollouts.verdict.tails import at_least, at_most, upper_limit

# So much more of its traffic than of the current release's waits for an answer: it hangs.
_HANGING = 0.25
# The first look of a step may come before anything could be answered.
_WAITING_FROM_LOOK = 2


@dataclass(frozen=True, slots=True)
class Errors:
    """The share of requests that failed."""

    check: Check = Check.ERRORS

    def fails(self, case: Case) -> bool:
        candidate, current, policy = case.candidate, case.current, case.policy
        if candidate.errors < FEWEST:
            return False
        tolerated = _share(current.errors, current.requests) + policy.error_margin
        if not is_beyond(candidate.errors, candidate.requests, tolerated):
            return False
        part = candidate.requests / (candidate.requests + current.requests)
        total = candidate.errors + current.errors
        if is_worse(candidate.errors, total, part, case.step_risk * risk.ERRORS):
            return True
        # Nothing to compare with: then it is held against the ceiling, as if that were its share.
        return current.requests < policy.minimum_requests and is_worse(
            candidate.errors,
            candidate.requests,
            policy.error_ceiling,
            case.step_risk * risk.ERRORS_ALONE,
        )

    def passes(self, case: Case) -> bool:
        """Whether the difference of the two shares is below the margin, with the policy's confidence.

        Its upper limit is made from the exact limits of both shares (G. Y. Zou and A. Donner, "Construction of
        confidence limits about effect measures", 2008), which was measured to be conservative: decision 0070.
        """
        candidate, current, policy = case.candidate, case.current, case.policy
        if candidate.requests == 0:
            return False
        wrongly = 1.0 - policy.confidence
        now = _share(current.errors, current.requests)
        tolerated = now + policy.error_margin
        # The limit of the difference is never below the candidate's own; where that is too high, it is decided.
        if tolerated >= 1.0 or at_most(candidate.errors, candidate.requests, tolerated) > wrongly:
            return False
        left = tolerated - candidate.errors / candidate.requests
        above = upper_limit(candidate.errors, candidate.requests, wrongly) + left - tolerated
        if above >= left:
            return False
        # hypot(above, below) < left, solved for the lower limit of the current share.
        lowest = now - sqrt(left**2 - above**2)
        return lowest <= 0.0 or at_least(current.errors, current.requests, lowest) < wrongly

    def reason(self, case: Case, outcome: Outcome) -> Reason:
        candidate, current = case.candidate, case.current
        counts = Counts(candidate.errors, candidate.requests, current.errors, current.requests)
        return _reason(self.check, outcome, "failed", counts)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Requests without an answer: what hangs is neither an error nor slow until its time is over.

    Each look is a test of its own here, as requests leave this count again; streams that live for hours are older on
    the current release, which only makes this more careful.
    """

    check: Check = Check.WAITING

    def fails(self, case: Case) -> bool:
        counts = _waiting(case)
        if case.look.number < _WAITING_FROM_LOOK or counts.candidate < FEWEST:
            return False
        if not _hangs(counts):
            return False
        part = counts.candidate_of / (counts.candidate_of + counts.current_of)
        budget = risk.of_look(case.step_risk * risk.WAITING, case.look.number)
        return at_least(counts.candidate, counts.candidate + counts.current, part) <= budget

    def passes(self, case: Case) -> bool:
        counts = _waiting(case)
        return counts.candidate_of > 0 and not _hangs(counts)

    def reason(self, case: Case, outcome: Outcome) -> Reason:
        return _reason(self.check, outcome, "had no answer yet", _waiting(case))


def _share(count: int, of: int) -> float:
    return count / of if of else 0.0


def _waiting(case: Case) -> Counts:
    candidate, current = case.candidate, case.current
    return Counts(
        candidate.waiting,
        candidate.requests + candidate.waiting,
        current.waiting,
        current.requests + current.waiting,
    )


def _hangs(counts: Counts) -> bool:
    now = _share(counts.current, counts.current_of)
    return _share(counts.candidate, counts.candidate_of) - now > _HANGING


def _reason(check: Check, outcome: Outcome, verb: str, counts: Counts) -> Reason:
    seen = wording.part_of_requests(counts.candidate, counts.candidate_of)
    now = wording.part_of(counts.current, counts.current_of)
    return Reason(
        check,
        outcome,
        f"{seen} {verb} on the candidate, {now} on the current release",
        _share(counts.candidate, counts.candidate_of),
        _share(counts.current, counts.current_of),
        counts,
    )
