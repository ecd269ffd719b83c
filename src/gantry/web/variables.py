"""Variables of environments. Values go in and never come out."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from gantry.config.load import MANIFEST
from gantry.config.manifest import Manifest
from gantry.features.deploys.gates import Entry, missing_variables
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
from gantry.features.variables.rules import Known, Standing, is_pending, standings
from gantry.web.access import Developer, Viewer
from gantry.web.frame import EnvironmentCard, Page, Panel, ShownEnvironment, frame_of, path_of, see
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

noun = Noun(
    "variables",
    "Configuration values of environments.",
    marks={
        "missing": Mark("Missing", "bad", "circle-x"),
        "pending": Mark("Not live yet", "warn", "clock"),
        "removed": Mark("Removed, still live", "warn", "clock"),
        "set": Mark("Set", "good", "circle-check"),
        "provided": Mark("Provided", "quiet", "circle-dot"),
    },
)

_API = f"{ENVIRONMENT}/variables"
_CONSOLE = "/projects/{project}/{environment}/variables"
_PART = "/variables"


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
    given = {variable.name for variable in listed}
    sources = {name: by for name, by in _provided_by(manifest).items() if name not in given}
    return tuple(ProvidedBody(name=name, source=sources[name]) for name in sorted(sources))


def _provided_by(manifest: Manifest) -> dict[str, str]:
    """Name -> what provides it unless somebody sets it: `gantry.toml`, or a service."""
    sources = {
        name: kind.value
        for kind in wanted_kinds(manifest.services)
        for name in variables_of(kind, manifest.services)
    }
    return sources | dict.fromkeys(manifest.variables.plain, MANIFEST)


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
        if live is not None and is_pending(variable, live.release.created_at)
    ]
    return VariablesPanel(
        shown.card, tuple(VariableBody.of(variable) for variable in listed), tuple(unapplied)
    )


@dataclass(frozen=True, slots=True)
class VariablesPage(Page):
    """Every variable of an environment, by what there is to do about it. No value is read for it.

    Attributes:
        live_number: of the release that is live; `None` while nothing is.
    """

    template: ClassVar[str] = "variables"

    project: str
    environment: str
    path: str
    live_number: int | None
    variables: tuple[Standing, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names that must be set before a release can go live."""
        return tuple(item.name for item in self.variables if item.state == "missing")

    @property
    def changed(self) -> tuple[str, ...]:
        """Names whose value, or absence, the live release does not know of."""
        return tuple(item.name for item in self.variables if item.state in ("pending", "removed"))


@noun.console.get(_CONSOLE)
async def variables_page(
    request: Request,
    services: Has,
    caller: Viewer,
    project: KnownProject,
    environment: KnownEnvironment,
) -> HTMLResponse:
    """The variables of an environment, live."""
    page = await _page(services, project, environment)
    return render(request, page, frame_of(services, caller, here="overview"))


async def _page(services: Services, project: str, environment: str) -> VariablesPage:
    async with services.database.transaction() as session:
        found = await projects.get_environment(session, project, environment)
        listed = await store.list_variables(session, found.id)
        live, has = None, frozenset[str]()
        if found.live_release is not None:
            live = await releases.get(session, found.live_release)
            sealed = await releases.variables_sealed(session, live.id)
            has = frozenset(services.variables.open_all(sealed))
    names = frozenset(variable.name for variable in listed)
    known = None
    if live is not None:
        manifest = manifest_of(live)
        entry = Entry(found, manifest, services.host_names, variables=names)
        committed = dict.fromkeys(manifest.committed, "a committed .env")
        required = frozenset(manifest.variables.required)
        known = Known(
            live.created_at,
            has,
            required,
            missing_variables(entry),
            {name: by for name, by in committed.items() if name in required}
            | _provided_by(manifest),
        )
    return VariablesPage(
        project=project,
        environment=environment,
        path=path_of(project, environment),
        live_number=live.number if live is not None else None,
        variables=standings(listed, known),
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
    return see(path_of(project, environment, _PART))


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
    return see(path_of(project, environment, _PART))
