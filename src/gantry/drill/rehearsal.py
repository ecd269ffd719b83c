"""One drill after another on one platform: load, deploy, faults, judgement."""

import asyncio
import json
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gantry.config.paths import Paths
from gantry.drill import visitors, wait
from gantry.drill.control import ControlClient, connect, live
from gantry.drill.exchange import Target, is_answered
from gantry.drill.injector import FaultInjector
from gantry.drill.judge import DrillResult, judge
from gantry.drill.product import NAME, PATH, Product, events_socket
from gantry.drill.recording import Recording, Watch
from gantry.drill.schedule import (
    NEEDS_ROOT,
    CandidateKind,
    Fault,
    Schedule,
    ScheduledFault,
    draw,
)
from gantry.drill.scratch import Disk, Platform, mounted_disk, stopped_platform_on
from gantry.engines.runtime.protocol import Runtime
from gantry.kernel.tasks import TaskSet

# How long visitors still ask once everything has come to rest.
_AFTER_S = 1.5


def rehearse(
    seeds: tuple[int, ...], make_runtime: Callable[[Paths], Runtime], tell: Callable[[str], None]
) -> Iterator[DrillResult]:
    """Drill after drill on one platform; see `rehearsing`."""
    with rehearsing(make_runtime, tell) as run:
        for seed in seeds:
            yield run(seed)


@contextmanager
def rehearsing(
    make_runtime: Callable[[Paths], Runtime], tell: Callable[[str], None]
) -> Iterator[Callable[[int], DrillResult]]:
    """Runs the drill of a seed, as often as wanted, on a platform of its own, which is deleted in the end.

    Parameters:
        make_runtime: looks at the processes of that platform.
        tell: is told in a sentence what happens now.

    Raises:
        PermanentError: `drill.command-failed` when the platform itself cannot be started.
        TransientError: `drill.not-settled` when it does not come to rest before a drill.
    """
    with (
        mounted_disk() as disk,
        tempfile.TemporaryDirectory(prefix="gantry-drill-") as directory,
        stopped_platform_on(disk) as platform,
        events_socket() as events,
        asyncio.Runner() as runner,
    ):
        runtime = make_runtime(Paths(platform.home))
        rehearsal = Rehearsal(platform, disk, Path(directory), events, runtime, tell)
        tell("starting a platform of the drill's own")
        rehearsal.begin()
        try:
            yield lambda seed: runner.run(rehearsal.run(seed))
        finally:
            runner.run(rehearsal.control.aclose())


@dataclass
class Rehearsal:
    """A platform, and one drill at a time on it.

    Attributes:
        directory: for what must not share the platform's disk, which may be full.
        events: where the product's instances report.
        control: of the platform, once it has begun.
    """

    platform: Platform
    disk: Disk | None
    directory: Path
    events: socket.socket
    runtime: Runtime
    tell: Callable[[str], None]
    control: ControlClient = field(init=False)

    @property
    def _possible_faults(self) -> frozenset[Fault]:
        return frozenset(Fault) - (NEEDS_ROOT if self.disk is None else frozenset())

    @property
    def _clock_file(self) -> Path:
        return self.directory / "clock"

    @property
    def _target(self) -> Target:
        host = f"{NAME}.localhost"
        return Target(host, self.platform.https_port, PATH, str(self.platform.root_file))

    @property
    def _product(self) -> Product:
        return Product(self.directory / "product", self.events.getsockname()[1])

    def begin(self) -> None:
        """Start the platform and deploy the first release."""
        self._clock_file.write_text("0")
        self.platform.extra["GANTRY_CLOCK_FILE"] = str(self._clock_file)
        self.platform.run("up")
        self.control = connect(Paths(self.platform.home))
        self.tell("deploying the first release")
        self._product.write(Schedule(0, CandidateKind.GOOD, ()), "first")
        self.platform.run("deploy", str(self._product.directory))

    async def run(self, seed: int) -> DrillResult:
        """The drill of a seed, and its judgement."""
        schedule = draw(seed, self._possible_faults)
        began_s = time.monotonic()
        self.tell(f"seed {seed}: waiting until the platform is at rest")
        previous = live(await wait.at_rest(self.control))
        self._product.write(schedule, f"{seed} {began_s}")
        async with self._load() as load:
            recording = await self._deploy_under_faults(schedule, previous)
        took_s = time.monotonic() - began_s
        return judge(schedule, recording.observed(load, took_s))

    async def _deploy_under_faults(self, schedule: Schedule, previous: str) -> Recording:
        """Deploy, and inject the faults meanwhile."""
        deploy = await self._request_deploy()
        t0_s = time.monotonic()
        watch = Watch(self.control, deploy, now_s=lambda: time.monotonic() - t0_s)
        injector = self._injector(watch, previous)
        self.tell(f"seed {schedule.seed}: {schedule.summary}")
        watching = TaskSet()
        watching.spawn(watch.run(), name="watch")
        try:
            await asyncio.gather(
                *(self._inject_later(injector, scheduled, t0_s) for scheduled in schedule.faults)
            )
            ended = await wait.ended(self.control, deploy)
            rollouts = await wait.answer(lambda: self.control.rollout_of(deploy))
            after = await wait.settled(self.control)
            await asyncio.sleep(_AFTER_S)
        finally:
            await watching.aclose()
        return Recording(
            t0_s=t0_s,
            # Nobody saw it end: it has by now.
            ended_s=watch.ended_s if watch.ended_s is not None else watch.now_s(),
            previous=previous,
            deploy=ended,
            rollout=rollouts[0] if rollouts else None,
            after=after,
            shares=tuple(watch.shares),
            outages=tuple(injector.outages),
            injected=tuple(injector.injected),
        )

    def _injector(self, watch: Watch, previous: str) -> FaultInjector:
        target = self._target
        context = target.context()
        return FaultInjector(
            self.platform,
            self.runtime,
            self.disk,
            self._clock_file,
            watch=watch,
            edge_answers=lambda: is_answered(target, context),
            live=previous,
        )

    async def _inject_later(
        self, injector: FaultInjector, scheduled: ScheduledFault, t0_s: float
    ) -> None:
        await asyncio.sleep(max(0.0, t0_s + scheduled.at_s - time.monotonic()))
        await injector.inject(scheduled)

    async def _request_deploy(self) -> str:
        """Request a deploy of the product; its identity."""
        known = {deploy.id for deploy in await wait.answer(self.control.deploys)}
        command = ("deploy", str(self._product.directory), "--detach")
        await asyncio.to_thread(self.platform.run, *command)
        deploys = await wait.answer(self.control.deploys)
        (new,) = (deploy.id for deploy in deploys if deploy.id not in known)
        return new

    @asynccontextmanager
    async def _load(self) -> AsyncIterator[dict[str, Any]]:
        """Visitors while the block runs; the dictionary is what they and the instances observed, afterwards."""
        stop_file = self.directory / "stop-load"
        stop_file.unlink(missing_ok=True)
        events_fd = self.events.fileno()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", visitors.__name__, json.dumps(asdict(self._target))),
            *(str(stop_file), str(events_fd)),
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(events_fd,),
        )
        load: dict[str, Any] = {}
        try:
            yield load
        finally:
            stop_file.touch()
            out, _ = await process.communicate()
            load.update(json.loads(out))
