"""What the API says of rollouts."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field

from gantry.features.projects.model import Environment
from gantry.features.rollouts.model import Rollout, RolloutRecord, Stage
from gantry.features.rollouts.verdict.model import Check
from gantry.kernel.bodies import Answer

OutcomeName = Literal["pass", "fail", "inconclusive"]


RolloutStateName = Literal["running", "paused", "waiting", "passed", "failed", "aborted"]


WishName = Literal["pause", "resume", "promote", "abort"]


class ReasonBody(Answer):
    """What one check says of a candidate."""

    check: str
    outcome: OutcomeName
    sentence: str
    unit: Literal["share", "ms", "count"]
    candidate: float | None = Field(description="Null where it is unbounded.")
    current: float | None
    numbers: dict[str, int]


class VerdictBody(Answer):
    """What is said of a candidate, from its traffic beside that of the current release."""

    outcome: OutcomeName
    summary: str
    reasons: tuple[ReasonBody, ...]


class StageBody(Answer):
    """One stage of a rollout."""

    kind: Literal["mirror", "canary"]
    percent: int = Field(description="Of the visitors; 0 for a mirror.")
    time_s: float
    state: Literal["waiting", "running", "done"]
    started_at: datetime | None = None
    ended_at: datetime | None = None
    verdict: VerdictBody | None = None


class FailedRequestBody(Answer):
    """A request that a candidate failed."""

    at: str
    method: str
    path: str = Field(description="Without the query.")
    status: int = Field(description="What the visitor got; 0: he went away.")
    flags: str = Field("", description="Envoy's words for what happened.")
    duration_ms: int
    request_id: str


class LogLineBody(Answer):
    """A line that an instance printed."""

    instance: str
    text: str


class EvidenceBody(Answer):
    """What a candidate had done when it was taken back. Secrets are masked."""

    requests: tuple[FailedRequestBody, ...] | None = Field(
        description="The last ones, the newest last; null while they are looked up, which takes two seconds."
    )
    lines: tuple[LogLineBody, ...]


class RolloutBody(Answer):
    """The move of an environment's traffic from one release to another."""

    id: str
    project: str
    environment: str
    deploy: str
    candidate: str
    candidate_number: int
    current: str
    current_number: int
    state: RolloutStateName
    stages: tuple[StageBody, ...]
    stage: int = Field(description="The present one, from 0.")
    approval: bool = Field(description="Somebody must approve each next stage.")
    wish: WishName | None = Field(None, description="Asked for and not done yet.")
    verdict: VerdictBody | None
    reason: str = Field("", description="Why it ended.")
    evidence: EvidenceBody | None = Field(None, description="Of a candidate that failed.")
    started_at: datetime
    ended_at: datetime | None
    elapsed_s: float

    @classmethod
    def of(cls, record: RolloutRecord, environment: Environment, now: datetime) -> Self:
        """A rollout of an environment with its stages."""
        rollout = record.rollout
        history = {row["number"]: row for row in record.stages}
        return cls(
            id=rollout.id,
            project=environment.project,
            environment=environment.name,
            deploy=rollout.deploy,
            candidate=rollout.candidate,
            candidate_number=record.candidate_number,
            current=rollout.current,
            current_number=record.current_number,
            state=rollout.state.value,
            stages=tuple(
                _stage(stage, rollout, number, history.get(number))
                for number, stage in enumerate(rollout.stages)
            ),
            stage=rollout.stage,
            approval=rollout.approval,
            wish=rollout.wish.value if rollout.wish is not None else None,
            verdict=_verdict(rollout.verdict),
            reason=rollout.reason,
            evidence=_evidence(rollout.evidence) if rollout.evidence else None,
            started_at=rollout.started_at,
            ended_at=rollout.ended_at,
            elapsed_s=max(0.0, ((rollout.ended_at or now) - rollout.started_at).total_seconds()),
        )


class CandidateBody(Answer):
    """The release that a rollout moves an environment's visitors to."""

    release: str
    release_number: int
    percent: int = Field(description="Of the visitors; 0 while it gets copies of requests only.")
    sentence: str

    @classmethod
    def of(cls, record: RolloutRecord) -> Self:
        """The candidate of a rollout that goes on."""
        stage = record.rollout.present
        assert stage is not None, "it goes on"
        number = record.candidate_number
        gets = f"{stage.percent} % of the visitors" if stage.percent else "copies of requests"
        return cls(
            release=record.rollout.candidate,
            release_number=number,
            percent=stage.percent,
            sentence=f"release {number} gets {gets}",
        )


def _stage(stage: Stage, rollout: Rollout, number: int, row: Mapping[str, Any] | None) -> StageBody:
    state: Literal["waiting", "running", "done"] = "waiting"
    if row is not None:
        state = "done" if row["ended_at"] is not None else "running"
    present = number == rollout.stage and rollout.verdict is not None
    return StageBody(
        kind=stage.kind.value,
        percent=stage.percent,
        time_s=stage.time_s,
        state=state,
        started_at=row["started_at"] if row is not None else None,
        ended_at=row["ended_at"] if row is not None else None,
        verdict=_verdict(
            rollout.verdict if present else row["verdict"] if row is not None else None
        ),
    )


def _evidence(evidence: Mapping[str, Any]) -> EvidenceBody:
    body = {"requests": evidence["requests"], "lines": evidence["lines"] or ()}
    return EvidenceBody.model_validate(body)


def _verdict(verdict: Mapping[str, Any] | None) -> VerdictBody | None:
    if verdict is None:
        return None
    reasons = tuple(
        ReasonBody.model_validate(
            {
                **reason,
                "unit": Check(reason["check"]).unit,
                "candidate": _finite(reason["candidate"]),
                "current": _finite(reason["current"]),
            }
        )
        for reason in verdict["reasons"]
    )
    return VerdictBody(outcome=verdict["outcome"], summary=verdict["summary"], reasons=reasons)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
