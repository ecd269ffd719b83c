"""What may be asked of the end of environments and projects. Each call checks, records the intent, and returns."""

from collections.abc import Callable
from dataclasses import dataclass

from gantry.engines.database.protocol import Database, Session
from gantry.features.audit import store as audit
from gantry.features.deploys import store as deploys
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.kernel.clock import Clock
from gantry.kernel.errors import ConflictError


@dataclass(frozen=True, slots=True)
class RemovalService:
    """Requests to end environments.

    Attributes:
        wake: tells the reactor that there is something to do.
    """

    database: Database
    clock: Clock
    wake: Callable[[], None]

    async def request(self, project: str, environment: str | None, *, by: str) -> None:
        """Ask for the end of one environment, or of all of them and the project. Visitors lose it at once.

        Raises:
            NotFoundError: there is none of that name.
            ConflictError: `destroy.busy` a deploy is under way.
        """
        now = self.clock.now()
        async with self.database.transaction() as session:
            targets = await self._named(session, project, environment)
            await self._refuse_while_deploying(session, targets)
            for target in targets:
                await projects.request_removal(session, target.id, at=now, by=by)
                await releases.retire_all(session, target.id, at=now)
            if not targets:
                await projects.delete_project(session, project)
            await audit.record(
                session,
                at=now,
                actor=by,
                action="destroy",
                target=f"{project}/{environment or '*'}",
            )
        self.wake()

    async def _named(
        self, session: Session, project: str, environment: str | None
    ) -> tuple[Environment, ...]:
        if environment is not None:
            return (await projects.get_environment(session, project, environment),)
        if await projects.find_project(session, project) is None:
            raise projects.no_project(project)
        return await projects.list_environments(session, project)

    async def _refuse_while_deploying(
        self, session: Session, targets: tuple[Environment, ...]
    ) -> None:
        for target in targets:
            # Nobody queues a deploy to it before this transaction has ended.
            await projects.lock_environment(session, target.id)
        busy = {deploy.environment for deploy in await deploys.list_open(session)}
        for target in targets:
            if target.id in busy:
                raise ConflictError(
                    "destroy.busy",
                    f"a deploy to {target.name} of {target.project} is under way",
                    hint="gantry cancel it first, or wait",
                )
