"""Ends an environment, or a whole project: processes, routes, services with their data, and records."""

from collections.abc import Callable
from dataclasses import dataclass

from gantry.engines.database.protocol import Session, State
from gantry.engines.runtime.protocol import Runtime
from gantry.features.audit import store as audit
from gantry.features.deploys import store as deploys
from gantry.features.instances import store as instances
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.features.services import store as services
from gantry.features.services.provide import ServiceProvider
from gantry.kernel.clock import Clock
from gantry.kernel.errors import ConflictError

_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Destroyer:
    """Destroys on request. What is shared (artifacts, snapshots) is left to retention."""

    state: State
    runtime: Runtime
    provider: ServiceProvider
    clock: Clock
    wake: Callable[[], None]

    async def destroy(self, project: str, environment: str | None, by: str) -> None:
        """Destroy one environment, or all of them and the project.

        Raises:
            NotFoundError: there is none of that name.
            ConflictError: `destroy.busy` a deploy is under way.
        """
        async with self.state.transaction() as session:
            found = await self._named(session, project, environment)
            busy = {deploy.environment for deploy in await deploys.list_open(session)}
            for item in found:
                if item.id in busy:
                    raise ConflictError(
                        "destroy.busy",
                        f"a deploy to {item.name} of {project} is under way",
                        hint="gantry cancel it first, or wait",
                    )
        for item in found:
            await self._end(item)
        async with self.state.transaction() as session:
            for item in found:
                await projects.delete_environment(session, item.id)
            if not await projects.list_environments(session, project):
                await projects.delete_project(session, project)
            await audit.record(
                session,
                at=self.clock.now(),
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

    async def _end(self, environment: Environment) -> None:
        async with self.state.transaction() as session:
            mine = {
                release.id
                for release in await releases.list_present(session)
                if release.environment == environment.id
            }
            running = tuple(
                instance
                for instance in await instances.list_all(session)
                if instance.release in mine
            )
            provided = await services.list_for_environment(session, environment.id)
            await releases.retire_all(session, environment.id, at=self.clock.now())
        self.wake()
        for instance in running:
            await self.runtime.signal(instance.id)
        await self._until_gone(tuple(instance.id for instance in running))
        await self.provider.drop(provided)

    async def _until_gone(self, process_ids: tuple[str, ...]) -> None:
        deadline_s = self.clock.monotonic_s() + _PATIENCE_S
        for process_id in process_ids:
            while await self._runs(process_id) and self.clock.monotonic_s() < deadline_s:
                await self.runtime.wait_for_exit(timeout_s=0.2)
            # Ends it if it still runs.
            await self.runtime.remove(process_id)

    async def _runs(self, process_id: str) -> bool:
        status = (await self.runtime.statuses()).get(process_id)
        return status is not None and status.state == "running"
