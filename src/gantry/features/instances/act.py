"""Carries out the steps that keep instances as they should be."""

import logging
from dataclasses import dataclass
from typing import assert_never

from gantry.engines.database.protocol import Database
from gantry.engines.runtime.protocol import ProcessSpec, Runtime
from gantry.features.instances import rules, store
from gantry.features.instances.launching import Launcher
from gantry.features.instances.model import Health, Instance
from gantry.features.instances.ports import PortPicker
from gantry.kernel.clock import Clock
from gantry.kernel.errors import ConflictError, TransientError
from gantry.kernel.ids import IdSource

_log = logging.getLogger(__name__)
_PORT_TRIES = 20


@dataclass(frozen=True, slots=True)
class InstanceExecutor:
    """Carries out what `rules.py` decided. Effects come first, their record after.

    Attributes:
        health: instance -> what its last probes said; a process that is made anew begins without.
    """

    database: Database
    runtime: Runtime
    launcher: Launcher
    ports: PortPicker
    health: dict[str, Health]
    clock: Clock
    ids: IdSource

    async def act(self, action: rules.Action) -> None:
        """Carry out one step."""
        match action:
            case rules.Create():
                await self._create(action)
            case rules.Start(instance):
                await self._start(instance)
            case rules.MarkHealthy(instance):
                async with self.database.transaction() as session:
                    await store.set_healthy(session, instance.id, at=self.clock.now())
                _log.info("%s is healthy", instance.id)
            case rules.RecordExit():
                await self._record_exit(action)
            case rules.Leave(instance, is_leaving):
                async with self.database.transaction() as session:
                    at = self.clock.now() if is_leaving else None
                    await store.set_leaving(session, instance.id, at=at)
            case rules.Terminate(instance):
                await self.runtime.signal(instance.id)
                async with self.database.transaction() as session:
                    await store.set_stopping(session, instance.id, at=self.clock.now())
            case rules.Kill():
                await self._kill(action)
            case rules.Delete(instance):
                self.health.pop(instance.id, None)
                async with self.database.transaction() as session:
                    await store.delete(session, instance.id)
            case _:
                assert_never(action)

    async def _create(self, action: rules.Create) -> None:
        for _ in range(_PORT_TRIES):
            try:
                async with self.database.transaction() as session:
                    await store.insert(
                        session,
                        instance_id=self.ids.new("i"),
                        release=action.release,
                        process=action.process,
                        slot=action.slot,
                        port=self.ports.pick() if action.probed else None,
                        at=self.clock.now(),
                    )
            except ConflictError:
                continue  # another instance has this port
            return
        raise TransientError("runtime.no-port", "no free port was found for an instance")

    async def _start(self, instance: Instance) -> None:
        spec: ProcessSpec = await self.launcher.for_instance(instance)
        self.health.pop(instance.id, None)
        await self.runtime.start(spec)
        async with self.database.transaction() as session:
            await store.set_started(session, instance.id, at=self.clock.now())
        _log.info("%s (%s) was started", instance.id, instance.process)

    async def _record_exit(self, action: rules.RecordExit) -> None:
        self.health.pop(action.instance.id, None)
        async with self.database.transaction() as session:
            await store.set_exited(
                session,
                action.instance.id,
                failures=action.failures,
                next_start_at=action.next_start_at,
                last_exit=action.reason,
                out_of_memory=action.out_of_memory,
            )
        wait_s = (action.next_start_at - self.clock.now()).total_seconds()
        _log.warning(
            "%s %s; it is started again in %.1f s",
            action.instance.id,
            action.reason,
            max(0.0, wait_s),
        )

    async def _kill(self, action: rules.Kill) -> None:
        # The reason first: after the signal, only the record can tell our kill from a stranger's.
        async with self.database.transaction() as session:
            await store.set_killed_for(session, action.instance.id, action.reason)
        await self.runtime.signal(action.instance.id, kill=True)
        _log.warning("%s was killed: %s", action.instance.id, action.reason)
