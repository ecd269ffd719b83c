"""Projects and their environments: read and destroyed."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from gantry.features.platform import store
from gantry.features.platform.bodies import ProjectBody
from gantry.features.projects import store as projects
from gantry.web.access import Owner, Viewer
from gantry.web.frame import Page, frame_of, path_of, see
from gantry.web.noun import Noun
from gantry.web.openapi import ENVIRONMENT, KnownEnvironment, KnownProject
from gantry.web.render import render
from gantry.web.services import Has, Services

noun = Noun("projects", "Projects, their environments and releases.")


async def _bodies(services: Services, name: str | None = None) -> tuple[ProjectBody, ...]:
    context = await services.context()
    async with services.database.transaction() as session:
        found = await store.list_projects(session, name, closed_by=services.closed_by)
    return tuple(ProjectBody.of(project, context) for project in found)


@noun.api.get("/projects", summary="List projects")
async def list_projects(services: Has, _caller: Viewer) -> tuple[ProjectBody, ...]:
    """Every project with its environments, by name."""
    return await _bodies(services)


@noun.api.get("/projects/{project}", summary="One project")
async def get_project(services: Has, _caller: Viewer, project: KnownProject) -> ProjectBody:
    """One project with its environments."""
    found = await _bodies(services, project)
    if not found:
        raise projects.no_project(project)
    return found[0]


@noun.api.delete("/projects/{project}", status_code=202, summary="Destroy a project")
async def delete_project(services: Has, caller: Owner, project: KnownProject) -> None:
    """Asks for the end of every environment of the project, with its releases, variables, databases and caches.

    Visitors lose it at once; the rest takes seconds. It is done when the project is not found any more.
    """
    await services.removals.request(project, None, by=caller.account)


@noun.api.delete(ENVIRONMENT, status_code=202, summary="Destroy an environment")
async def delete_environment(
    services: Has, caller: Owner, project: KnownProject, environment: KnownEnvironment
) -> None:
    """Asks for the end of one environment, with its releases, variables, database and cache.

    Visitors lose it at once; the rest takes seconds. It is done when the environment is not found any more.
    """
    await services.removals.request(project, environment, by=caller.account)


@dataclass(frozen=True, slots=True)
class DestroyPage(Page):
    """Asks for the name of an environment before it is destroyed.

    Attributes:
        name: what is to be typed: `shop/staging`.
        live: number of the release that visitors get now; `None` for none.
        refused: what was typed was another name.
    """

    template: ClassVar[str] = "projects"
    refreshes: ClassVar[bool] = False

    project: str
    environment: str
    path: str
    name: str
    live: int | None
    services: tuple[str, ...]
    refused: bool = False


async def _destroy_page(
    services: Services, project: str, environment: str, *, refused: bool = False
) -> DestroyPage:
    bodies = await _bodies(services, project)
    if not bodies:
        raise projects.no_project(project)
    found = next((item for item in bodies[0].environments if item.name == environment), None)
    if found is None:
        raise projects.no_environment(project, environment)
    live = found.live
    return DestroyPage(
        project=project,
        environment=environment,
        path=path_of(project, environment),
        name=f"{project}/{environment}",
        live=live.number if live else None,
        services=found.services,
        refused=refused,
    )


@noun.console.get("/projects/{project}/{environment}/destroy")
async def destroy_page(
    request: Request,
    services: Has,
    caller: Owner,
    project: KnownProject,
    environment: KnownEnvironment,
) -> HTMLResponse:
    """What would be lost, and a field for the name."""
    page = await _destroy_page(services, project, environment)
    return render(request, page, frame_of(services, caller, here="overview"))


@noun.console.post("/projects/{project}/{environment}/destroy")
async def destroy_button(
    request: Request,
    services: Has,
    caller: Owner,
    project: KnownProject,
    environment: KnownEnvironment,
    name: Annotated[str, Form(max_length=200)],
) -> Response:
    """Destroy an environment whose name was typed; otherwise ask again."""
    if name.strip() != f"{project}/{environment}":
        page = await _destroy_page(services, project, environment, refused=True)
        return render(request, page, frame_of(services, caller, here="overview"), status=400)
    await services.removals.request(project, environment, by=caller.account)
    return see("/")


@noun.console.get("/projects/{project}")
async def project_page(services: Has, _caller: Viewer, project: KnownProject) -> RedirectResponse:
    """The project's first environment: production once it exists."""
    async with services.database.transaction() as session:
        found = await projects.list_environments(session, project)
    if not found:
        raise projects.no_project(project)
    return see(path_of(project, found[0].name))
