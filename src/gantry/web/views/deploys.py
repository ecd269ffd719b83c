"""Deploys as bodies."""

from dataclasses import replace
from datetime import datetime

from gantry.features.deploys import store
from gantry.features.deploys.bodies import DeployBody, StepBody
from gantry.features.deploys.model import Deploy, StepRecord, StepState
from gantry.features.deploys.pipeline import steps_of
from gantry.features.projects.model import Environment
from gantry.kernel.bodies import ErrorBody
from gantry.web.views import addresses
from gantry.web.views.reader import Reader, commit_body


async def deploy_body(reader: Reader, deploy: Deploy) -> DeployBody:
    """One deploy with its steps."""
    environment = await reader.environment(deploy.environment)
    release = await reader.release(deploy.release) if deploy.release else None
    records = await store.list_steps(reader.session, deploy.id)
    return DeployBody(
        id=deploy.id,
        project=environment.project,
        environment=environment.name,
        kind=deploy.kind.value,
        state=deploy.state.value,
        step=deploy.step.value,
        steps=_steps(deploy, records, reader.now, reader.waits.get(deploy.id, "")),
        commit=commit_body(deploy.commit),
        release=deploy.release,
        release_number=release.number if release else None,
        build=deploy.build,
        url=addresses.environment_url(reader.settings, environment),
        release_url=addresses.release_url(reader.settings, environment, release) if release else "",
        requested_by=deploy.requested_by,
        requested_at=deploy.requested_at,
        started_at=deploy.started_at,
        finished_at=deploy.finished_at,
        elapsed_s=_elapsed_s(deploy.started_at, deploy.finished_at, reader.now),
        queue_position=await reader.queue_position(deploy),
        cancel_requested=deploy.cancel_requested,
        error=ErrorBody.model_validate(dict(deploy.error)) if deploy.error else None,
    )


async def latest_body(reader: Reader, environment: Environment) -> DeployBody | None:
    """The environment's deploy that runs, or else the last one."""
    recent = await store.list_for_environment(reader.session, environment.id)
    if not recent:
        return None
    running = [deploy for deploy in recent if not deploy.state.ended and deploy.started_at]
    return await deploy_body(reader, running[0] if running else recent[0])


def _steps(
    deploy: Deploy, records: tuple[StepRecord, ...], now: datetime, waits: str
) -> tuple[StepBody, ...]:
    known = {record.name: record for record in records}
    present = known.get(deploy.step)
    if waits and present is not None and present.state is StepState.RUNNING:
        known[deploy.step] = replace(present, detail=waits)
    return tuple(
        _step(known[name], now) if name in known else StepBody(name=name.value, state="waiting")
        for name in steps_of(deploy.kind)
    )


def _step(record: StepRecord, now: datetime) -> StepBody:
    return StepBody(
        name=record.name.value,
        state=record.state.value,
        started_at=record.started_at,
        finished_at=record.finished_at,
        elapsed_s=_elapsed_s(record.started_at, record.finished_at, now),
        detail=record.detail,
    )


def _elapsed_s(start: datetime | None, end: datetime | None, now: datetime) -> float | None:
    if start is None:
        return None
    # A wall clock that was set back must not show a negative time.
    return max(0.0, round(((end or now) - start).total_seconds(), 3))
