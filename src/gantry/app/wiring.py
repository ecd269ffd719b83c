"""Puts the rooms together: from engines to services, the reactor's hands, and the web application."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from gantry.app.clock import clock_file
from gantry.app.engines import Engines
from gantry.app.parts import PartsView
from gantry.config.settings import Settings
from gantry.engines.database.protocol import State
from gantry.features.accounts.service import AccountService
from gantry.features.deploys.preparing import Preparer
from gantry.features.deploys.service import DeployService
from gantry.features.instances.launching import Launcher
from gantry.features.projects.naming import Naming
from gantry.features.projects.service import ProjectService
from gantry.features.rollouts.service import RolloutService
from gantry.features.routes.purging import PurgeService
from gantry.features.services.provide import ServiceProvider
from gantry.features.variables.service import VariableService
from gantry.kernel.clock import SystemClock
from gantry.kernel.tasks import TaskSet
from gantry.reactor.asking import Asking
from gantry.reactor.assets import EVERY_S as ASSETS_EVERY_S, AssetKeeping
from gantry.reactor.deploy_acts import DeployActs
from gantry.reactor.destroy import Destroyer
from gantry.reactor.edge_acts import EdgeActs
from gantry.reactor.evidence import EvidenceKeeper
from gantry.reactor.health import HealthCheck
from gantry.reactor.instance_acts import InstanceActs
from gantry.reactor.keep import EVERY_S as KEEP_EVERY_S, Keeper
from gantry.reactor.loops import Loops, Periodic
from gantry.reactor.memory import Memory
from gantry.reactor.outside import Outside
from gantry.reactor.plan import Planner
from gantry.reactor.reconcile import Acts, Reconciler
from gantry.reactor.release_acts import ReleaseActs
from gantry.reactor.reserve import EVERY_S as RESERVE_EVERY_S, ReserveKeeper
from gantry.reactor.retain import Retention
from gantry.reactor.rollouts import EVERY_S as ROLLOUTS_EVERY_S, Rollouts
from gantry.reactor.schedule import Schedule
from gantry.reactor.seeing import Sockets
from gantry.reactor.waker import Waker
from gantry.reactor.world import observe
from gantry.web.services import Services

_RETAIN_EVERY_S = 60.0
_SCHEDULE_EVERY_S = 5.0
_KEEP_CLOCK_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Wired:
    """What the control plane runs.

    Attributes:
        services: what requests may ask for.
        loops: the background work.
    """

    services: Services
    loops: Loops
    accounts: AccountService


def wire(
    settings: Settings,
    engines: Engines,
    state: State,
    tasks: TaskSet,
    *,
    shutdown: Callable[[], None],
    closing: Callable[[], bool],
) -> Wired:
    """Make everything; nothing is started."""
    clock, ids, box = engines.clock, engines.ids, engines.box
    naming = Naming(settings.domain, settings.https_port)
    owner = f"{os.uname().nodename}:{os.getpid()}"
    memory, waker, tidy, assets_due = Memory(), Waker(), Waker(), Waker()
    projects = ProjectService(box, clock, ids)
    variables = VariableService(state, projects, box, clock)
    provider = ServiceProvider(state, engines.databases, engines.caches, box, clock, ids)
    launcher = Launcher(state, engines.workshop, provider, variables, naming)
    preparer = Preparer(
        state, engines.sources, engines.workshop, variables, box, naming, clock, ids
    )
    outside = Outside(engines.prober, naming)
    acts = Acts(
        instances=InstanceActs(state, engines.runtime, launcher, engines.ports, memory, clock, ids),
        releases=ReleaseActs(state, memory, clock),
        edge=EdgeActs(
            state, engines.edge, engines.authorities, box, tasks, engines.cache, memory, clock
        ),
        deploys=DeployActs(
            state=state,
            runtime=engines.runtime,
            workshop=engines.workshop,
            preparer=preparer,
            launcher=launcher,
            variables=variables,
            outside=outside,
            memory=memory,
            clock=clock,
            ids=ids,
            owner=owner,
            tidy=tidy.wake,
            released=assets_due.wake,
        ),
    )
    reconciler = Reconciler(
        lambda: observe(state, engines.runtime, engines.edge, clock),
        acts,
        memory,
        clock,
        waker.wake,
        naming,
        Sockets(
            console=str(settings.paths.api_socket),
            assets=str(engines.assets.socket),
            cache=str(engines.cache.socket),
        ),
    )
    assets = AssetKeeping(state, engines.assets, engines.workshop, memory, clock, waker.wake)
    retention = Retention(
        state, engines.runtime, engines.workshop, engines.sources, clock, settings.home
    )
    evidence = EvidenceKeeper(state, engines.edge, engines.runtime, variables, clock)
    asking = Asking(state, outside, tasks, clock)
    rollouts = Rollouts(state, engines.edge, asking, memory, evidence, clock, waker.wake)
    # Crons go by the clock that people see.
    schedule = Schedule(state, engines.runtime, launcher, outside, tasks, SystemClock())
    keeper = Keeper(
        engines.runtime,
        engines.is_engine,
        {
            "edge": engines.edge.start,
            "system database": engines.system.revive,
            "data database": engines.databases.revive,
            "caches": engines.caches.revive,
            "assets": engines.assets.revive,
            "cache": engines.cache.revive,
        },
    )
    kept_clock = clock_file(settings)

    async def keep_clock() -> None:
        await asyncio.to_thread(kept_clock.write, clock.anchor())

    loops = Loops(
        reconciler=reconciler,
        health=HealthCheck(engines.prober, memory, clock),
        runtime=engines.runtime,
        state=state,
        waker=waker,
        naming=naming,
        clock=clock,
        owner=owner,
        periodic=(
            Periodic("retention", _RETAIN_EVERY_S, retention.once, tidy),
            Periodic("schedule", _SCHEDULE_EVERY_S, schedule.once),
            Periodic("assets", ASSETS_EVERY_S, assets.once, assets_due),
            Periodic("rollouts", ROLLOUTS_EVERY_S, rollouts.once),
            Periodic("clock", _KEEP_CLOCK_EVERY_S, keep_clock),
            Periodic("engines", KEEP_EVERY_S, keeper.once, on_exits=True),
            Periodic("reserve", RESERVE_EVERY_S, ReserveKeeper(engines.reserve).once),
        ),
    )
    accounts = AccountService(state, clock, ids)
    services = Services(
        state=state,
        deploys=DeployService(state, engines.sources, projects, clock, ids),
        rollouts=RolloutService(state, clock),
        purging=PurgeService(state, engines.cache, clock),
        variables=variables,
        accounts=accounts,
        sources=engines.sources,
        runtime=engines.runtime,
        edge=engines.edge,
        cache=engines.cache,
        prober=engines.prober,
        databases=engines.databases,
        settings=settings,
        clock=clock,
        wake=waker.wake,
        shutdown=shutdown,
        parts=PartsView(engines).parts,
        destroy=Destroyer(state, engines.runtime, provider, clock, waker.wake).destroy,
        plan=Planner(state, preparer, engines.workshop, variables, naming, clock).plan,
        closing=closing,
        health=lambda: memory.health,
        waits=lambda: {key: wait.words for key, wait in memory.waits.items()},
        ids=ids,
    )
    return Wired(services, loops, accounts)
