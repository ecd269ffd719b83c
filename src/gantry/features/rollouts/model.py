"""A rollout: its stages, how far it is, the verdict on the candidate, and the evidence against one that failed."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import gcd
from typing import Any, Self

from gantry.engines.edge.protocol import FailedRequest
from gantry.features.rollouts.verdict.model import Verdict


class StageKind(StrEnum):
    """Kind of traffic that the candidate gets."""

    MIRROR = "mirror"  # copies of safe requests; no visitor sees its answers
    CANARY = "canary"  # a share of the visitors


class RolloutState(StrEnum):
    """State of a rollout."""

    RUNNING = "running"
    PAUSED = "paused"  # somebody asked; the shares stay as they are
    WAITING = "waiting"  # the stage went well and somebody must approve the next
    PASSED = "passed"  # all traffic may move
    FAILED = "failed"  # the verdict was bad; the current release has all traffic again
    ABORTED = "aborted"  # somebody asked

    @property
    def ended(self) -> bool:
        return self in (RolloutState.PASSED, RolloutState.FAILED, RolloutState.ABORTED)


class RolloutCommand(StrEnum):
    """Command that somebody gave a rollout, and that the reactor has not carried out yet."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"  # the next stage now, without waiting for the verdict
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Stage:
    """Stage of a rollout, as it was declared.

    Attributes:
        percent: of the visitors; 0 for a mirror.
        time_s: how long the releases are compared before it may end.
    """

    kind: StageKind
    percent: int
    time_s: float

    def as_dict(self) -> dict[str, Any]:
        """Stored form."""
        return {"kind": self.kind.value, "percent": self.percent, "time_s": self.time_s}


@dataclass(frozen=True, slots=True)
class StageRecord:
    """Stage of a rollout, as it went.

    Attributes:
        number: from 0.
        verdict: the last one on it, recorded when the stage ends.
    """

    number: int
    started_at: datetime
    ended_at: datetime | None
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class LogLine:
    """Line that an instance printed."""

    instance: str
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence against a candidate that failed.

    Attributes:
        instances: of the candidate, whose logs are read.
        lines: the last that they printed, secrets masked; `None` until they were read.
        requests: the last that the candidate failed, the newest last; `None` until they were read.
    """

    instances: tuple[str, ...]
    lines: tuple[LogLine, ...] | None = None
    requests: tuple[FailedRequest, ...] | None = None

    @property
    def complete(self) -> bool:
        """Whether everything was read."""
        return self.lines is not None and self.requests is not None

    def as_dict(self) -> dict[str, Any]:
        """Stored form."""
        return asdict(self)

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> Self:
        """From its stored form."""
        lines, requests = stored["lines"], stored["requests"]
        return cls(
            instances=tuple(stored["instances"]),
            lines=None if lines is None else tuple(LogLine(**line) for line in lines),
            requests=None
            if requests is None
            else tuple(FailedRequest(**request) for request in requests),
        )


@dataclass(frozen=True, slots=True)
class Rollout:
    """Rollout of a release.

    Attributes:
        candidate, current: identities of the two releases.
        stage: number of the present stage, from 0.
        stage_started_at: when the present stage came into effect, or the edge was asked for it; moved on by pauses.
        approval: somebody must approve each next stage.
        requested: the command that was given and is not carried out yet.
        paused_at: since when it is paused or waits for an approval.
        verdict: the last one on the present stage.
        reason: why it ended, in one sentence.
        evidence: against the candidate of one that failed.
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
    requested: RolloutCommand | None = None
    paused_at: datetime | None = None
    verdict: Verdict | None = None
    reason: str = ""
    ended_at: datetime | None = None
    evidence: Evidence | None = None

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
    stages: tuple[StageRecord, ...]


def buckets_of(stages: Iterable[Stage]) -> int:
    """The fewest groups of visitors that every share is a whole number of."""
    return 100 // gcd(100, *(stage.percent for stage in stages))
