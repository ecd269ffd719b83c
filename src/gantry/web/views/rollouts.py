"""Rollouts as bodies."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from gantry.engines.database.protocol import Row
from gantry.features.projects.model import Environment
from gantry.features.rollouts import store
from gantry.features.rollouts.bodies import (
    CandidateBody,
    EvidenceBody,
    ReasonBody,
    RolloutBody,
    StageBody,
    VerdictBody,
)
from gantry.features.rollouts.model import Rollout, Stage
from gantry.features.rollouts.verdict.model import Check
from gantry.web.views.reader import Reader


async def rollout_body(reader: Reader, rollout: Rollout) -> RolloutBody:
    """One rollout with its stages."""
    environment = await reader.environment(rollout.environment)
    candidate, current = (
        await reader.release(rollout.candidate),
        await reader.release(rollout.current),
    )
    history = {row["number"]: row for row in await store.stage_history(reader.session, rollout.id)}
    return RolloutBody(
        id=rollout.id,
        project=environment.project,
        environment=environment.name,
        deploy=rollout.deploy,
        candidate=candidate.id,
        candidate_number=candidate.number,
        current=current.id,
        current_number=current.number,
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
        elapsed_s=max(0.0, ((rollout.ended_at or reader.now) - rollout.started_at).total_seconds()),
    )


async def candidate_body(reader: Reader, environment: Environment) -> CandidateBody | None:
    """What a rollout that goes on gives its candidate."""
    rollout = await reader.rollout(environment)
    stage = rollout.present if rollout is not None else None
    if rollout is None or stage is None:
        return None
    number = (await reader.release(rollout.candidate)).number
    gets = f"{stage.percent} % of the visitors" if stage.percent else "copies of requests"
    return CandidateBody(
        release=rollout.candidate,
        release_number=number,
        percent=stage.percent,
        sentence=f"release {number} gets {gets}",
    )


def _stage(stage: Stage, rollout: Rollout, number: int, row: Row | None) -> StageBody:
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
