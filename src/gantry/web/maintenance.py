"""Maintenance of an environment: asked for and ended by the API, and by a button of the console."""

from fastapi.responses import RedirectResponse

from gantry.features.maintenance import (
    MESSAGE,
    MaintenanceBody,
    MaintenanceRequest,
    MaintenanceService,
)
from gantry.web.access import Developer, Viewer
from gantry.web.frame import Action, ShownEnvironment, path_of, see
from gantry.web.noun import Noun
from gantry.web.openapi import ENVIRONMENT, KnownEnvironment, KnownProject
from gantry.web.services import Has, Services

_API = f"{ENVIRONMENT}/maintenance"
_CONSOLE = "/projects/{project}/{environment}/maintenance"


def _offer(shown: ShownEnvironment) -> Action:
    """The button that opens an environment, or closes it for everybody."""
    name, path = shown.card.body.name, f"{shown.card.path}/maintenance"
    if shown.record.closed is not None:
        return Action(
            path=f"{path}/off",
            label="Open to visitors",
            icon="play",
            question=f"Open {name} to visitors?",
            text="Everybody gets the product again, within a second.",
            answer="Open",
            is_main=True,
        )
    return Action(
        path=f"{path}/on",
        label="Maintenance",
        icon="circle-pause",
        question=f"Close {name} for maintenance?",
        text=f"Visitors get a page: “{MESSAGE}” Nobody is let through; to list addresses or say more, use "
        f"gantry maintenance on -e {name}.",
        answer="Close",
        is_risky=True,
    )


noun = Noun("maintenance", "A page in place of a product, while it is worked on.", offers=_offer)


def _service(services: Services) -> MaintenanceService:
    return MaintenanceService(services.database, services.clock, services.wake)


@noun.api.get(_API, summary="Whether an environment is closed for maintenance")
async def get_maintenance(
    services: Has, _caller: Viewer, project: KnownProject, environment: KnownEnvironment
) -> MaintenanceBody:
    """What visitors get meanwhile, and who is let through."""
    return await _service(services).get(project, environment)


@noun.api.post(f"{_API}/on", summary="Close an environment for maintenance")
async def begin_maintenance(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    request: MaintenanceRequest,
) -> MaintenanceBody:
    """Visitors get a page with status 503, within a second; requests that have begun are answered by the product. On an
    environment that is closed, the message and the addresses are replaced."""
    return await _service(services).begin(project, environment, request, by=caller.account)


@noun.api.post(f"{_API}/off", summary="End the maintenance of an environment")
async def end_maintenance(
    services: Has, caller: Developer, project: KnownProject, environment: KnownEnvironment
) -> MaintenanceBody:
    """Everybody gets the product again, within a second. An environment that is open stays so."""
    return await _service(services).end(project, environment, by=caller.account)


@noun.console.post(f"{_CONSOLE}/on")
async def on_button(
    services: Has, caller: Developer, project: KnownProject, environment: KnownEnvironment
) -> RedirectResponse:
    """Close an environment to everybody."""
    await _service(services).begin(project, environment, MaintenanceRequest(), by=caller.account)
    return see(path_of(project, environment))


@noun.console.post(f"{_CONSOLE}/off")
async def off_button(
    services: Has, caller: Developer, project: KnownProject, environment: KnownEnvironment
) -> RedirectResponse:
    """Open an environment."""
    await _service(services).end(project, environment, by=caller.account)
    return see(path_of(project, environment))
