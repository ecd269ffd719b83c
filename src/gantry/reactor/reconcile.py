"""One look and one round of steps: the heart of the platform."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from gantry.features.deploys import rules as deploy_rules
from gantry.features.deploys.model import Deploy, DeployState
from gantry.features.deploys.store import MOVED
from gantry.features.instances import rules as instance_rules
from gantry.features.projects.naming import Naming
from gantry.features.routes.render import Routes
from gantry.features.routes.served import ServedAssets
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError, PermanentError, TransientError
from gantry.kernel.tasks import TaskSet
from gantry.reactor.deploy_acts import DeployActs
from gantry.reactor.edge_acts import EdgeActs
from gantry.reactor.instance_acts import InstanceActs
from gantry.reactor.memory import Memory
from gantry.reactor.release_acts import ReleaseActs
from gantry.reactor.seeing import Sockets, instance_wants, routes_of, see_deploy
from gantry.reactor.world import World

_log = logging.getLogger(__name__)

# A fault that may pass has this long to do so before it ends the deploy that met it.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Acts:
    """The hands: each carries out what one feature decided."""

    instances: InstanceActs
    releases: ReleaseActs
    edge: EdgeActs
    deploys: DeployActs


class Reconciler:
    """Compares what is wanted with what is, and takes the next steps.

    Steps of one deploy follow each other; different deploys, and the instances, move side by side. A step that
    meets a passing fault is tried again for a minute; any other fault ends its deploy, and never the loop.
    """

    def __init__(
        self,
        observe: Callable[[], Awaitable[World]],
        acts: Acts,
        memory: Memory,
        clock: Clock,
        wake: Callable[[], None],
        naming: Naming,
        sockets: Sockets,
    ) -> None:
        self._observe = observe
        self._acts = acts
        self._memory = memory
        self._clock = clock
        self._wake = wake
        self._naming = naming
        self._sockets = sockets
        self._tasks = TaskSet()
        self._busy: set[str] = set()
        self._look = 0
        self._ended_in_look: dict[str, int] = {}

    async def once(self) -> World:
        """Look once and start every step that is due; instances' and the edge's steps are done on return.

        Raises:
            TransientError: the database cannot be asked now.
        """
        self._look += 1
        world = await self._observe()
        self._memory.began_at = self._memory.began_at or world.now
        wants = instance_wants(world)
        steps = instance_rules.decide(
            wants, world.instances, world.processes, self._memory.health, world.now
        )
        routes = routes_of(
            world, self._naming, self._sockets, self._memory.assets or ServedAssets()
        )
        # The edge does what this look implies: a rollback need not wait until some instance has been started.
        await asyncio.gather(
            self._move_instances(step for step in steps if not _takes_visitors(step)),
            self._guard("releases", self._acts.releases.retire(world)),
            self._settle_edge(world, routes),
        )
        # Nobody is told to end while the edge still sends visitors there.
        await self._move_instances(step for step in steps if _takes_visitors(step))
        self._memory.has_rollouts = any(not one.state.ended for one in world.rollouts.values())
        if self._memory.has_rollouts and self._acts.edge.is_current(world, routes):
            self._memory.stage_in_effect = {
                rollout.id: rollout.stage for rollout in world.rollouts.values()
            }
        moving = _next_deploys(world)
        for deploy in moving:
            self._begin_step(deploy, world, routes)
        known = {deploy.id for deploy in world.deploys} | self._busy
        self._ended_in_look = {k: v for k, v in self._ended_in_look.items() if k in known}
        if steps:
            self._wake()
        return world

    async def _move_instances(self, steps: Iterable[instance_rules.Action]) -> None:
        now_s = self._clock.monotonic_s()
        await asyncio.gather(
            *(
                self._guard(f"instance {_key(step)}", self._acts.instances.act(step))
                for step in steps
                if self._memory.may_try(f"instance {_key(step)}", now_s)
            )
        )

    async def _settle_edge(self, world: World, routes: Routes) -> None:
        # Until the assets are known, an edge that runs goes on with what it has: a moment without them would be seen.
        due = self._memory.may_try("edge", self._clock.monotonic_s())
        if self._memory.assets is not None and due:
            await self._guard("edge", self._apply_to_edge(world, routes))

    async def _apply_to_edge(self, world: World, routes: Routes) -> None:
        if await self._acts.edge.settle(world, routes):
            self._wake()

    async def settle(self) -> None:
        """Wait until no step of a deploy is under way."""
        await self._tasks.join()

    async def aclose(self) -> None:
        """Drop the steps that are under way; they are decided again by the next control plane."""
        await self._tasks.aclose()

    def _begin_step(self, deploy: Deploy, world: World, routes: Routes) -> None:
        if deploy.id in self._busy or self._ended_in_look.get(deploy.id) == self._look:
            return  # under way, or ended while this look was made, which therefore saw the past
        if not self._memory.may_try(deploy.id, self._clock.monotonic_s()):
            return
        current = self._acts.edge.is_current(world, routes)
        seen = see_deploy(deploy, world, self._memory, edge_current=current)
        action = deploy_rules.decide(deploy, seen)
        if action is None:
            return
        self._busy.add(deploy.id)
        self._tasks.spawn(self._step(deploy, action, world), name=f"{deploy.id} {action}")

    async def _step(self, deploy: Deploy, action: deploy_rules.Action, world: World) -> None:
        try:
            await self._acts.deploys.act(deploy, action, world)
            self._memory.succeeded(deploy.id)
        except TransientError as error:
            await self._wait_or_fail(deploy, error, world)
        except GantryError as error:
            if error.code != MOVED:
                await self._fail(deploy, error, world)
        except Exception:  # noqa: BLE001 -- a defect ends this deploy, not the loop
            _log.exception("%s: a defect of Gantry", deploy.id)
            defect = PermanentError(
                "internal.error",
                f"Gantry itself failed in the step {deploy.step}",
                hint="control.log in GANTRY_HOME has the details; please report it",
            )
            await self._fail(deploy, defect, world)
        finally:
            self._busy.discard(deploy.id)
            self._ended_in_look[deploy.id] = self._look
            self._wake()

    async def _wait_or_fail(self, deploy: Deploy, error: TransientError, world: World) -> None:
        now_s = self._clock.monotonic_s()
        delay_s = self._memory.set_back(deploy.id, now_s, error.message)
        _log.warning("%s: %s; next try in %.1f s", deploy.id, error, delay_s)
        if self._memory.waiting_s(deploy.id, now_s) > PATIENCE_S:
            await self._fail(deploy, error, world)

    async def _fail(self, deploy: Deploy, error: GantryError, world: World) -> None:
        """End the deploy. Where even that cannot be recorded, its step is decided again later."""
        action = deploy_rules.Fail(error.as_dict())
        await self._guard(deploy.id, self._acts.deploys.act(deploy, action, world))

    async def _guard(self, key: str, work: Awaitable[None]) -> None:
        """Do `work`; a fault of it delays its next try and nothing else."""
        try:
            await work
            self._memory.succeeded(key)
        except GantryError as error:
            delay_s = self._memory.set_back(key, self._clock.monotonic_s(), error.message)
            _log.warning("%s: [%s] %s; next try in %.1f s", key, error.code, error, delay_s)
        except Exception:  # noqa: BLE001 -- a defect delays this step, and is heard
            self._memory.set_back(key, self._clock.monotonic_s(), "a defect of Gantry")
            _log.exception("%s: a defect of Gantry", key)


def _takes_visitors(step: instance_rules.Action) -> bool:
    return isinstance(step, instance_rules.Terminate)


def _key(step: instance_rules.Action) -> str:
    if isinstance(step, instance_rules.Create):
        return f"{step.release}/{step.process}/{step.slot}"
    return step.instance.id


def _next_deploys(world: World) -> tuple[Deploy, ...]:
    """The deploy that may move in each environment: the active one, else the oldest in the queue.

    A queued deploy that is to be cancelled need not wait for its turn.
    """
    first: dict[str, Deploy] = {}
    cancelled = []
    for deploy in world.deploys:
        if deploy.state is DeployState.ACTIVE:
            first[deploy.environment] = deploy
    for deploy in world.deploys:
        if deploy.state is DeployState.QUEUED and deploy.cancel_requested:
            cancelled.append(deploy)
        else:
            first.setdefault(deploy.environment, deploy)
    return (*first.values(), *cancelled)
