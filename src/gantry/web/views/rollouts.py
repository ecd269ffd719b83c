"""Reads what the bodies of rollouts are made of."""

from gantry.features.projects.model import Environment
from gantry.features.rollouts import store
from gantry.features.rollouts.bodies import CandidateBody, RolloutBody
from gantry.features.rollouts.model import Rollout
from gantry.web.views.reader import Reader


async def rollout_body(reader: Reader, rollout: Rollout) -> RolloutBody:
    """A rollout with its stages."""
    environment = await reader.environment(rollout.environment)
    releases = await reader.release(rollout.candidate), await reader.release(rollout.current)
    records = await store.list_stages(reader.session, rollout.id)
    return RolloutBody.of(rollout, records, environment, releases, reader.now)


async def candidate_body(reader: Reader, environment: Environment) -> CandidateBody | None:
    """The candidate of an environment's open rollout, with what it gets."""
    rollout = await reader.rollout(environment)
    stage = rollout.present if rollout is not None else None
    if rollout is None or stage is None:
        return None
    return CandidateBody.of(rollout, stage, (await reader.release(rollout.candidate)).number)
