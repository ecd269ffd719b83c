"""What a drill should have seen and did not. A rule that had nothing to look at has not held."""

from collections.abc import Iterator
from itertools import pairwise

from gantry.features.drills.seen import Seen
from gantry.features.drills.shares import at_steps

# The control plane is asked four times a second and each question may wait two; a killed database needs two or three to
# be back. Beyond that, and beyond what was done to it, nobody was watching.
_UNWATCHED_S = 6.0


def missing(seen: Seen) -> Iterator[str]:
    """One sentence for each thing that was not observed."""
    if not seen.requests or not seen.answers:
        yield "the drill saw nothing of the visitors"
    yield from _shares(seen)
    yield from _rollout(seen)


def _shares(seen: Seen) -> Iterator[str]:
    if not seen.shares:
        yield "the drill saw nothing of the candidate's share"
        return
    ends = [slot.at_s for slot in seen.answers[-1:]]
    for from_s, to_s in pairwise([0.0, *(one.at_s for one in seen.shares), *ends]):
        if to_s - from_s > _UNWATCHED_S + seen.silent_s(from_s, to_s):
            yield f"the drill saw nothing of the candidate's share from {from_s:.1f} to {to_s:.1f} s"


def _rollout(seen: Seen) -> Iterator[str]:
    if seen.deploy == "succeeded" and seen.rollout != "passed":
        yield f"the drill saw nothing of a rollout that passed: it is {seen.rollout or 'not there'}"
    asked = {percent for percent, (_, of) in at_steps(seen).items() if of}
    for stage in seen.stages:
        # What ended within a second may have been missed; a stage that the next followed lasted for its whole time.
        if stage.done and seen.shares and stage.percent not in asked:
            name = "mirror" if stage.mirror else f"step of {stage.percent:g} %"
            yield f"the drill saw nothing of the {name}"
