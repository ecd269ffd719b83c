"""A rollout: how far it is, and what was said of the candidate."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import gcd
from typing import Any

from gantry.config.sections import Deploy as DeploySection


class StageKind(StrEnum):
    """What the candidate gets."""

    MIRROR = "mirror"  # copies of safe requests; no visitor sees its answers
    CANARY = "canary"  # a share of the visitors


class RolloutState(StrEnum):
    """How a rollout stands."""

    RUNNING = "running"
    PAUSED = "paused"  # somebody asked; the shares stay as they are
    WAITING = "waiting"  # the stage went well and somebody must approve the next
    PASSED = "passed"  # all traffic may move
    FAILED = "failed"  # the verdict was bad; the current release has all traffic again
    ABORTED = "aborted"  # somebody asked

    @property
    def ended(self) -> bool:
        return self in (RolloutState.PASSED, RolloutState.FAILED, RolloutState.ABORTED)


class Wish(StrEnum):
    """What somebody asked of a rollout that the reactor has not done yet."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"  # the next stage now, without waiting for the verdict
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage.

    Attributes:
        percent: of the visitors; 0 for a mirror.
        time_s: how long the releases are compared before it may end.
    """

    kind: StageKind
    percent: int
    time_s: float

    def as_dict(self) -> dict[str, Any]:
        """Wire form, as it is stored."""
        return {"kind": self.kind.value, "percent": self.percent, "time_s": self.time_s}


@dataclass(frozen=True, slots=True)
class Rollout:
    """One rollout.

    Attributes:
        candidate, current: releases.
        stage: number of the present stage, from 0.
        stage_started_at: when the present stage came into effect, or the edge was asked for it; moved on by pauses.
        approval: somebody must approve each next stage.
        wish: what was asked and is not done yet.
        paused_at: since when it is paused or waits for an approval.
        verdict: wire form of the last verdict.
        reason: why it ended, in one sentence.
        evidence: of one that failed: `requests` that its candidate failed, `lines` of its log.
        cookie_key: signs the cookies of its visitors.
    """

    id: str
    deploy: str
    environment: str
    candidate: str
    current: str
    stages: tuple[Stage, ...]
    stage: int
    state: RolloutState
    approval: bool
    cookie_key: str
    started_at: datetime
    stage_started_at: datetime
    wish: Wish | None = None
    paused_at: datetime | None = None
    verdict: Mapping[str, Any] | None = None
    reason: str = ""
    ended_at: datetime | None = None
    evidence: Mapping[str, Any] | None = None

    @property
    def present(self) -> Stage | None:
        """The stage that the edge should be in: the last one until all traffic moves; `None` when it ended badly."""
        taken_back = self.state in (RolloutState.FAILED, RolloutState.ABORTED)
        return None if taken_back else self.stages[self.stage]

    def stage_age(self, now: datetime) -> timedelta:
        """How long the present stage has lasted, pauses left out."""
        return (self.paused_at or now) - self.stage_started_at


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """Rollout and what is shown beside it.

    Attributes:
        candidate_number, current_number: of the two releases.
        deploy_ended: the deploy that it belongs to has ended.
        stages: those that have begun, the first one first.
    """

    rollout: Rollout
    candidate_number: int
    current_number: int
    deploy_ended: bool
    stages: tuple[Mapping[str, Any], ...]


def buckets_of(stages: Iterable[Stage]) -> int:
    """The fewest groups of visitors that every share is a whole number of."""
    return 100 // gcd(100, *(stage.percent for stage in stages))


def stages_of(section: DeploySection) -> tuple[Stage, ...]:
    """The stages that a manifest asks for; none for a blue-green deploy."""
    if section.strategy == "blue-green":
        return ()
    mirror = (Stage(StageKind.MIRROR, 0, section.mirror_s),) if section.mirror_s else ()
    steps = (Stage(StageKind.CANARY, step.percent, step.time_s) for step in section.steps)
    return (*mirror, *steps)
