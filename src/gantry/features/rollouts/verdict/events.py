"""Checks that count: what should not happen at all, and whether there was traffic at all."""

from collections.abc import Callable
from dataclasses import dataclass

from gantry.features.rollouts.verdict import wording
from gantry.features.rollouts.verdict.case import Case
from gantry.features.rollouts.verdict.model import Check, Counts, Numbers, Outcome, Reason
from gantry.features.rollouts.verdict.policy import Policy


@dataclass(frozen=True, slots=True)
class Events:
    """Things that should not happen: each is certain when it is seen, so a count decides.

    Where the current release suffers as much in the same minutes, the candidate is not to blame: neither a fail nor a
    pass.
    """

    check: Check
    read: Callable[[Numbers], int]
    allowed: Callable[[Policy], int]
    singular: str
    plural: str

    def fails(self, case: Case) -> bool:
        count = self.read(case.candidate)
        return count > self.allowed(case.policy) and count > self.read(case.current)

    def passes(self, case: Case) -> bool:
        return self.read(case.candidate) <= self.allowed(case.policy)

    def reason(self, case: Case, outcome: Outcome) -> Reason:
        candidate, current = self.read(case.candidate), self.read(case.current)
        seen = wording.count_of(candidate, self.singular, self.plural)
        sentence = f"{seen} on the candidate, {wording.number(current)} on the current release"
        counts = Counts(candidate, 0, current, 0)
        return Reason(self.check, outcome, sentence, candidate, current, counts)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Whether there was enough to see. Too little never fails, and never passes."""

    check: Check = Check.TRAFFIC

    def fails(self, case: Case) -> bool:
        return False

    def passes(self, case: Case) -> bool:
        fewest = min(case.candidate.requests, case.current.requests)
        return fewest >= case.policy.minimum_requests

    def reason(self, case: Case, outcome: Outcome) -> Reason:
        candidate, current = case.candidate.requests, case.current.requests
        sentence = (
            f"{wording.count_of(candidate, 'request', 'requests')} to the candidate, "
            f"{wording.number(current)} to the current release"
        )
        if outcome is not Outcome.PASS:
            sentence += f"; a pass needs {case.policy.minimum_requests:,} to each"
        counts = Counts(candidate, 0, current, 0)
        return Reason(self.check, outcome, sentence, candidate, current, counts)
