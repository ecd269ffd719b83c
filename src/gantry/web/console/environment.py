"""The page of an environment, and its logs."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from gantry.features.deploys import store as deploys
from gantry.features.deploys.bodies import DeployBody
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases.bodies import ReleaseBody
from gantry.features.rollouts import store as rollouts
from gantry.features.rollouts.bodies import RolloutBody
from gantry.features.variables import store as variables
from gantry.features.variables.bodies import VariableBody
from gantry.kernel.errors import NotFoundError
from gantry.kernel.names import API_PREFIX
from gantry.web.access import Viewer
from gantry.web.console.cache import CachePanel
from gantry.web.console.contexts import EnvironmentCard, EnvironmentPage, LogsPage, Promotion
from gantry.web.console.frame import card_of, frame_of, in_order
from gantry.web.console.render import render
from gantry.web.console.rollout import RolloutPanel
from gantry.web.services import Has, Services
from gantry.web.views import environments
from gantry.web.views.deploys import deploy_body
from gantry.web.views.reader import Reader
from gantry.web.views.rollouts import rollout_body
from gantry.web.views.variables import variable_bodies

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_RELEASES, _DEPLOYS = 25, 10
_SHOWN_AFTER_FAILURE = timedelta(hours=1)


@router.get("/projects/{project}")
async def project_page(services: Has, _caller: Viewer, project: str) -> RedirectResponse:
    """The project's first environment: production once it exists."""
    async with services.state.transaction() as session:
        found = await projects.list_environments(session, project)
    if not found:
        raise NotFoundError(
            "project.unknown", f"no project named {project!r}", hint="gantry status"
        )
    return RedirectResponse(f"/projects/{project}/{found[0].name}", status_code=303)


@router.get("/projects/{project}/{environment}")
async def environment_page(
    request: Request, services: Has, caller: Viewer, project: str, environment: str
) -> HTMLResponse:
    """One environment."""
    page = await read_page(services, project, environment)
    return render(request, "environment", page, frame_of(services, caller, here="overview"))


@router.get("/projects/{project}/{environment}/logs")
async def logs_page(
    request: Request, services: Has, caller: Viewer, project: str, environment: str
) -> HTMLResponse:
    """The environment's logs, live."""
    seen = await environments.look(services)
    async with services.state.transaction() as session:
        found = await projects.get_environment(session, project, environment)
        body = await environments.environment_body(Reader(services, session), seen, found)
    stream = (
        f"{API_PREFIX}/projects/{found.project}/environments/{found.name}/logs?follow=true&tail=500"
    )
    page = LogsPage(card_of(body), stream)
    return render(request, "logs", page, frame_of(services, caller, here="overview"))


@dataclass(frozen=True, slots=True)
class _Read:
    cards: tuple[EnvironmentCard, ...]
    releases: tuple[ReleaseBody, ...]
    deploys: tuple[DeployBody, ...]
    variables: tuple[VariableBody, ...]
    rollout: RolloutBody | None


async def read_page(services: Services, project: str, environment: str) -> EnvironmentPage:
    """Everything that the page shows, from one transaction."""
    seen = await environments.look(services)
    async with services.state.transaction() as session:
        reader = Reader(services, session)
        found = await projects.get_environment(session, project, environment)
        read = await _read(reader, seen, found)
    card = next(card for card in read.cards if card.body.name == environment)
    return EnvironmentPage(
        card=card,
        tabs=read.cards,
        instances=card.body.instances,
        releases=read.releases,
        deploys=read.deploys,
        deploy=_under_way(read.deploys),
        rollback=_rollback(read.releases),
        promotion=_promotion(card, read.cards),
        variables=read.variables,
        rollout=_rollout(read.rollout, services.clock.now()),
        cache=CachePanel(card.body.cache, card.body.name) if card.body.cache else None,
    )


async def _read(reader: Reader, seen: environments.Seen, found: Environment) -> _Read:
    siblings = [each for each in await reader.environments() if each.project == found.project]
    bodies = [await environments.environment_body(reader, seen, each) for each in siblings]
    recent = await deploys.list_for_environment(reader.session, found.id, limit=_DEPLOYS)
    listed = await variables.list_variables(reader.session, found.id)
    newest = await rollouts.latest(reader.session, found.id)
    return _Read(
        cards=in_order(bodies),
        releases=await environments.release_bodies(reader, found, limit=_RELEASES),
        deploys=tuple([await deploy_body(reader, each) for each in recent]),
        variables=variable_bodies(listed),
        rollout=await rollout_body(reader, newest) if newest is not None else None,
    )


def _rollout(body: RolloutBody | None, now: datetime) -> RolloutPanel | None:
    """Shown while it goes on; one that was taken back also for a while after, because somebody will ask why."""
    if body is None or body.state == "passed":
        return None
    if body.ended_at is not None and now - body.ended_at > _SHOWN_AFTER_FAILURE:
        return None
    return RolloutPanel(body)


def _under_way(recent: tuple[DeployBody, ...]) -> DeployBody | None:
    waiting = [each for each in recent if each.state in ("active", "queued")]
    return min(waiting, key=lambda each: (each.state != "active", each.requested_at), default=None)


def _rollback(releases: tuple[ReleaseBody, ...]) -> ReleaseBody | None:
    """The release that was live last before the present one."""
    possible = [each for each in releases if each.can_roll_back_to and each.left_at is not None]
    return max(possible, key=lambda each: each.left_at or each.created_at, default=None)


def _promotion(card: EnvironmentCard, tabs: tuple[EnvironmentCard, ...]) -> Promotion | None:
    """From staging to production, shown on both pages while their builds differ."""
    live = {each.body.name: each.body.live for each in tabs}
    staged, produced = live.get("staging"), live.get("production")
    if staged is None or card.body.name == "development":
        return None
    if produced is not None and produced.build == staged.build:
        return None
    return Promotion("staging", "production", staged)
