"""A drill with its judgement."""

from dataclasses import dataclass, field

from gantry.features.drills.model import Schedule
from gantry.features.drills.seen import Seen


@dataclass(frozen=True, slots=True)
class Result:
    """A drill and what is wrong with it.

    Attributes:
        wrong_verdict: a bad candidate went live or was called good, or a good one was refused without a reason.
        failed: requests that failed although a healthy instance existed.
        share: of the visitors, the most that the candidate had while it was held at a step; percent.
        violations: one sentence for each invariant that did not hold.
    """

    schedule: Schedule
    seen: Seen
    wrong_verdict: bool
    failed: int
    share: float
    violations: tuple[str, ...] = field(default=())
