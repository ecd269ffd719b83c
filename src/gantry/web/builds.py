"""What builds of a project leave for its next ones: read, and cleared by the API and by a button of the console."""

from fastapi.responses import RedirectResponse

from gantry.features.builds.bodies import BuildCacheBody
from gantry.features.builds.service import BuildCacheService
from gantry.web.access import Developer, Viewer
from gantry.web.frame import Action, ShownEnvironment, path_of, see
from gantry.web.noun import Noun
from gantry.web.openapi import KnownEnvironment, KnownProject
from gantry.web.services import Has, Services

_API = "/projects/{project}/build-cache"


def _offer(shown: ShownEnvironment) -> Action:
    """The button that makes the next deploy build from nothing."""
    project = shown.card.body.project
    return Action(
        path=f"{shown.card.path}/build-cache/clear",
        label="Clear build cache",
        icon="trash-2",
        question=f"Clear the build cache of {project}?",
        text="Installed packages, downloads and what the framework keeps between builds are deleted, for all environments. "
        "The next deploy takes longer: it builds anew, also a tree that was built before. What is live stays live.",
        answer="Clear",
    )


noun = Noun(
    "builds", "What builds of a project leave for its next ones: the build cache.", offers=_offer
)


def _service(services: Services) -> BuildCacheService:
    return BuildCacheService(services.database, services.workshop, services.clock, services.ids)


@noun.api.get(_API, summary="Size of the build cache")
async def get_build_cache(services: Has, _caller: Viewer, project: KnownProject) -> BuildCacheBody:
    """How much is kept from a project's builds for its next ones."""
    return await _service(services).get(project)


@noun.api.post(f"{_API}/clear", summary="Clear the build cache")
async def clear_build_cache(
    services: Has, caller: Developer, project: KnownProject
) -> BuildCacheBody:
    """Deletes what is kept from a project's builds, and says how many bytes that were. The next deploy builds anew, also
    a tree that was built before. Refused while a deploy of the project builds."""
    return await _service(services).clear(project, by=caller.account)


@noun.console.post("/projects/{project}/{environment}/build-cache/clear")
async def clear_button(
    services: Has, caller: Developer, project: KnownProject, environment: KnownEnvironment
) -> RedirectResponse:
    """Clear it."""
    await _service(services).clear(project, by=caller.account)
    return see(path_of(project, environment))
