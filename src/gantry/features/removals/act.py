"""Carries removals out: processes, services with their data, build caches, and records. What is shared is left to retention."""

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass

from gantry.engines.builders.protocol import Workshop
from gantry.engines.database.protocol import Database
from gantry.engines.runtime.protocol import Runtime
from gantry.features.instances.ending import end_process
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.removals.rules import ObservedRemoval, Removal
from gantry.features.services import store as services
from gantry.features.services.provide import ServiceProvider
from gantry.kernel.clock import Clock

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RemovalExecutor:
    """Ends environments. Each effect may be repeated, and the record goes last."""

    database: Database
    runtime: Runtime
    workshop: Workshop
    provider: ServiceProvider
    clock: Clock

    async def carry_out(
        self, environment: Environment, observed: ObservedRemoval, removal: Removal
    ) -> None:
        """Carry out one effect.

        Raises:
            TransientError: to be tried again.
        """
        match removal:
            case Removal.STOP_COMMANDS:
                await self._stop(observed.commands)
            case Removal.DELETE:
                await self._delete(environment)

    async def _stop(self, process_ids: Collection[str]) -> None:
        await asyncio.gather(
            *(end_process(self.runtime, self.clock, process_id) for process_id in process_ids)
        )

    async def _delete(self, environment: Environment) -> None:
        async with self.database.transaction() as session:
            provided = await services.list_for_environment(session, environment.id)
            known = await projects.list_environments(session, environment.project)
        await self.provider.drop(provided)
        if (
            len(known) == 1
        ):  # the project goes with it, and nobody would ever clear what its builds have left
            await self.workshop.clear_cache(environment.project)
        async with self.database.transaction() as session:
            await projects.delete_environment(session, environment.id)
            if not await projects.list_environments(session, environment.project):
                await projects.delete_project(session, environment.project)
        _log.info("%s of %s is destroyed", environment.name, environment.project)
