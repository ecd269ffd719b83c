"""Projects and their environments: read and destroyed."""

from fastapi.responses import RedirectResponse

from gantry.features.platform import store
from gantry.features.platform.bodies import ProjectBody
from gantry.features.projects import store as projects
from gantry.web.access import Owner, Viewer
from gantry.web.frame import path_of, see
from gantry.web.noun import Noun
from gantry.web.openapi import ENVIRONMENT, KnownEnvironment, KnownProject
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


@noun.console.get("/projects/{project}")
async def project_page(services: Has, _caller: Viewer, project: KnownProject) -> RedirectResponse:
    """The project's first environment: production once it exists."""
    async with services.database.transaction() as session:
        found = await projects.list_environments(session, project)
    if not found:
        raise projects.no_project(project)
    return see(path_of(project, found[0].name))
