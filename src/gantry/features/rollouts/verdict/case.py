"""What every check can say: whether it fails, whether it passes, and why.

A check fails when two things hold: the numbers *show* that the candidate is worse than the current release (see
`evidence.py`; the risk of doing so by mistake is bounded), and what was seen exceeds what the policy tolerates. So a
difference that is certain but small does not fail, and one that is large but could be luck does not either.

A check passes when the numbers rule out, with the policy's confidence, that the candidate is worse than is tolerated
(non-inferiority). All checks must pass for a pass, so no correction for their number is due there (R. L. Berger,
"Multiparameter hypothesis testing and acceptance sampling", 1982: the intersection-union test).
"""

from dataclasses import dataclass
from typing import Protocol

from gantry.features.rollouts.verdict import risk
from gantry.features.rollouts.verdict.model import Check, Look, Numbers, Outcome, Reason
from gantry.features.rollouts.verdict.policy import Policy


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that a check may know."""

    candidate: Numbers
    current: Numbers
    policy: Policy
    look: Look

    @property
    def step_risk(self) -> float:
        """The probability with which this step may fail a candidate that is no worse."""
        return risk.of_step(self.policy.alpha, self.look.step)


class Checking(Protocol):
    """What one check can say."""

    @property
    def check(self) -> Check:
        """Its name."""

    def fails(self, case: Case) -> bool:
        """Whether the candidate is shown to be worse than is tolerated."""

    def passes(self, case: Case) -> bool:
        """Whether the candidate is shown not to be worse than is tolerated."""

    def reason(self, case: Case, outcome: Outcome) -> Reason:
        """`outcome` with the numbers behind it."""
