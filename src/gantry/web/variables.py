"""Variables of environments. Values go in and never come out."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import Form, Query
from fastapi.responses import RedirectResponse

from gantry.config.load import MANIFEST
from gantry.features.projects import store as projects
from gantry.features.releases import store as releases
from gantry.features.releases.reading import manifest_of
from gantry.features.services.model import variables_of, wanted_kinds
from gantry.features.variables import store
from gantry.features.variables.bodies import (
    CopyRequest,
    DifferenceBody,
    ProvidedBody,
    VariableBody,
    VariablesRequest,
)
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


@noun.api.get(f"{_API}/provided", summary="List variables that nobody set")
async def list_provided(
    services: Has, _caller: Viewer, project: KnownProject, environment: KnownEnvironment
) -> tuple[ProvidedBody, ...]:
    """Names of the variables that the live release has from `gantry.toml` and from its services, and from which. A variable
    that is set for the environment wins over them, and is not among them."""
    async with services.database.transaction() as session:
        found = await projects.get_environment(session, project, environment)
        if found.live_release is None:
            return ()
        manifest = manifest_of(await releases.get(session, found.live_release))
        listed = await store.list_variables(session, found.id)
    sources = {
        name: kind.value
        for kind in wanted_kinds(manifest.services)
        for name in variables_of(kind, manifest.services)
    }
    sources |= dict.fromkeys(manifest.variables.plain, MANIFEST)
    for variable in listed:
        sources.pop(variable.name, None)
    return tuple(ProvidedBody(name=name, source=sources[name]) for name in sorted(sources))


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


@noun.api.post(f"{_API}/copy", summary="Copy variables")
async def copy_variables(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: EnvironmentName,
    request: CopyRequest,
) -> tuple[VariableBody, ...]:
    """Sets variables to what they are in another environment; answers with all that there are afterwards. Values are
    never sent."""
    left = await services.variables.copy(
        project,
        environment,
        from_environment=request.from_environment,
        names=request.names,
        by=caller.account,
    )
    return tuple(VariableBody.of(variable) for variable in left)


@noun.api.get(f"{_API}/diff", summary="Compare variables")
async def diff_variables(
    services: Has,
    _caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    other: Annotated[str, Query(max_length=63, description="The environment to compare with.")],
) -> tuple[DifferenceBody, ...]:
    """Names of both environments, and whether their values are equal. Values are never sent."""
    found = await services.variables.differences(project, environment, other)
    return tuple(DifferenceBody(name=name, state=state) for name, state in found.items())


@dataclass(frozen=True, slots=True)
class VariablesPanel(Panel):
    """The variables of an environment.

    Attributes:
        unapplied: names of those that were set after the live release was made: it does not have them.
    """

    template: ClassVar[str] = "variables/panel.html"

    card: EnvironmentCard
    variables: tuple[VariableBody, ...]
    unapplied: tuple[str, ...]


async def panel(shown: ShownEnvironment) -> VariablesPanel:
    """The panel on the environment's page."""
    listed = await store.list_variables(shown.session, shown.record.environment.id)
    live = shown.record.live
    unapplied = [
        variable.name
        for variable in listed
        if live is not None and variable.updated_at > live.release.created_at
    ]
    return VariablesPanel(
        shown.card, tuple(VariableBody.of(variable) for variable in listed), tuple(unapplied)
    )


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
