"""Deploys: requests, the page of a deploy, and the newest ones of an environment."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import Depends, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from gantry.features.deploys import store
from gantry.features.deploys.bodies import (
    DeployBody,
    DeployEvent,
    DeployRequest,
    PlanBody,
    PromoteRequest,
    RestartRequest,
    RollbackRequest,
    StepBody,
)
from gantry.features.deploys.model import DeployKind, DeployRecord, Step
from gantry.features.deploys.pipeline import ROWS, may_cancel
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases.model import Commit
from gantry.kernel.names import API_PREFIX
from gantry.web.access import Developer, Viewer
from gantry.web.deploy_events import body_of, follow
from gantry.web.frame import Page, Panel, ShownEnvironment, frame_of, see
from gantry.web.noun import Mark, Noun
from gantry.web.openapi import (
    ENVIRONMENT,
    EnvironmentName,
    KnownEnvironment,
    KnownProject,
    ProjectName,
)
from gantry.web.render import render
from gantry.web.services import Has, Services
from gantry.web.streams import HasMasks, StreamSlot, documented, event_stream

noun = Noun(
    "deploys",
    "The way of a change to its environment, step by step.",
    marks={
        "queued": Mark("Queued", "quiet", "clock"),
        "active": Mark("Running", "busy", "loader-circle"),
        "succeeded": Mark("Succeeded", "good", "circle-check"),
        "failed": Mark("Failed", "bad", "circle-x"),
        "cancelled": Mark("Cancelled", "quiet", "ban"),
        # of steps
        "waiting": Mark("Waiting", "quiet", "circle"),
        "running": Mark("Running", "busy", "loader-circle"),
        "done": Mark("Done", "good", "circle-check"),
        "skipped": Mark("Skipped", "quiet", "skip-forward"),
        # of kinds
        DeployKind.DEPLOY: Mark("Deploy", "quiet", "rocket"),
        DeployKind.PROMOTE: Mark("Promotion", "quiet", "rocket"),
        DeployKind.ROLLBACK: Mark("Rollback", "quiet", "undo-2"),
        DeployKind.REDEPLOY: Mark("Redeploy", "quiet", "rocket"),
        DeployKind.RESTART: Mark("Restart", "quiet", "loader-circle"),
    },
)

MAX_SHOWN = 10
DeployId = Annotated[str, Path(max_length=40, description="Identity of the deploy, `dep-...`.")]


async def _read(services: Services, deploy_id: str) -> tuple[DeployRecord, Environment]:
    async with services.database.transaction() as session:
        record = await store.get_record(session, deploy_id)
        return record, await projects.get_environment_by_id(session, record.deploy.environment)


async def _body(services: Services, deploy_id: str) -> DeployBody:
    return body_of(services, *await _read(services, deploy_id))


@noun.api.post(f"{ENVIRONMENT}/deploys", status_code=202, summary="Deploy a snapshot")
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
        use_cache=request.use_cache,
        by=caller.account,
    )
    return await _body(services, deploy.id)


@noun.api.get(f"{ENVIRONMENT}/deploys", summary="List deploys")
async def list_deploys(
    services: Has,
    _caller: Viewer,
    project: KnownProject,
    environment: KnownEnvironment,
    limit: Annotated[int, Query(ge=1, le=100, description="At most this many.")] = 20,
) -> tuple[DeployBody, ...]:
    """An environment's deploys, newest first."""
    async with services.database.transaction() as session:
        found = await projects.get_environment(session, project, environment)
        records = await store.list_recent(session, {found.id: limit})
    return tuple(body_of(services, record, found) for record in records[:limit])


@noun.api.post(f"{ENVIRONMENT}/promote", status_code=202, summary="Promote a build")
async def promote(
    services: Has,
    caller: Developer,
    project: ProjectName,
    environment: EnvironmentName,
    request: PromoteRequest,
) -> DeployBody:
    """Queues a deploy of the build that is live in another environment; built again only for public variables."""
    deploy = await services.deploys.promote(
        project, environment, from_environment=request.from_environment, by=caller.account
    )
    return await _body(services, deploy.id)


@noun.api.post(f"{ENVIRONMENT}/rollback", status_code=202, summary="Roll back")
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
    return await _body(services, deploy.id)


@noun.api.post(f"{ENVIRONMENT}/redeploy", status_code=202, summary="Redeploy")
async def redeploy(
    services: Has, caller: Developer, project: KnownProject, environment: KnownEnvironment
) -> DeployBody:
    """Queues a new release of the build that is live, with the variables that the environment has now. Nothing is
    built."""
    deploy = await services.deploys.redeploy(project, environment, by=caller.account)
    return await _body(services, deploy.id)


@noun.api.post(f"{ENVIRONMENT}/restart", status_code=202, summary="Restart")
async def restart(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    request: RestartRequest,
) -> DeployBody:
    """Queues the restart of the live release's processes, one instance after the other. No request is dropped."""
    deploy = await services.deploys.restart(
        project, environment, process=request.process, by=caller.account
    )
    return await _body(services, deploy.id)


@noun.api.post(f"{ENVIRONMENT}/plan", summary="What a deploy would do")
async def plan(
    services: Has,
    _caller: Developer,
    project: ProjectName,
    environment: EnvironmentName,
    request: DeployRequest,
) -> PlanBody:
    """Compares a snapshot with what is live. Changes nothing."""
    return await services.plan(
        project,
        environment,
        request.source_digest,
        branch=request.commit.branch,
        use_cache=request.use_cache,
    )


@noun.api.get("/deploys/{deploy}", summary="One deploy")
async def get_deploy(services: Has, _caller: Viewer, deploy: DeployId) -> DeployBody:
    """One deploy with its steps and, when it failed, its error."""
    return await _body(services, deploy)


@noun.api.post("/deploys/{deploy}/cancel", status_code=202, summary="Cancel a deploy")
async def cancel_deploy(services: Has, caller: Developer, deploy: DeployId) -> DeployBody:
    """Asks a deploy to stop at whatever step it is; the step's processes are ended. After its switch it is too
    late: roll back instead."""
    cancelled = await services.deploys.cancel(deploy, by=caller.account)
    return await _body(services, cancelled.id)


async def _existing(services: Has, _caller: Viewer, deploy: DeployId) -> str:
    # Checked before the stream begins, while the answer can still be a 404.
    async with services.database.transaction() as session:
        return (await store.get(session, deploy)).id


@noun.api.get(
    "/deploys/{deploy}/events",
    summary="Follow a deploy",
    response_class=StreamingResponse,
    responses=documented(DeployEvent, "deploy", "log", "end"),
)
async def follow_deploy(
    services: Has,
    masks: HasMasks,
    _caller: Viewer,
    deploy: Annotated[str, Depends(_existing)],
    _slot: StreamSlot,
) -> StreamingResponse:
    """The deploy as it is, then every change of it and what its steps print, until it has ended.

    Events are `deploy` (the whole deploy), `log` (lines of one step) and `end` (the last one, with the deploy as it
    ended). Somebody who joins late gets the latest 256 KiB of each step's log first. Comments keep the connection
    alive.
    """
    return event_stream(follow(services, masks, deploy), services)


@dataclass(frozen=True, slots=True)
class DeployPage(Page):
    """A deploy.

    Attributes:
        may_cancel: it can still be cancelled, and by this caller.
    """

    template: ClassVar[str] = "deploys"

    deploy: DeployBody
    may_cancel: bool

    @property
    def stream(self) -> str:
        """Where its events are."""
        return f"{API_PREFIX}/deploys/{self.deploy.id}/events"

    @property
    def steps(self) -> Iterator[tuple[StepBody, str]]:
        """Every step of it, and its label."""
        return ((step, ROWS[Step(step.name)].label) for step in self.deploy.steps)


@noun.console.get("/deploys/{deploy}")
async def deploy_page(request: Request, services: Has, caller: Viewer, deploy: str) -> HTMLResponse:
    """A deploy, live."""
    record, environment = await _read(services, deploy)
    frame = frame_of(services, caller, here="overview")
    stoppable = may_cancel(record.deploy) and not record.deploy.cancel_requested
    page = DeployPage(
        body_of(services, record, environment), may_cancel=frame.may_change and stoppable
    )
    return render(request, page, frame)


@dataclass(frozen=True, slots=True)
class DeploysPanel(Panel):
    """The newest deploys of an environment."""

    template: ClassVar[str] = "deploys/panel.html"

    deploys: tuple[DeployBody, ...]


def bodies_of(shown: ShownEnvironment) -> tuple[DeployBody, ...]:
    """The environment's deploys that its page knows of: the one that is under way and the newest, newest first."""
    environment, context = shown.record.environment, shown.context
    return tuple(
        DeployBody.of(
            record,
            environment,
            context.host_names,
            steps=context.steps_of(record.deploy.kind),
            now=context.now,
            waits=context.waits,
        )
        for record in shown.record.deploys
    )


async def panel(shown: ShownEnvironment) -> DeploysPanel:
    """The panel on the environment's page."""
    return DeploysPanel(bodies_of(shown)[:MAX_SHOWN])


@noun.console.post("/projects/{project}/{environment}/promote")
async def promote_button(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    from_environment: Annotated[str, Form(max_length=63)],
) -> RedirectResponse:
    """Queue a promotion to this environment."""
    deploy = await services.deploys.promote(
        project, environment, from_environment=from_environment, by=caller.account
    )
    return see(f"/deploys/{deploy.id}")


@noun.console.post("/projects/{project}/{environment}/redeploy")
async def redeploy_button(
    services: Has, caller: Developer, project: KnownProject, environment: KnownEnvironment
) -> RedirectResponse:
    """Queue a new release of the live build, with the variables of now."""
    deploy = await services.deploys.redeploy(project, environment, by=caller.account)
    return see(f"/deploys/{deploy.id}")


@noun.console.post("/projects/{project}/{environment}/restart")
async def restart_button(
    services: Has, caller: Developer, project: KnownProject, environment: KnownEnvironment
) -> RedirectResponse:
    """Queue the restart of the live release's processes."""
    deploy = await services.deploys.restart(project, environment, by=caller.account)
    return see(f"/deploys/{deploy.id}")


@noun.console.post("/deploys/{deploy}/cancel")
async def cancel_button(services: Has, caller: Developer, deploy: str) -> RedirectResponse:
    """Cancel a deploy."""
    await services.deploys.cancel(deploy, by=caller.account)
    return see(f"/deploys/{deploy}")
