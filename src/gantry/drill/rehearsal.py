"""One drill after another on one platform: load, deploy, faults, and what was seen."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from gantry.config.paths import Paths
from gantry.drill import client
from gantry.drill.control import Control
from gantry.drill.disk import Disk, mounted_disk
from gantry.drill.hands import Hands
from gantry.drill.product import NAME, PATH, write_product
from gantry.drill.scratch import Platform, free_ports, stopped_platform
from gantry.drill.waiting import until
from gantry.engines.runtime.protocol import Runtime
from gantry.features.drills.draw import draw
from gantry.features.drills.judge import judge
from gantry.features.drills.model import (
    NEEDS_ROOT,
    Answers,
    Candidate,
    Failure,
    Fault,
    Moment,
    Result,
    Schedule,
    Seen,
    Share,
)
from gantry.kernel.errors import TransientError
from gantry.kernel.tasks import TaskSet
from gantry.wire.shapes import DeployBody, EnvironmentBody, InstanceBody, RolloutBody

_T = TypeVar("_T")

_CONNECTIONS, _PAUSE_S = 40, 0.2  # 200 requests a second
_POLL_S = 0.25
_TICK_S = 0.1
# A deploy takes some 20 s; with everything that is done to it, this is stuck.
_STUCK_S = 150.0
_SETTLE_S = 60.0
_AFTER_S = 1.5
_ENDED = ("succeeded", "failed", "cancelled")


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
        asyncio.Runner() as runner,
    ):
        runtime = make_runtime(Paths(platform.home))
        one = Rehearsal(platform, disk, Path(folder), runtime, tell)
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
    """

    platform: Platform
    disk: Disk | None
    folder: Path
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
    def _project(self) -> Path:
        return self.folder / "product"

    def begin(self) -> None:
        """Start the platform and deploy the first release."""
        self._clock_file.write_text("0")
        self.platform.run("up")
        self.tell("deploying the first release")
        write_product(self._project, Candidate.GOOD, "first")
        self.platform.run("deploy", str(self._project))

    async def run(self, schedule: Schedule) -> Result:
        """One drill, and its judgement."""
        began_s = time.monotonic()
        self.tell(f"seed {schedule.seed}: waiting until the platform is at rest")
        before = await self._at_rest()
        write_product(self._project, schedule.candidate, f"{schedule.seed} {began_s}")
        async with self._load() as tally:
            happened = await self._happen(schedule, _live(before), before.instances)
        took_s = time.monotonic() - began_s
        return judge(schedule, _seen(_live(before), happened, tally, took_s))

    async def _happen(
        self, schedule: Schedule, live: str, instances: tuple[InstanceBody, ...]
    ) -> "_Happened":
        """Deploy, and do the faults meanwhile."""
        deploy = await self._ask()
        t0_s = time.monotonic()
        hands = Hands(
            self.platform,
            self.control,
            self.runtime,
            self.disk,
            self._clock_file,
            now_s=lambda: time.monotonic() - t0_s,
            live=live,
            instances=instances,
        )
        shares: list[Share] = []
        self.tell(f"seed {schedule.seed}: {schedule.candidate} candidate, {_words(schedule)}")
        watching = TaskSet()
        watching.spawn(self._watch(deploy, hands, shares), name="watch")
        try:
            await asyncio.gather(*(self._later(hands, one, t0_s) for one in schedule.moments))
            ended = await self._ended(deploy)
            rollouts = await self._answer(lambda: self.control.rollout_of(deploy))
            after = await self._settled()
            await asyncio.sleep(_AFTER_S)
        finally:
            await watching.aclose()
        return _Happened(t0_s, ended, rollouts, after, tuple(shares), hands)

    async def _later(self, hands: Hands, moment: Moment, t0_s: float) -> None:
        await asyncio.sleep(max(0.0, t0_s + moment.at_s - time.monotonic()))
        await hands.do(moment)

    async def _ask(self) -> str:
        """Ask for the deploy; its identity."""
        known = {one.id for one in await self._answer(self.control.deploys)}
        await asyncio.to_thread(self.platform.run, "deploy", str(self._project), "--detach")
        (new,) = (one.id for one in await self._answer(self.control.deploys) if one.id not in known)
        return new

    async def _watch(self, deploy: str, hands: Hands, shares: list[Share]) -> None:
        while True:
            rollouts = await self.control.rollout_of(deploy)
            if rollouts is not None:
                shares.append(Share(hands.now_s(), _percent(rollouts)))
                hands.candidate = rollouts[0].candidate if rollouts else hands.candidate
            await asyncio.sleep(_POLL_S)

    async def _ended(self, deploy: str) -> DeployBody:
        """The deploy when it has ended, or as it is when patience has."""

        async def ended() -> DeployBody | None:
            found = await self.control.deploy(deploy)
            return found if found is not None and found.state in _ENDED else None

        found = await until(ended, _STUCK_S)
        if found is not None:
            return found
        return await self._answer(lambda: self.control.deploy(deploy))

    async def _settled(self) -> EnvironmentBody:
        """The environment when the status and the port agree, or as it is when patience has ended."""

        async def settled() -> EnvironmentBody | None:
            found = await self.control.environment(probe=True)
            agree = found and found.live and found.reached and found.reached.release == _live(found)
            return found if agree else None

        found = await until(settled, _SETTLE_S)
        if found is not None:
            return found
        return await self._answer(lambda: self.control.environment(probe=True))

    async def _at_rest(self) -> EnvironmentBody:
        """The environment when both instances of what is live are healthy and no deploy runs."""

        async def at_rest() -> EnvironmentBody | None:
            found = await self.control.environment(probe=True)
            return found if found is not None and _is_at_rest(found) else None

        found = await until(at_rest, _SETTLE_S)
        if found is None:
            raise TransientError(
                "drill.not-settled",
                f"the drill's platform did not come to rest within {_SETTLE_S:.0f} s",
                hint="gantry doctor",
            )
        return found

    async def _answer(self, ask: Callable[[], Awaitable[_T | None]]) -> _T:
        """What the control plane says, once it can.

        Raises:
            TransientError: `drill.no-answer` it does not.
        """
        answer = await until(ask, _SETTLE_S)
        if answer is None:
            raise TransientError(
                "drill.no-answer", f"the drill's control plane said nothing for {_SETTLE_S:.0f} s"
            )
        return answer

    @asynccontextmanager
    async def _load(self) -> AsyncIterator[dict[str, Any]]:
        """Visitors while the block runs; the dictionary is their tally afterwards."""
        stop = self.folder / "stop-load"
        stop.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, client.__file__, f"{NAME}.localhost"),
            *(str(self.platform.https_port), PATH, str(self.platform.root_file)),
            *(str(_CONNECTIONS), str(stop), str(_PAUSE_S)),
            stdout=asyncio.subprocess.PIPE,
        )
        tally: dict[str, Any] = {}
        try:
            yield tally
        finally:
            stop.touch()
            out, _ = await process.communicate()
            tally.update(json.loads(out))


@dataclass(frozen=True, slots=True)
class _Happened:
    """What became of one drill.

    Attributes:
        t0_s: when the deploy was asked for, on the machine's monotonic clock; everything else counts from it.
    """

    t0_s: float
    deploy: DeployBody
    rollouts: tuple[RolloutBody, ...]
    after: EnvironmentBody
    shares: tuple[Share, ...]
    hands: Hands


def _seen(before: str, happened: _Happened, tally: dict[str, Any], took_s: float) -> Seen:
    ended, after, t0_s = happened.deploy, happened.after, happened.t0_s
    story = sorted((int(tick), by_release) for tick, by_release in tally["story"].items())
    return Seen(
        before=before,
        candidate=ended.release or "",
        deploy=ended.state,
        deploy_ended=ended.state in _ENDED,
        code=ended.error.code if ended.error else "",
        reason=ended.error.message if ended.error else "",
        rollout=happened.rollouts[0].state if happened.rollouts else "",
        live=_live(after),
        reached=after.reached.release if after.reached else "",
        requests=tally["requests"],
        failures=tuple(Failure(at_s - t0_s, why, who) for at_s, why, who in tally["failed"]),
        answers=tuple(Answers(tick * _TICK_S - t0_s, by) for tick, by in story),
        shares=happened.shares,
        away=tuple(happened.hands.away),
        slowest_s=tally["slowest_s"],
        took_s=took_s,
        done=tuple(happened.hands.done),
    )


def _live(found: EnvironmentBody) -> str:
    return found.live.id if found.live is not None else ""


def _is_at_rest(found: EnvironmentBody) -> bool:
    live = _live(found)
    own = [one.state for one in found.instances if one.release == live]
    return (
        len(own) == 2
        and set(own) == {"healthy"}
        and found.reached is not None
        and found.reached.release == live
        and (found.deploy is None or found.deploy.state in _ENDED)
    )


def _percent(rollouts: tuple[RolloutBody, ...]) -> float:
    """Of the visitors, that the candidate may have."""
    if not rollouts:
        return 0.0
    (rollout,) = rollouts
    match rollout.state:
        case "passed":
            return 100.0
        case "failed" | "aborted":
            return 0.0
        case _:
            return float(rollout.stages[rollout.stage].percent)


def _words(schedule: Schedule) -> str:
    return ", ".join(f"{one.fault} at {one.at_s:.1f} s" for one in schedule.moments)
