"""Projects and environments."""

from typing import Annotated

from fastapi import Query

from gantry.features.platform.bodies import ProjectBody
from gantry.features.projects import store
from gantry.features.releases.bodies import ReleaseBody
from gantry.kernel.errors import NotFoundError
from gantry.web.access import Owner, Viewer
from gantry.web.api.shared import KnownEnvironment, KnownProject, area
from gantry.web.services import Has
from gantry.web.views import environments
from gantry.web.views.reader import Reader

router = area("projects")


@router.get("/projects", summary="List projects")
async def list_projects(services: Has, _caller: Viewer) -> tuple[ProjectBody, ...]:
    """Every project with its environments, by name."""
    seen = await environments.look(services)
    async with services.state.transaction() as session:
        return await environments.project_bodies(Reader(services, session), seen)


@router.get("/projects/{project}", summary="One project")
async def get_project(services: Has, _caller: Viewer, project: KnownProject) -> ProjectBody:
    """One project with its environments."""
    seen = await environments.look(services)
    async with services.state.transaction() as session:
        found = await store.find_project(session, project)
        if found is None:
            raise NotFoundError(
                "project.unknown",
                f"no project named {project!r}",
                hint="gantry status lists the projects; gantry deploy creates one",
            )
        return await environments.project_body(Reader(services, session), seen, found)


@router.delete("/projects/{project}", status_code=202, summary="Destroy a project")
async def delete_project(services: Has, caller: Owner, project: KnownProject) -> None:
    """Asks for the end of every environment of the project, with its releases, variables, databases and caches.

    Visitors lose it at once; the rest takes seconds. It is done when the project is not found any more.
    """
    await services.removals.request(project, None, by=caller.account)


@router.delete(
    "/projects/{project}/environments/{environment}",
    status_code=202,
    summary="Destroy an environment",
)
async def delete_environment(
    services: Has, caller: Owner, project: KnownProject, environment: KnownEnvironment
) -> None:
    """Asks for the end of one environment, with its releases, variables, database and cache.

    Visitors lose it at once; the rest takes seconds. It is done when the environment is not found any more.
    """
    await services.removals.request(project, environment, by=caller.account)


@router.get("/projects/{project}/environments/{environment}/releases", summary="List releases")
async def list_releases(
    services: Has,
    _caller: Viewer,
    project: KnownProject,
    environment: KnownEnvironment,
    limit: Annotated[int, Query(ge=1, le=200, description="At most this many.")] = 50,
) -> tuple[ReleaseBody, ...]:
    """An environment's releases, newest first, and which of them can be rolled back to."""
    async with services.state.transaction() as session:
        found = await store.get_environment(session, project, environment)
        return await environments.release_bodies(Reader(services, session), found, limit=limit)
