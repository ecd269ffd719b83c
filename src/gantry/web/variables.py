"""Variables of environments. Values go in and never come out."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import Form
from fastapi.responses import RedirectResponse

from gantry.features.projects import store as projects
from gantry.features.variables import store
from gantry.features.variables.bodies import VariableBody, VariablesRequest
from gantry.features.variables.model import MAX_VALUE_CHARACTERS
from gantry.web.access import Developer, Viewer
from gantry.web.frame import EnvironmentCard, Panel, ShownEnvironment, path_of, see
from gantry.web.noun import Noun
from gantry.web.openapi import (
    ENVIRONMENT,
    EnvironmentName,
    KnownEnvironment,
    KnownProject,
    ProjectName,
)
from gantry.web.services import Has

noun = Noun("variables", "Configuration values of environments.")

_API = f"{ENVIRONMENT}/variables"
_CONSOLE = "/projects/{project}/{environment}/variables"


@noun.api.get(_API, summary="List variables")
async def list_variables(
    services: Has, _caller: Viewer, project: KnownProject, environment: KnownEnvironment
) -> tuple[VariableBody, ...]:
    """Names, and who set them when. Values are never sent back."""
    async with services.database.transaction() as session:
        found = await projects.get_environment(session, project, environment)
        listed = await store.list_variables(session, found.id)
    return tuple(VariableBody.of(variable) for variable in listed)


@noun.api.patch(_API, summary="Set and remove variables")
async def change_variables(
    services: Has,
    caller: Developer,
    project: ProjectName,
    environment: EnvironmentName,
    request: VariablesRequest,
) -> tuple[VariableBody, ...]:
    """Sets and removes variables, all or none; answers with those that are left. They take effect with the next
    release."""
    left = await services.variables.change(
        project, environment, put=request.set, remove=request.unset, by=caller.account
    )
    return tuple(VariableBody.of(variable) for variable in left)


@dataclass(frozen=True, slots=True)
class VariablesPanel(Panel):
    """The variables of an environment."""

    template: ClassVar[str] = "variables/panel.html"

    card: EnvironmentCard
    variables: tuple[VariableBody, ...]


async def panel(shown: ShownEnvironment) -> VariablesPanel:
    """The panel on the environment's page."""
    listed = await store.list_variables(shown.session, shown.record.environment.id)
    return VariablesPanel(shown.card, tuple(VariableBody.of(variable) for variable in listed))


@noun.console.post(f"{_CONSOLE}/set")
async def set_button(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    name: Annotated[str, Form(max_length=128)],
    value: Annotated[str, Form(max_length=MAX_VALUE_CHARACTERS)] = "",
) -> RedirectResponse:
    """Set one variable."""
    await services.variables.change(
        project, environment, put={name.strip(): value}, remove=(), by=caller.account
    )
    return see(path_of(project, environment, "#variables"))


@noun.console.post(f"{_CONSOLE}/unset")
async def unset_button(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    name: Annotated[str, Form(max_length=128)],
) -> RedirectResponse:
    """Remove one variable."""
    await services.variables.change(project, environment, put={}, remove=(name,), by=caller.account)
    return see(path_of(project, environment, "#variables"))
