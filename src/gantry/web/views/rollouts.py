"""Rollouts as bodies."""

from dataclasses import asdict
from math import isfinite
from typing import Literal

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
from gantry.features.rollouts.model import Evidence, Rollout, Stage, StageRecord
from gantry.features.rollouts.verdict.model import Verdict
from gantry.web.views.reader import Reader


async def rollout_body(reader: Reader, rollout: Rollout) -> RolloutBody:
    """One rollout with its stages."""
    environment = await reader.environment(rollout.environment)
    candidate, current = (
        await reader.release(rollout.candidate),
        await reader.release(rollout.current),
    )
    history = {
        record.number: record for record in await store.list_stages(reader.session, rollout.id)
    }
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
        wish=rollout.requested.value if rollout.requested is not None else None,
        verdict=_verdict(rollout.verdict),
        reason=rollout.reason,
        evidence=_evidence(rollout.evidence) if rollout.evidence is not None else None,
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


def _stage(stage: Stage, rollout: Rollout, number: int, record: StageRecord | None) -> StageBody:
    state: Literal["waiting", "running", "done"] = "waiting"
    verdict = None
    if record is not None:
        state = "done" if record.ended_at is not None else "running"
        verdict = record.verdict
    if number == rollout.stage and rollout.verdict is not None:
        verdict = rollout.verdict
    return StageBody(
        kind=stage.kind.value,
        percent=stage.percent,
        time_s=stage.time_s,
        state=state,
        started_at=record.started_at if record is not None else None,
        ended_at=record.ended_at if record is not None else None,
        verdict=_verdict(verdict),
    )


def _evidence(evidence: Evidence) -> EvidenceBody:
    return EvidenceBody.model_validate(
        {
            "requests": None
            if evidence.requests is None
            else [asdict(request) for request in evidence.requests],
            "lines": [asdict(line) for line in evidence.lines or ()],
        }
    )


def _verdict(verdict: Verdict | None) -> VerdictBody | None:
    if verdict is None:
        return None
    reasons = tuple(
        ReasonBody(
            check=reason.check.value,
            outcome=reason.outcome.value,
            sentence=reason.sentence,
            unit=reason.check.unit,
            candidate=_finite(reason.candidate),
            current=_finite(reason.current),
            numbers=asdict(reason.numbers),
        )
        for reason in verdict.reasons
    )
    return VerdictBody(outcome=verdict.outcome.value, summary=verdict.summary, reasons=reasons)


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
