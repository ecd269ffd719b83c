"""Deploys: requests, and how they go."""

from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.responses import StreamingResponse

from gantry.features.deploys import store
from gantry.features.deploys.bodies import (
    DeployBody,
    DeployEvent,
    DeployRequest,
    PlanBody,
    PromoteRequest,
    RollbackRequest,
)
from gantry.features.deploys.model import Deploy
from gantry.features.projects import store as projects
from gantry.features.releases.model import Commit
from gantry.web.access import Developer, Viewer
from gantry.web.api.shared import (
    DeployId,
    EnvironmentName,
    KnownEnvironment,
    KnownProject,
    ProjectName,
    area,
)
from gantry.web.services import Has, Services
from gantry.web.streams import Place, documented, event_stream
from gantry.web.views import deploy_events
from gantry.web.views.deploys import deploy_body
from gantry.web.views.logs import Masks
from gantry.web.views.reader import Reader

router = area("deploys")
_ENVIRONMENT = "/projects/{project}/environments/{environment}"


async def _body(services: Services, deploy: Deploy) -> DeployBody:
    async with services.state.transaction() as session:
        return await deploy_body(Reader(services, session), deploy)


@router.post(f"{_ENVIRONMENT}/deploys", status_code=202, summary="Deploy a snapshot")
async def create_deploy(
    services: Has,
    caller: Developer,
    project: ProjectName,
    environment: EnvironmentName,
    request: DeployRequest,
) -> DeployBody:
    """Queues a deploy of a snapshot that was uploaded before. Project and environment are made when they are new.

    Answers at once; follow `/deploys/{deploy}/events` to see how it goes.
    """
    deploy = await services.deploys.deploy(
        project,
        environment,
        source_digest=request.source_digest,
        commit=Commit(**request.commit.model_dump()),
        by=caller.account,
    )
    services.wake()
    return await _body(services, deploy)


@router.get(f"{_ENVIRONMENT}/deploys", summary="List deploys")
async def list_deploys(
    services: Has,
    _caller: Viewer,
    project: KnownProject,
    environment: KnownEnvironment,
    limit: Annotated[int, Query(ge=1, le=100, description="At most this many.")] = 20,
) -> tuple[DeployBody, ...]:
    """An environment's deploys, newest first."""
    async with services.state.transaction() as session:
        found = await projects.get_environment(session, project, environment)
        reader = Reader(services, session)
        recent = await store.list_for_environment(session, found.id, limit=limit)
        return tuple([await deploy_body(reader, deploy) for deploy in recent])


@router.post(f"{_ENVIRONMENT}/promote", status_code=202, summary="Promote a build")
async def promote(
    services: Has,
    caller: Developer,
    project: ProjectName,
    environment: EnvironmentName,
    request: PromoteRequest,
) -> DeployBody:
    """Queues a deploy of the build that is live in another environment, without building again."""
    deploy = await services.deploys.promote(
        project, environment, from_environment=request.from_environment, by=caller.account
    )
    services.wake()
    return await _body(services, deploy)


@router.post(f"{_ENVIRONMENT}/rollback", status_code=202, summary="Roll back")
async def roll_back(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    request: RollbackRequest,
) -> DeployBody:
    """Queues the return to an earlier release, with the configuration that it ran with."""
    deploy = await services.deploys.roll_back(
        project, environment, to_release=request.to_release, by=caller.account
    )
    services.wake()
    return await _body(services, deploy)


@router.post(f"{_ENVIRONMENT}/plan", summary="What a deploy would do")
async def plan(
    services: Has,
    _caller: Developer,
    project: ProjectName,
    environment: EnvironmentName,
    request: DeployRequest,
) -> PlanBody:
    """Compares a snapshot with what is live. Changes nothing."""
    return await services.plan(project, environment, request.source_digest)


@router.get("/deploys/{deploy}", summary="One deploy")
async def get_deploy(services: Has, _caller: Viewer, deploy: DeployId) -> DeployBody:
    """One deploy with its steps and, when it failed, its error."""
    async with services.state.transaction() as session:
        return await deploy_body(Reader(services, session), await store.get(session, deploy))


@router.post("/deploys/{deploy}/cancel", status_code=202, summary="Cancel a deploy")
async def cancel_deploy(services: Has, caller: Developer, deploy: DeployId) -> DeployBody:
    """Asks a deploy to stop at whatever step it is; the step's processes are ended. After its switch it is too
    late: roll back instead."""
    cancelled = await services.deploys.cancel(deploy, by=caller.account)
    services.wake()
    return await _body(services, cancelled)


async def _existing(services: Has, _caller: Viewer, deploy: DeployId) -> str:
    # Checked before the stream begins, while the answer can still be a 404.
    async with services.state.transaction() as session:
        return (await store.get(session, deploy)).id


@router.get(
    "/deploys/{deploy}/events",
    summary="Follow a deploy",
    response_class=StreamingResponse,
    responses=documented(DeployEvent, "deploy", "log", "end"),
)
async def follow_deploy(
    request: Request,
    services: Has,
    _caller: Viewer,
    deploy: Annotated[str, Depends(_existing)],
    _place: Place,
) -> StreamingResponse:
    """The deploy as it is, then every change of it and what its steps print, until it has ended.

    Events are `deploy` (the whole deploy), `log` (lines of one step) and `end` (the last one, with the deploy as it
    ended). Somebody who joins late gets the latest 256 KiB of each step's log first. Comments keep the connection
    alive.
    """
    masks = request.app.state.masks
    assert isinstance(masks, Masks)
    return event_stream(deploy_events.follow(services, masks, deploy), services)
