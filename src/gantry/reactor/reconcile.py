"""One observation and one round of steps: the heart of the platform."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeGuard

from gantry.features.assets.act import AssetPublisher
from gantry.features.assets.model import ServedAssets
from gantry.features.deploys import pipeline
from gantry.features.deploys.act import Work
from gantry.features.deploys.executor import Action, DeployExecutor
from gantry.features.deploys.model import Deploy, DeployState
from gantry.features.deploys.rules import WAIT, Fail, waiting_for
from gantry.features.deploys.store import MOVED
from gantry.features.instances import rules as instance_rules
from gantry.features.instances.act import InstanceExecutor
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment
from gantry.features.releases.act import ReleaseRetirer
from gantry.features.removals import rules as removals
from gantry.features.removals.act import RemovalExecutor
from gantry.features.rollouts.progress import EdgeProgress
from gantry.features.routes.act import EdgeExecutor, WantedEdge
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError, PermanentError, TransientError
from gantry.kernel.tasks import TaskSet
from gantry.reactor.derive import (
    Sockets,
    instance_wants,
    observe_deploy,
    observe_removal,
    routes_of,
    work_of,
)
from gantry.reactor.world import World

_log = logging.getLogger(__name__)

# A transient fault has this long to go away before it ends the deploy that met it.
TRANSIENT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Executors:
    """Who carries out what each feature decided."""

    instances: InstanceExecutor
    releases: ReleaseRetirer
    edge: EdgeExecutor
    assets: AssetPublisher
    deploys: DeployExecutor
    removals: RemovalExecutor


class Reconciler:
    """Compares what is wanted with what is, and takes the next steps.

    Steps of one deploy follow each other; different deploys, and the instances, move side by side. A step that
    meets a transient fault is tried again for a minute; any other fault ends its deploy, and never the loop.
    """

    def __init__(
        self,
        observe: Callable[[], Awaitable[World]],
        executors: Executors,
        progress: EdgeProgress,
        clock: Clock,
        wake: Callable[[], None],
        host_names: HostNames,
        sockets: Sockets,
    ) -> None:
        self._observe = observe
        self._executors = executors
        self._backoff = progress.backoff
        self._progress = progress
        self._clock = clock
        self._wake = wake
        self._host_names = host_names
        self._sockets = sockets
        self._tasks = TaskSet()
        self._busy: set[str] = set()
        self._round = 0
        self._ended_in_round: dict[str, int] = {}
        self._began_at: datetime | None = None

    async def once(self) -> World:
        """Observe once and start every step that is due; instances' and the edge's steps are done on return.

        Raises:
            TransientError: the database cannot be asked now.
        """
        self._round += 1
        world = await self._observe()
        self._began_at = self._began_at or world.now
        wanted = self._wanted_edge(world)
        steps = instance_rules.decide(
            instance_wants(world),
            world.instances,
            world.processes,
            self._executors.instances.health,
            world.now,
        )
        # The edge does what this look implies: a rollback need not wait until some instance has been started.
        await asyncio.gather(
            self._move_instances(step for step in steps if not _takes_visitors(step)),
            self._guard("releases", self._retire(world)),
            self._settle_edge(world, wanted),
        )
        # Nobody is told to end while the edge still sends visitors there.
        await self._move_instances(
            step
            for step in steps
            if _takes_visitors(step) and (wanted.current or step.instance.leaving_since is None)
        )
        self._progress.note(world.rollouts.values(), edge_current=wanted.current)
        for deploy in _next_deploys(world):
            self._begin_step(deploy, world, edge_current=wanted.current)
        for environment in world.environments.values():
            if environment.removing:
                self._begin_removal(environment, world)
        known = {deploy.id for deploy in world.deploys} | self._busy
        self._ended_in_round = {k: v for k, v in self._ended_in_round.items() if k in known}
        if steps:
            self._wake()
        return world

    def _wanted_edge(self, world: World) -> WantedEdge:
        served = self._executors.assets.served or ServedAssets()
        routes = routes_of(world, self._host_names, self._sockets, served)
        return self._executors.edge.wanted(
            routes, world.certificates, world.certificate_attempts, world.edge, world.now
        )

    async def _retire(self, world: World) -> None:
        await self._executors.releases.retire(
            world.releases.values(),
            live={key: environment.live_release for key, environment in world.environments.items()},
            held=frozenset(release for deploy in world.deploys for release in deploy.needs),
            backends=world.edge.backends,
            now=world.now,
        )

    async def _move_instances(self, steps: Iterable[instance_rules.Action]) -> None:
        now_s = self._clock.monotonic_s()
        await asyncio.gather(
            *(
                self._guard(f"instance {_key(step)}", self._executors.instances.act(step))
                for step in steps
                if self._backoff.may_try(f"instance {_key(step)}", now_s)
            )
        )

    async def _settle_edge(self, world: World, wanted: WantedEdge) -> None:
        # Until the assets are known, an edge that runs goes on with what it has: a moment without them would be seen.
        due = self._backoff.may_try("edge", self._clock.monotonic_s())
        if self._executors.assets.served is not None and due:
            await self._guard("edge", self._apply_to_edge(world, wanted))

    async def _apply_to_edge(self, world: World, wanted: WantedEdge) -> None:
        if await self._executors.edge.settle(wanted, running=world.edge.running):
            self._wake()

    async def settle(self) -> None:
        """Wait until no step of a deploy is under way."""
        await self._tasks.join()

    async def aclose(self) -> None:
        """Drop the steps that are under way; they are decided again by the next control plane."""
        await self._tasks.aclose()

    def _begin_step(self, deploy: Deploy, world: World, *, edge_current: bool) -> None:
        if deploy.id in self._busy or self._ended_in_round.get(deploy.id) == self._round:
            return  # under way, or ended while this look was made, which therefore saw the past
        if not self._backoff.may_try(deploy.id, self._clock.monotonic_s()):
            return
        work = work_of(deploy, world)
        observed = observe_deploy(
            work,
            world,
            self._executors.deploys.context.answers,
            self._executors.instances.health,
            edge_current=edge_current,
            unseen_s=self._unseen_s(deploy),
        )
        decision = pipeline.decide(deploy, observed)
        waiting = self._executors.deploys.context.answers.waiting
        if decision is WAIT:
            waiting[deploy.id] = waiting_for(deploy, observed)
            return
        waiting.pop(deploy.id, None)
        self._busy.add(deploy.id)
        self._tasks.spawn(self._step(work, decision), name=f"{deploy.id} {decision}")

    def _begin_removal(self, environment: Environment, world: World) -> None:
        key = environment.id
        if key in self._busy or not self._backoff.may_try(key, self._clock.monotonic_s()):
            return
        observed = observe_removal(environment, world)
        removal = removals.decide(observed)
        if removal is None:
            return
        self._busy.add(key)
        work = self._executors.removals.carry_out(environment, observed, removal)
        self._tasks.spawn(self._removal_step(key, work), name=f"{key} {removal}")

    async def _removal_step(self, key: str, work: Awaitable[None]) -> None:
        try:
            await self._guard(key, work)
        finally:
            self._busy.discard(key)
            self._wake()

    def _unseen_s(self, deploy: Deploy) -> float:
        """How much of the present step went by while no control plane ran: nobody started or probed anything then."""
        if self._began_at is None or deploy.step_started_at is None:
            return 0.0
        began_at = self._clock.even(self._began_at)
        return max(0.0, (began_at - deploy.step_started_at).total_seconds())

    async def _step(self, work: Work, action: Action) -> None:
        deploy = work.deploy
        try:
            await self._executors.deploys.carry_out(work, action)
            self._backoff.succeeded(deploy.id)
        except TransientError as error:
            await self._wait_or_fail(work, error)
        except GantryError as error:
            if error.code != MOVED:
                await self._fail(work, error)
        except Exception:  # noqa: BLE001 -- a defect ends this deploy, not the loop
            _log.exception("%s: a defect of Gantry", deploy.id)
            defect = PermanentError(
                "internal.error",
                f"Gantry itself failed in the step {deploy.step}",
                hint="control.log in GANTRY_HOME has the details; please report it",
            )
            await self._fail(work, defect)
        finally:
            self._busy.discard(deploy.id)
            self._ended_in_round[deploy.id] = self._round
            self._wake()

    async def _wait_or_fail(self, work: Work, error: TransientError) -> None:
        key, now_s = work.deploy.id, self._clock.monotonic_s()
        delay_s = self._backoff.set_back(key, now_s, error.message)
        _log.warning("%s: %s; next try in %.1f s", key, error, delay_s)
        if self._backoff.waiting_s(key, now_s) > TRANSIENT_TIMEOUT_S:
            await self._fail(work, error)

    async def _fail(self, work: Work, error: GantryError) -> None:
        """End the deploy. Where even that cannot be recorded, its step is decided again later."""
        failing = self._executors.deploys.carry_out(work, Fail(error.as_dict()))
        await self._guard(work.deploy.id, failing)

    async def _guard(self, key: str, work: Awaitable[None]) -> None:
        """Do `work`; a fault of it delays its next try and nothing else."""
        try:
            await work
            self._backoff.succeeded(key)
        except GantryError as error:
            delay_s = self._backoff.set_back(key, self._clock.monotonic_s(), error.message)
            _log.warning("%s: [%s] %s; next try in %.1f s", key, error.code, error, delay_s)
        except Exception:  # noqa: BLE001 -- a defect delays this step, and is heard
            self._backoff.set_back(key, self._clock.monotonic_s(), "a defect of Gantry")
            _log.exception("%s: a defect of Gantry", key)


def _takes_visitors(step: instance_rules.Action) -> TypeGuard[instance_rules.Terminate]:
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
