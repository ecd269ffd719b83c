"""One drill after another on one platform: load, deploy, faults, and what was seen."""

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
from gantry.drill import crowd
from gantry.drill.control import Control
from gantry.drill.disk import Disk, mounted_disk
from gantry.drill.exchange import Target, answers
from gantry.drill.hands import Hands
from gantry.drill.product import NAME, PATH, Product
from gantry.drill.scratch import Platform, free_ports, stopped_platform
from gantry.drill.sight import Happened, seen
from gantry.drill.standing import Standing, live
from gantry.drill.watching import Watch
from gantry.drill.witness import witness_socket
from gantry.engines.runtime.protocol import Runtime
from gantry.features.drills.draw import draw
from gantry.features.drills.judge import judge
from gantry.features.drills.model import NEEDS_ROOT, Candidate, Fault, Moment, Schedule
from gantry.features.drills.result import Result
from gantry.kernel.tasks import TaskSet

_AFTER_S = 1.5


def rehearse(
    seeds: tuple[int, ...], make_runtime: Callable[[Paths], Runtime], tell: Callable[[str], None]
) -> Iterator[Result]:
    """Drill after drill on a platform of their own, which is deleted in the end.

    Parameters:
        make_runtime: looks at the processes of that platform.
        tell: is told in a sentence what happens now.

    Raises:
        PermanentError: `drill.command-failed` when the platform itself cannot be started.
        TransientError: `drill.not-settled` when it does not come to rest before a drill.
    """
    with (
        mounted_disk() as disk,
        tempfile.TemporaryDirectory(prefix="gantry-drill-") as folder,
        _platform(disk) as platform,
        witness_socket() as witness,
        asyncio.Runner() as runner,
    ):
        runtime = make_runtime(Paths(platform.home))
        one = Rehearsal(platform, disk, Path(folder), witness, runtime, tell)
        tell("starting a platform of the drill's own")
        one.begin()
        try:
            for seed in seeds:
                yield runner.run(one.run(draw(seed, one.faults)))
        finally:
            runner.run(one.control.aclose())


@contextmanager
def _platform(disk: Disk | None) -> Iterator[Platform]:
    if disk is None:
        with stopped_platform() as platform:
            yield platform
        return
    http_port, https_port = free_ports(2)
    platform = Platform(disk.folder / "home", http_port, https_port)
    try:
        yield platform
    finally:
        disk.make_room()
        platform.run("down", check=False)


@dataclass
class Rehearsal:
    """A platform, and one drill at a time on it.

    Attributes:
        folder: for what must not share the platform's disk, which may be full.
        witness: where the product's instances say what happens to them.
    """

    platform: Platform
    disk: Disk | None
    folder: Path
    witness: socket.socket
    runtime: Runtime
    tell: Callable[[str], None]
    control: Control = field(init=False)

    def __post_init__(self) -> None:
        paths = Paths(self.platform.home)
        self.control = Control(paths, paths.keys / "operator.token")
        self.platform.extra["GANTRY_CLOCK_FILE"] = str(self._clock_file)

    @property
    def faults(self) -> frozenset[Fault]:
        """Those that can be done here."""
        return frozenset(Fault) - (NEEDS_ROOT if self.disk is None else frozenset())

    @property
    def _clock_file(self) -> Path:
        return self.folder / "clock"

    @property
    def _standing(self) -> Standing:
        return Standing(self.control)

    @property
    def _target(self) -> Target:
        host = f"{NAME}.localhost"
        return Target(host, self.platform.https_port, PATH, str(self.platform.root_file))

    @property
    def _product(self) -> Product:
        return Product(self.folder / "product", self.witness.getsockname()[1])

    def begin(self) -> None:
        """Start the platform and deploy the first release."""
        self._clock_file.write_text("0")
        self.platform.run("up")
        self.tell("deploying the first release")
        self._product.write(Schedule(0, Candidate.GOOD, ()), "first")
        self.platform.run("deploy", str(self._product.folder))

    async def run(self, schedule: Schedule) -> Result:
        """One drill, and its judgement."""
        began_s = time.monotonic()
        self.tell(f"seed {schedule.seed}: waiting until the platform is at rest")
        before = await self._standing.at_rest()
        self._product.write(schedule, f"{schedule.seed} {began_s}")
        async with self._load() as tally:
            happened = await self._happen(schedule, live(before))
        took_s = time.monotonic() - began_s
        return judge(schedule, seen(live(before), happened, tally, took_s))

    async def _happen(self, schedule: Schedule, before: str) -> Happened:
        """Deploy, and do the faults meanwhile."""
        deploy = await self._ask()
        t0_s = time.monotonic()
        watch = Watch(self.control, deploy, now_s=lambda: time.monotonic() - t0_s)
        hands = self._hands(watch, before)
        self.tell(f"seed {schedule.seed}: {schedule.words}")
        watching = TaskSet()
        watching.spawn(watch.run(), name="watch")
        try:
            await asyncio.gather(*(self._later(hands, one, t0_s) for one in schedule.moments))
            ended = await self._standing.ended(deploy)
            rollout = await self._standing.rollout_of(deploy)
            after = await self._standing.settled()
            await asyncio.sleep(_AFTER_S)
        finally:
            await watching.aclose()
        return Happened(t0_s, ended, rollout, after, watch, hands)

    def _hands(self, watch: Watch, before: str) -> Hands:
        target = self._target
        context = target.context()
        return Hands(
            self.platform,
            self.runtime,
            self.disk,
            self._clock_file,
            now_s=watch.now_s,
            watch=watch,
            answers=lambda: answers(target, context),
            live=before,
        )

    async def _later(self, hands: Hands, moment: Moment, t0_s: float) -> None:
        await asyncio.sleep(max(0.0, t0_s + moment.at_s - time.monotonic()))
        await hands.do(moment)

    async def _ask(self) -> str:
        """Ask for the deploy; its identity."""
        known = {one.id for one in await self._standing.deploys()}
        await asyncio.to_thread(self.platform.run, "deploy", str(self._product.folder), "--detach")
        (new,) = (one.id for one in await self._standing.deploys() if one.id not in known)
        return new

    @asynccontextmanager
    async def _load(self) -> AsyncIterator[dict[str, Any]]:
        """Visitors while the block runs; the dictionary is what they and the witness saw, afterwards."""
        stop = self.folder / "stop-load"
        stop.unlink(missing_ok=True)
        heard = self.witness.fileno()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", crowd.__name__, json.dumps(asdict(self._target))),
            *(str(stop), str(heard)),
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(heard,),
        )
        tally: dict[str, Any] = {}
        try:
            yield tally
        finally:
            stop.touch()
            out, _ = await process.communicate()
            tally.update(json.loads(out))
