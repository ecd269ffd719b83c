"""What may be asked of a rollout. Each call checks, records the wish, and returns; the reactor does the rest."""

from dataclasses import dataclass

from gantry.engines.database.protocol import State
from gantry.features.audit import store as audit
from gantry.features.projects import store as projects
from gantry.features.rollouts import store
from gantry.features.rollouts.model import Rollout, RolloutState, Wish
from gantry.kernel.clock import Clock
from gantry.kernel.errors import ConflictError, NotFoundError

_STANDING = (RolloutState.PAUSED, RolloutState.WAITING)


@dataclass(frozen=True, slots=True)
class RolloutService:
    """Wishes of people."""

    state: State
    clock: Clock

    async def latest(self, project: str, environment: str) -> Rollout:
        """The newest rollout of an environment, ended or not.

        Raises:
            NotFoundError: `rollout.none`.
        """
        async with self.state.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            found = await store.latest(session, target.id)
        if found is None:
            raise NotFoundError(
                "rollout.none",
                f"{environment} of {project} has had no rollout",
                hint='set [deploy] strategy = "canary" in gantry.toml',
            )
        return found

    async def ask(self, project: str, environment: str, wish: Wish, *, by: str) -> Rollout:
        """Record a wish.

        Raises:
            NotFoundError: `rollout.none`.
            ConflictError: `rollout.ended`, `rollout.aborting`; `rollout.not-paused` there is nothing to resume; `rollout.paused` already.
        """
        rollout = await self.latest(project, environment)
        if wish is Wish.RESUME and rollout.state not in _STANDING:
            raise ConflictError(
                "rollout.not-paused",
                f"the rollout is {rollout.state}",
                hint="gantry rollout status",
            )
        if wish is Wish.PAUSE and rollout.state in _STANDING:
            raise ConflictError(
                "rollout.paused",
                f"the rollout stands already: {rollout.state}",
                hint="gantry rollout resume, or gantry rollout promote",
            )
        async with self.state.transaction() as session:
            await store.set_wish(session, rollout, wish)
            await audit.record(
                session,
                at=self.clock.now(),
                actor=by,
                action=f"rollout.{wish}",
                target=f"{project}/{environment}",
                details={"rollout": rollout.id, "stage": rollout.stage},
            )
            return await store.get(session, rollout.id)
