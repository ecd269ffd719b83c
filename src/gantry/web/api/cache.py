"""What the edge keeps of an environment."""

from gantry.features.routes.bodies import PurgeBody, PurgeRequest
from gantry.web.access import Developer
from gantry.web.api.shared import KnownEnvironment, KnownProject, area
from gantry.web.services import Has

router = area("cache")


@router.post("/projects/{project}/environments/{environment}/purge", summary="Empty the cache")
async def purge(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    request: PurgeRequest,
) -> PurgeBody:
    """Forget kept answers, by path or by tag; without either all of the environment. What is on its way is not kept."""
    purged = await services.purging.purge(
        project, environment, paths=request.paths, tags=request.tags, by=caller.account
    )
    return PurgeBody(project=project, environment=environment, purged=purged)
