"""Act: starts detached runs, ends those that nobody holds any more, and records how each ended."""

import logging
from dataclasses import dataclass

from gantry.engines.database.protocol import Database
from gantry.engines.runtime.protocol import Runtime
from gantry.features.runs import store
from gantry.features.runs.launching import RunLauncher
from gantry.features.runs.model import Run
from gantry.features.runs.rules import Action, End, Kill, Start, Terminate, decide, readable
from gantry.features.runs.service import RunService
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError, TransientError

INTERVAL_S = 2.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunKeeper:
    """Keeps runs as they should be. Effects come before records, and each may be repeated."""

    database: Database
    runtime: Runtime
    launcher: RunLauncher
    service: RunService
    clock: Clock

    async def once(self) -> None:
        """One round."""
        async with self.database.transaction() as session:
            runs = await store.list_open(session)
        if not runs:
            return
        statuses = await self.runtime.statuses()
        for step in decide(runs, statuses, self.service.held, self.clock.now()):
            await self._carry_out(step)

    async def _carry_out(self, step: Action) -> None:
        match step:
            case Start(run):
                await self._start(run)
            case Terminate(run, reason):
                await self.runtime.signal(run.process_id)
                async with self.database.transaction() as session:
                    await store.set_stopping(session, run.id, reason=reason, at=self.clock.now())
            case Kill(run):
                await self.runtime.signal(run.process_id, kill=True)
            case End():
                await self.service.record_end(step)

    async def _start(self, run: Run) -> None:
        assert run.argv_sealed is not None, "kept until it was started"
        argv = self.launcher.opened(run.argv_sealed)
        try:
            spec = await self.launcher.spec(run, argv)
            await self.runtime.start(spec)
        except TransientError as error:
            _log.warning("%s: %s; it is tried again", run.id, error)
            return
        except GantryError as error:
            told = readable(error, run, argv)
            await self.service.record_end(End(run, None, told.message))
            return
        async with self.database.transaction() as session:
            await store.set_running(session, run.id, at=self.clock.now())
