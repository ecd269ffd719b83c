"""The loops of the control plane, started and stopped together."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gantry.engines.database.protocol import State
from gantry.engines.runtime.protocol import ProcessState, Runtime
from gantry.features.deploys import store as deploys
from gantry.features.deploys.model import DeployState
from gantry.features.projects.naming import Naming
from gantry.features.releases.reading import manifest_of
from gantry.kernel.clock import Clock, wait_for
from gantry.kernel.errors import GantryError
from gantry.kernel.tasks import TaskSet
from gantry.reactor.health import HealthCheck, Target
from gantry.reactor.reconcile import Reconciler
from gantry.reactor.waker import Waker
from gantry.reactor.world import World

_log = logging.getLogger(__name__)

# While a deploy moves, most of what it waits for is a matter of milliseconds; what takes longer is looked at less often,
# or looking would take a tenth of a core away from the build that is waited for.
BUSY_EVERY_S = 0.05
BUSY_AT_LEAST_EVERY_S = 0.5
# Processes that end wake the loop; this is only for what nobody announces.
IDLE_EVERY_S = 3.0
_HEARTBEAT_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Periodic:
    """Work that is done again and again at its own pace, and at once when it is woken.

    Attributes:
        on_exits: it is woken when a process ends.
    """

    name: str
    every_s: float
    work: Callable[[], Awaitable[None]]
    waker: Waker = field(default_factory=Waker)
    on_exits: bool = False


@dataclass
class Loops:
    """Runs the reconciler, the health checks and the periodic work until closed.

    Attributes:
        owner: name of this control plane in the leases of deploys.
    """

    reconciler: Reconciler
    health: HealthCheck
    runtime: Runtime
    state: State
    waker: Waker
    naming: Naming
    clock: Clock
    owner: str
    periodic: tuple[Periodic, ...] = ()
    _tasks: TaskSet = field(default_factory=TaskSet, init=False)
    _world: World | None = field(default=None, init=False)
    _world_changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _next_heartbeat_s: float = field(default=0.0, init=False)
    _pause_s: float = field(default=BUSY_EVERY_S, init=False)

    def start(self) -> None:
        """Start every loop."""
        self._tasks.spawn(self._forever("reconcile", self._reconcile), name="reconcile")
        self._tasks.spawn(self._forever("health", self._check_health), name="health")
        self._tasks.spawn(self._forever("exits", self._watch_exits), name="exits")
        for item in self.periodic:
            self._tasks.spawn(self._forever(item.name, self._paced(item)), name=item.name)

    async def aclose(self) -> None:
        """Stop every loop; what they were doing is decided again next time."""
        await self._tasks.aclose()
        await self.reconciler.aclose()

    async def _forever(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Repeat `work`; a fault delays it, and is logged once for a row of equal ones."""
        last = ""
        while True:
            try:
                await work()
                last = ""
            except GantryError as error:
                if str(error) != last:
                    _log.warning("%s: [%s] %s", name, error.code, error)
                last = str(error)
                await self.clock.sleep(1.0)
            except Exception:  # noqa: BLE001 -- the loop outlives a defect in one round of it
                _log.exception("%s: a defect of Gantry", name)
                await self.clock.sleep(5.0)

    def _paced(self, item: Periodic) -> Callable[[], Awaitable[None]]:
        async def once() -> None:
            await item.work()
            await item.waker.wait(item.every_s, self.clock)

        return once

    async def _reconcile(self) -> None:
        self._world = await self.reconciler.once()
        self._world_changed.set()
        await self._heartbeat(self._world)
        moving = any(deploy.state is DeployState.ACTIVE for deploy in self._world.deploys)
        if not moving and not _unsettled(self._world):
            self._pause_s = BUSY_EVERY_S
            await self.waker.wait(IDLE_EVERY_S, self.clock)
        elif await self.waker.wait(self._pause_s, self.clock):
            self._pause_s = BUSY_EVERY_S
        else:
            self._pause_s = min(2 * self._pause_s, BUSY_AT_LEAST_EVERY_S)

    async def _heartbeat(self, world: World) -> None:
        if self.clock.monotonic_s() < self._next_heartbeat_s:
            return
        self._next_heartbeat_s = self.clock.monotonic_s() + _HEARTBEAT_EVERY_S
        active = [deploy for deploy in world.deploys if deploy.state is DeployState.ACTIVE]
        if not active:
            return
        async with self.state.transaction() as session:
            for deploy in active:
                await deploys.heartbeat(session, deploy.id, owner=self.owner, at=self.clock.now())

    async def _check_health(self) -> None:
        targets = health_targets(self._world, self.naming) if self._world is not None else ()
        if await self.health.probe_due(targets):
            self.waker.wake()
        self._world_changed.clear()
        await wait_for(self._world_changed, self.health.next_due_s(), self.clock)

    async def _watch_exits(self) -> None:
        await self.runtime.wait_for_exit(timeout_s=60.0)
        self.waker.wake()
        for item in self.periodic:
            if item.on_exits:
                item.waker.wake()


def _unsettled(world: World) -> bool:
    """Some instance is starting or stopping."""
    return any(
        instance.healthy_at is None or instance.stopping_since is not None
        for instance in world.instances
        if instance.next_start_at is None
    )


def health_targets(world: World, naming: Naming) -> tuple[Target, ...]:
    """Every instance that runs and has a port."""
    targets = []
    for instance in world.instances:
        process = world.processes.get(instance.id)
        release = world.releases.get(instance.release)
        if (
            instance.port is None
            or instance.started_at is None
            or instance.stopping_since is not None
            or release is None
            or process is None
            or process.state is not ProcessState.RUNNING
        ):
            continue
        web = manifest_of(release).web
        targets.append(
            Target(
                instance=instance.id,
                port=instance.port,
                path=web.health.path if web is not None else "",
                host=naming.environment_host(world.environments[release.environment]),
                timeout_s=web.health.timeout_s if web is not None else 3.0,
                settled=instance.healthy_at is not None,
            )
        )
    return tuple(targets)
