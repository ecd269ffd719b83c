"""Which rollout a manifest asks for, and how one goes on: from what was observed to the next smallest action. Pure.

Low traffic is never a pass: a stage whose verdict is inconclusive at its end lasts up to twice as long, with requests of
Gantry's own, and only then the declared policy decides.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gantry.config.sections import Deploy as DeploySection, VerdictRules
from gantry.features.rollouts.model import (
    Rollout,
    RolloutCommand,
    RolloutState,
    Stage,
    StageKind,
)
from gantry.features.rollouts.verdict.model import Outcome, Policy
from gantry.kernel.units import counted

# How many times its own length a stage is extended for while nothing can be said.
EXTENSION = 1.0
# An edge takes shares within milliseconds; one that does not take them in this time refuses them, or is not there.
EDGE_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class ObservedRollout:
    """Observations of a rollout.

    Attributes:
        outcome: of the verdict on the present stage; `None` while there are no numbers of it.
        summary: the verdict in one sentence.
        in_effect: the edge has acknowledged the shares of the present stage.
        waits_s: for how long it has not; `obstacle` says why, where that is known.
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
    """End the rollout."""

    state: RolloutState
    reason: str


Action = BeginStage | Hold | Resume | End


def decide(rollout: Rollout, observed: ObservedRollout) -> Action | None:
    """The next action, or `None` to wait."""
    if rollout.state.ended:
        return None
    if rollout.requested is RolloutCommand.ABORT:
        return End(RolloutState.ABORTED, "it was aborted")
    # A bad candidate is taken back at once, also while people think about it.
    if observed.outcome is Outcome.FAIL:
        return End(RolloutState.FAILED, observed.summary)
    match rollout.requested:
        case RolloutCommand.PROMOTE:
            return _next(rollout)
        case RolloutCommand.PAUSE if rollout.state is RolloutState.RUNNING:
            return Hold(RolloutState.PAUSED)
        case RolloutCommand.RESUME if rollout.state is not RolloutState.RUNNING:
            return Resume()
        case _:
            return _by_verdict(rollout, observed)


def _by_verdict(rollout: Rollout, observed: ObservedRollout) -> Action | None:
    if rollout.state is not RolloutState.RUNNING:
        return None
    if not observed.in_effect:
        return _refused(observed) if observed.waits_s > EDGE_TIMEOUT_S else None
    age_s = rollout.stage_age(observed.now).total_seconds()
    time_s = rollout.stages[rollout.stage].time_s
    if age_s < time_s:
        return None
    if observed.outcome is Outcome.PASS:
        return Hold(RolloutState.WAITING) if rollout.approval else _next(rollout)
    if age_s < time_s * (1 + EXTENSION):
        return None
    if observed.when_inconclusive == "abort":
        return End(RolloutState.FAILED, f"too little is known of it: {observed.summary}")
    return Hold(RolloutState.WAITING) if rollout.approval else _next(rollout)


def _refused(observed: ObservedRollout) -> Action:
    why = f": {observed.obstacle}" if observed.obstacle else ""
    return End(RolloutState.FAILED, f"the edge did not take its share of the traffic{why}")


def _next(rollout: Rollout) -> Action:
    number = rollout.stage + 1
    if number < len(rollout.stages):
        return BeginStage(number)
    return End(RolloutState.PASSED, f"{counted(len(rollout.stages), 'stage')} went well")


def stages_of(section: DeploySection) -> tuple[Stage, ...]:
    """The stages that a manifest asks for; none for a blue-green deploy."""
    if section.strategy == "blue-green":
        return ()
    mirror = (Stage(StageKind.MIRROR, 0, section.mirror_s),) if section.mirror_s else ()
    steps = (Stage(StageKind.CANARY, step.percent, step.time_s) for step in section.steps)
    return (*mirror, *steps)


def policy_of(section: VerdictRules) -> Policy:
    """The policy that a manifest asks for, which has checked its settings."""
    return Policy(
        error_margin=section.error_margin,
        latency_ratio=section.latency_ratio,
        latency_floor_ms=section.latency_floor_s * 1000,
        restarts=section.restarts,
    )
