"""What a drill should have seen and did not. A rule that had nothing to look at has not held."""

from collections.abc import Iterator
from itertools import pairwise

from gantry.features.drills.model import Schedule
from gantry.features.drills.seen import Seen
from gantry.features.drills.shares import at_steps
from gantry.features.drills.visitors import Habit

# The control plane is asked four times a second and each question may wait two; a killed database needs two or three to
# be back. Beyond that, and beyond what was done to it, nobody was watching.
_UNWATCHED_S = 6.0


def missing(schedule: Schedule, seen: Seen) -> Iterator[str]:
    """One sentence for each thing that was not observed."""
    for what in (*_nobody(seen), *_stages(schedule, seen)):
        yield f"the drill saw nothing of {what}"
    yield from _shares(seen)
    if seen.deploy == "succeeded" and seen.rollout != "passed":
        yield f"it went live without a rollout that passed: that is {seen.rollout or 'not there'}"


def _nobody(seen: Seen) -> Iterator[str]:
    if not seen.requests or not seen.answers:
        yield "visitors"
    for habit in (Habit.REGULAR, Habit.PAGE):
        if not any(trail.turns for trail in seen.trails if trail.habit is habit):
            yield str(habit)
    if not all(trail.page for trail in seen.trails if trail.habit is Habit.PAGE):
        yield "what a page calls itself"
    if not seen.kept:
        yield "the edge's cache"
    if not seen.orders:
        yield "orders"
    if not seen.lives:
        yield "instances"


def _stages(schedule: Schedule, seen: Seen) -> Iterator[str]:
    """Of those that the next followed; what ended within a second may have been missed."""
    if schedule.mirror and seen.stages and not any(stage.mirror for stage in seen.stages):
        yield "the mirror"
    asked = {percent for percent, (_, of) in at_steps(seen).items() if of}
    for stage in seen.stages:
        if stage.done and stage.mirror and not seen.copies:
            yield "copies"
        if stage.done and not stage.mirror and seen.shares and stage.percent not in asked:
            yield f"the step of {stage.percent:g} %"
    drawn = any(stage.done and not stage.mirror for stage in seen.stages)
    if drawn and not any(trail.cookie for trail in seen.trails):
        yield "cookies"


def _shares(seen: Seen) -> Iterator[str]:
    if not seen.shares:
        yield "the drill saw nothing of the candidate's share"
        return
    ends = [slot.at_s for slot in seen.answers[-1:]]
    for from_s, to_s in pairwise([0.0, *(one.at_s for one in seen.shares), *ends]):
        if to_s - from_s > _UNWATCHED_S + seen.silent_s(from_s, to_s):
            yield f"the drill saw nothing of the candidate's share from {from_s:.1f} to {to_s:.1f} s"
