"""Rollouts: how the traffic of an environment moves, and what people ask of it."""

from typing import Annotated

from fastapi import Path

from gantry.features.rollouts.bodies import RolloutBody, WishName
from gantry.features.rollouts.model import Rollout, RolloutCommand
from gantry.web.access import Developer, Viewer
from gantry.web.api.shared import KnownEnvironment, KnownProject, area
from gantry.web.services import Has, Services
from gantry.web.views.reader import Reader
from gantry.web.views.rollouts import rollout_body

router = area("rollouts")
_ROLLOUT = "/projects/{project}/environments/{environment}/rollout"


async def _body(services: Services, rollout: Rollout) -> RolloutBody:
    async with services.state.transaction() as session:
        return await rollout_body(Reader(services, session), rollout)


@router.get(_ROLLOUT, summary="The newest rollout")
async def get_rollout(
    services: Has, _caller: Viewer, project: KnownProject, environment: KnownEnvironment
) -> RolloutBody:
    """The newest rollout of an environment, with its stages and what was said of the candidate in each."""
    return await _body(services, await services.rollouts.latest(project, environment))


@router.post(_ROLLOUT + "/{wish}", status_code=202, summary="Pause, resume, promote or abort")
async def ask_rollout(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    wish: Annotated[WishName, Path(description="What the rollout should do.")],
) -> RolloutBody:
    """`pause` keeps the shares as they are; `resume` goes on; `promote` begins the next stage now, and moves all
    traffic after the last; `abort` gives all traffic back to the current release and fails the deploy.
    """
    rollout = await services.rollouts.request(
        project, environment, RolloutCommand(wish), by=caller.account
    )
    return await _body(services, rollout)
