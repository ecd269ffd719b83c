"""Variables of environments. Values go in and never come out."""

from gantry.features.projects import store as projects
from gantry.features.variables import store
from gantry.features.variables.bodies import VariableBody, VariablesRequest
from gantry.web.access import Developer, Viewer
from gantry.web.api.shared import EnvironmentName, KnownEnvironment, KnownProject, ProjectName, area
from gantry.web.services import Has
from gantry.web.views.variables import variable_bodies

router = area("variables")
_PATH = "/projects/{project}/environments/{environment}/variables"


@router.get(_PATH, summary="List variables")
async def list_variables(
    services: Has, _caller: Viewer, project: KnownProject, environment: KnownEnvironment
) -> tuple[VariableBody, ...]:
    """Names, and who set them when. Values are never sent back."""
    async with services.state.transaction() as session:
        found = await projects.get_environment(session, project, environment)
        return variable_bodies(await store.list_variables(session, found.id))


@router.patch(_PATH, summary="Set and remove variables")
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
    return variable_bodies(left)
