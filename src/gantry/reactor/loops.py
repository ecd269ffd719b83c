"""The loops of the control plane, started and stopped together."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gantry.engines.runtime.protocol import ProcessState, Runtime
from gantry.features.deploys.model import DeployState
from gantry.features.instances.health import HealthCheck, Target, health_host
from gantry.features.projects.host_names import HostNames
from gantry.features.releases.reading import manifest_of
from gantry.kernel.clock import Clock, wait_for
from gantry.kernel.errors import GantryError
from gantry.kernel.tasks import TaskSet
from gantry.reactor.reconcile import Reconciler
from gantry.reactor.waker import Waker
from gantry.reactor.world import World

_log = logging.getLogger(__name__)

# While a deploy moves, most of what it waits for is a matter of milliseconds; what takes longer is looked at less often,
# or looking would take a tenth of a core away from the build that is waited for.
BUSY_INTERVAL_S = 0.05
BUSY_AT_LEAST_INTERVAL_S = 0.5
# Processes that end wake the loop; this is only for what nobody announces.
IDLE_INTERVAL_S = 3.0


@dataclass(frozen=True, slots=True)
class Periodic:
    """Work that is done again and again at its own pace, and at once when it is woken.

    Attributes:
        on_exits: it is woken when a process ends.
        everywhere: also a control plane that does not lead does it: it concerns this machine alone.
    """

    name: str
    every_s: float
    work: Callable[[], Awaitable[None]]
    waker: Waker = field(default_factory=Waker)
    on_exits: bool = False
    everywhere: bool = False


@dataclass
class Loops:
    """Runs the periodic work until closed, and the reconciler and the health checks while this control plane leads."""

    reconciler: Reconciler
    health: HealthCheck
    runtime: Runtime
    waker: Waker
    host_names: HostNames
    clock: Clock
    periodic: tuple[Periodic, ...] = ()
    _tasks: TaskSet = field(default_factory=TaskSet, init=False)
    _leading: TaskSet = field(default_factory=TaskSet, init=False)
    _world: World | None = field(default=None, init=False)
    _world_changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _pause_s: float = field(default=BUSY_INTERVAL_S, init=False)

    def start(self) -> None:
        """Start what concerns this machine alone."""
        self._spawn(self._tasks, "exits", self._watch_exits)
        for item in self.periodic:
            if item.everywhere:
                self._spawn(self._tasks, item.name, self._paced(item))

    def lead(self) -> None:
        """Start to act for the platform."""
        self._spawn(self._leading, "reconcile", self._reconcile)
        self._spawn(self._leading, "health", self._check_health)
        for item in self.periodic:
            if not item.everywhere:
                self._spawn(self._leading, item.name, self._paced(item))

    async def follow(self) -> None:
        """Stop acting for the platform; what was under way is decided again by the one that leads."""
        await self._leading.aclose()
        await self.reconciler.aclose()
        self._world = None

    async def aclose(self) -> None:
        """Stop every loop."""
        await self.follow()
        await self._tasks.aclose()

    def _spawn(self, tasks: TaskSet, name: str, work: Callable[[], Awaitable[None]]) -> None:
        tasks.spawn(self._forever(name, work), name=name)

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
        moving = any(deploy.state is DeployState.ACTIVE for deploy in self._world.deploys)
        if not moving and not _unsettled(self._world):
            self._pause_s = BUSY_INTERVAL_S
            await self.waker.wait(IDLE_INTERVAL_S, self.clock)
        elif await self.waker.wait(self._pause_s, self.clock):
            self._pause_s = BUSY_INTERVAL_S
        else:
            self._pause_s = min(2 * self._pause_s, BUSY_AT_LEAST_INTERVAL_S)

    async def _check_health(self) -> None:
        # Before it is looked at: what appears while an instance takes long to answer is probed next.
        self._world_changed.clear()
        targets = health_targets(self._world, self.host_names) if self._world is not None else ()
        if await self.health.probe_due(targets):
            self.waker.wake()
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


def health_targets(world: World, host_names: HostNames) -> tuple[Target, ...]:
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
                host=health_host(
                    host_names, world.environments[release.environment], manifest_of(release)
                ),
                timeout_s=web.health.timeout_s if web is not None else 3.0,
                settled=instance.healthy_at is not None,
            )
        )
    return tuple(targets)
