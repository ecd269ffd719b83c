"""The console's buttons. Each does what the API's endpoint of the same name does, then shows the result."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse

from gantry.features.rollouts.bodies import WishName
from gantry.features.rollouts.model import RolloutCommand
from gantry.features.variables.model import LONGEST_VALUE
from gantry.web.access import Developer
from gantry.web.services import Has

router = APIRouter(include_in_schema=False, default_response_class=RedirectResponse)

_PATH = "/projects/{project}/{environment}"


def _see(path: str) -> RedirectResponse:
    return RedirectResponse(path, status_code=303)


@router.post(f"{_PATH}/rollback")
async def roll_back(
    services: Has,
    caller: Developer,
    project: str,
    environment: str,
    release: Annotated[int, Form(ge=1)],
) -> RedirectResponse:
    """Queue the return to a release."""
    deploy = await services.deploys.roll_back(
        project, environment, to_release=release, by=caller.account
    )
    services.wake()
    return _see(f"/deploys/{deploy.id}")


@router.post(f"{_PATH}/promote")
async def promote(
    services: Has,
    caller: Developer,
    project: str,
    environment: str,
    from_environment: Annotated[str, Form(max_length=63)],
) -> RedirectResponse:
    """Queue a promotion to this environment."""
    deploy = await services.deploys.promote(
        project, environment, from_environment=from_environment, by=caller.account
    )
    services.wake()
    return _see(f"/deploys/{deploy.id}")


@router.post(f"{_PATH}/rollout/{{wish}}")
async def ask_rollout(
    services: Has, caller: Developer, project: str, environment: str, wish: WishName
) -> RedirectResponse:
    """Pause, resume, promote or abort the rollout."""
    await services.rollouts.request(project, environment, RolloutCommand(wish), by=caller.account)
    return _see(f"/projects/{project}/{environment}#rollout")


@router.post(f"{_PATH}/variables/set")
async def set_variable(
    services: Has,
    caller: Developer,
    project: str,
    environment: str,
    name: Annotated[str, Form(max_length=128)],
    value: Annotated[str, Form(max_length=LONGEST_VALUE)] = "",
) -> RedirectResponse:
    """Set one variable."""
    await services.variables.change(
        project, environment, put={name.strip(): value}, remove=(), by=caller.account
    )
    return _see(f"/projects/{project}/{environment}#variables")


@router.post(f"{_PATH}/variables/unset")
async def unset_variable(
    services: Has,
    caller: Developer,
    project: str,
    environment: str,
    name: Annotated[str, Form(max_length=128)],
) -> RedirectResponse:
    """Remove one variable."""
    await services.variables.change(project, environment, put={}, remove=(name,), by=caller.account)
    return _see(f"/projects/{project}/{environment}#variables")


@router.post("/deploys/{deploy}/cancel")
async def cancel(services: Has, caller: Developer, deploy: str) -> RedirectResponse:
    """Ask a deploy to stop."""
    await services.deploys.cancel(deploy, by=caller.account)
    services.wake()
    return _see(f"/deploys/{deploy}")
