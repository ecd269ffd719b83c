"""A rollout as a pure function: from what was seen to the next smallest action.

Low traffic is never a pass: a stage whose verdict is inconclusive at its end lasts up to twice as long, with requests of
Gantry's own, and only then the declared policy decides.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gantry.features.rollouts.model import Rollout, RolloutState, Wish

# How many times its own length a stage is extended for while nothing can be said.
EXTENSION = 1.0
# An edge takes shares within milliseconds; one that does not take them in this time refuses them, or is not there.
EDGE_PATIENCE_S = 120.0

Outcome = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What was observed for one rollout.

    Attributes:
        outcome: of the verdict on the present stage; `None` while there are no numbers of it yet.
        summary: the verdict in one sentence.
        in_effect: the edge has acknowledged the shares of the present stage.
        waits_s: for how long it has been seen not to; `obstacle` says why, where that is known.
        when_inconclusive: the declared policy.
    """

    now: datetime
    outcome: Outcome | None
    summary: str
    in_effect: bool
    when_inconclusive: Literal["promote", "abort"]
    waits_s: float = 0.0
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class BeginStage:
    """Go on to stage `number`; its time counts from now."""

    number: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Stop the clock of the stage: paused, or waiting for an approval."""

    state: RolloutState


@dataclass(frozen=True, slots=True)
class Resume:
    """Let the clock of the stage go on."""


@dataclass(frozen=True, slots=True)
class End:
    """It is over."""

    state: RolloutState
    reason: str


Action = BeginStage | Hold | Resume | End


def decide(rollout: Rollout, seen: Seen) -> Action | None:
    """The next action, or `None` to wait."""
    if rollout.state.ended:
        return None
    if rollout.wish is Wish.ABORT:
        return End(RolloutState.ABORTED, "it was aborted")
    # A bad candidate is taken back at once, also while people think about it.
    if seen.outcome == "fail":
        return End(RolloutState.FAILED, seen.summary)
    match rollout.wish:
        case Wish.PROMOTE:
            return _next(rollout)
        case Wish.PAUSE if rollout.state is RolloutState.RUNNING:
            return Hold(RolloutState.PAUSED)
        case Wish.RESUME if rollout.state is not RolloutState.RUNNING:
            return Resume()
        case _:
            return _by_verdict(rollout, seen)


def _by_verdict(rollout: Rollout, seen: Seen) -> Action | None:
    if rollout.state is not RolloutState.RUNNING:
        return None
    if not seen.in_effect:
        return _refused(seen) if seen.waits_s > EDGE_PATIENCE_S else None
    age_s = rollout.stage_age(seen.now).total_seconds()
    time_s = rollout.stages[rollout.stage].time_s
    if age_s < time_s:
        return None
    if seen.outcome == "pass":
        return Hold(RolloutState.WAITING) if rollout.approval else _next(rollout)
    if age_s < time_s * (1 + EXTENSION):
        return None
    if seen.when_inconclusive == "abort":
        return End(RolloutState.FAILED, f"too little is known of it: {seen.summary}")
    return Hold(RolloutState.WAITING) if rollout.approval else _next(rollout)


def _refused(seen: Seen) -> Action:
    why = f": {seen.obstacle}" if seen.obstacle else ""
    return End(RolloutState.FAILED, f"the edge did not take its share of the traffic{why}")


def _next(rollout: Rollout) -> Action:
    number = rollout.stage + 1
    if number < len(rollout.stages):
        return BeginStage(number)
    return End(RolloutState.PASSED, f"{len(rollout.stages)} stages went well")
