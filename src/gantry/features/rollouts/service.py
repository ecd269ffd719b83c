"""Commands to a rollout. Each is checked and recorded, and the call returns; the reactor carries it out."""

from collections.abc import Callable
from dataclasses import dataclass

from gantry.engines.database.protocol import Database
from gantry.features.audit import store as audit
from gantry.features.projects import store as projects
from gantry.features.rollouts import store
from gantry.features.rollouts.model import Rollout, RolloutCommand, RolloutState
from gantry.kernel.clock import Clock
from gantry.kernel.errors import ConflictError, NotFoundError

_PAUSED = (RolloutState.PAUSED, RolloutState.WAITING)


@dataclass(frozen=True, slots=True)
class RolloutService:
    """Reads rollouts, and takes commands to them.

    Attributes:
        wake: called when there is a command to carry out.
    """

    database: Database
    clock: Clock
    wake: Callable[[], None]

    async def latest(self, project: str, environment: str) -> Rollout:
        """The newest rollout of an environment, ended or not.

        Raises:
            NotFoundError: `rollout.none`.
        """
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            found = await store.latest(session, target.id)
        if found is None:
            raise NotFoundError(
                "rollout.none",
                f"{environment} of {project} has had no rollout",
                hint='set [deploy] strategy = "canary" in gantry.toml',
            )
        return found

    async def request(
        self, project: str, environment: str, command: RolloutCommand, *, by: str
    ) -> Rollout:
        """Record a command for the reactor.

        Raises:
            NotFoundError: `rollout.none`.
            ConflictError: `rollout.ended`, `rollout.aborting`; `rollout.not-paused` there is nothing to resume; `rollout.paused` already.
        """
        rollout = await self.latest(project, environment)
        if command is RolloutCommand.RESUME and rollout.state not in _PAUSED:
            raise ConflictError(
                "rollout.not-paused",
                f"the rollout is {rollout.state}",
                hint="gantry rollout status",
            )
        if command is RolloutCommand.PAUSE and rollout.state in _PAUSED:
            raise ConflictError(
                "rollout.paused",
                f"the rollout is already {rollout.state}",
                hint="gantry rollout resume, or gantry rollout promote",
            )
        async with self.database.transaction() as session:
            await store.request(session, rollout, command)
            await audit.record(
                session,
                at=self.clock.now(),
                actor=by,
                action=f"rollout.{command}",
                target=f"{project}/{environment}",
                details={"rollout": rollout.id, "stage": rollout.stage},
            )
            rollout = await store.get(session, rollout.id)
        self.wake()
        return rollout
