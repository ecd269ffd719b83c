"""Injects the faults of a schedule into a platform, and undoes them."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from gantry.drill.observed import EdgeOutage, InjectedFault
from gantry.drill.recording import Watch
from gantry.drill.schedule import Fault, ScheduledFault
from gantry.drill.scratch import Disk, Platform
from gantry.drill.wait import until
from gantry.engines.runtime.protocol import ProcessState, Runtime
from gantry.kernel.files import replace_file

_INTERVAL_S = 0.01
_TIMEOUT_S = 20.0
_START_TIMEOUT_S = 60.0
_HANGS = frozenset({Fault.INSTANCE_HANGS, Fault.CONTROL_HANGS, Fault.EDGE_HANGS})
_PROCESS_PREFIXES = {
    # Its generations have names of their own.
    Fault.EDGE_KILLED: "edge-",
    Fault.EDGE_HANGS: "edge-",
    Fault.SYSTEM_DATABASE_KILLED: "postgres-system",
    Fault.DATA_DATABASE_KILLED: "postgres-data",
}


@dataclass
class FaultInjector:
    """Injects one fault at a time into one platform.

    Attributes:
        disk: of the platform; `None` where there is none of its own.
        clock_file: what is added to the control plane's clock.
        watch: knows the candidate, the instances and the clock of the load.
        edge_answers: whether the public port answers a request now.
        live: identity of the previous release.
        outages: when the edge was not there.
        injected: what came of each fault.
    """

    platform: Platform
    runtime: Runtime
    disk: Disk | None
    clock_file: Path
    watch: Watch
    edge_answers: Callable[[], Awaitable[bool]]
    live: str
    outages: list[EdgeOutage] = field(default_factory=list)
    injected: list[InjectedFault] = field(default_factory=list)

    async def inject(self, scheduled: ScheduledFault) -> None:
        """Inject a fault, wait as long as it lasts, and undo it."""
        match scheduled.fault:
            case Fault.INSTANCE_KILLED | Fault.INSTANCE_HANGS:
                await self._hit_instance(scheduled, self.live)
            case Fault.CANDIDATE_KILLED:
                await self._hit_instance(scheduled, self.watch.candidate)
            case Fault.CONTROL_KILLED | Fault.CONTROL_HANGS:
                await self._hit_control_plane(scheduled)
            case Fault.DISK_FULL:
                await self._fill_disk(scheduled)
            case Fault.CLOCK_FORWARD:
                self._move_clock(scheduled)
            case _:
                await self._hit_engine(scheduled)

    async def _hit_instance(self, scheduled: ScheduledFault, release: str) -> None:
        await self.watch.observe_instances()
        instances = [
            instance
            for instance in self.watch.instances
            if instance.release == release and instance.pid
        ]
        if not instances:
            self._missed(scheduled, "no instance of it was running")
            return
        chosen = instances[0]
        assert chosen.pid is not None
        injected = await self._signal(scheduled, chosen.pid, f"pid {chosen.pid} of {chosen.id}")
        self.injected.append(replace(injected, release=release, port=chosen.port or 0))

    async def _hit_control_plane(self, scheduled: ScheduledFault) -> None:
        pid = self.platform.control_pid()
        injected = await self._signal(scheduled, pid, f"pid {pid}")
        if scheduled.fault is Fault.CONTROL_KILLED:
            await until(lambda: _is_gone(pid), _TIMEOUT_S, interval_s=_INTERVAL_S)
            await asyncio.sleep(scheduled.lasts_s)
            await self._start_control_plane()
            injected = replace(injected, to_s=self.watch.now_s())
        self.injected.append(injected)

    async def _start_control_plane(self) -> None:
        """Run `gantry up` until it succeeds."""

        async def up() -> bool | None:
            done = await asyncio.to_thread(self.platform.run, "up", check=False)
            return True if done.returncode == 0 else None

        await until(up, _START_TIMEOUT_S)

    async def _fill_disk(self, scheduled: ScheduledFault) -> None:
        if self.disk is None:
            self._missed(scheduled, "no disk can be mounted on this machine")
            return
        began_s = self.watch.now_s()
        await asyncio.to_thread(self.disk.fill)
        await asyncio.sleep(scheduled.lasts_s)
        self.disk.make_room()
        detail = f"for {scheduled.lasts_s:.1f} s"
        self.injected.append(
            InjectedFault(scheduled.fault, began_s, self.watch.now_s(), detail),
        )

    def _move_clock(self, scheduled: ScheduledFault) -> None:
        ahead_s = float(self.clock_file.read_text()) + scheduled.jump_s
        replace_file(self.clock_file, str(ahead_s), fsync=False)  # nobody reads half of it
        at_s = self.watch.now_s()
        detail = f"by {scheduled.jump_s:.0f} s"
        self.injected.append(InjectedFault(scheduled.fault, at_s, at_s, detail))

    async def _hit_engine(self, scheduled: ScheduledFault) -> None:
        statuses = await self.runtime.statuses()
        running = [
            status.pid
            for key, status in sorted(statuses.items())
            if key.startswith(_PROCESS_PREFIXES[scheduled.fault])
            and status.state is ProcessState.RUNNING
            and status.pid
        ]
        if not running:
            self._missed(scheduled, "it was not running")
            return
        pid = running[-1]
        injected = await self._signal(scheduled, pid, f"pid {pid}")
        self.injected.append(injected)
        if injected.hit and scheduled.fault in (Fault.EDGE_KILLED, Fault.EDGE_HANGS):
            await self._until_edge_answers(injected, pid)

    async def _until_edge_answers(self, injected: InjectedFault, pid: int) -> None:
        if injected.fault is Fault.EDGE_KILLED:
            await until(lambda: _is_gone(pid), _TIMEOUT_S, interval_s=_INTERVAL_S)

        async def is_back() -> bool | None:
            return True if await self.edge_answers() else None

        await until(is_back, _TIMEOUT_S, interval_s=_INTERVAL_S)
        hung_s = injected.to_s - injected.at_s if injected.fault is Fault.EDGE_HANGS else 0.0
        self.outages.append(EdgeOutage(injected.at_s, self.watch.now_s(), hung_s))

    async def _signal(self, scheduled: ScheduledFault, pid: int, target: str) -> InjectedFault:
        """Kill a process, or stop it and let it continue.

        Parameters:
            target: the process, for people.
        """
        hangs = scheduled.fault in _HANGS
        at_s = self.watch.now_s()
        try:
            os.kill(pid, signal.SIGSTOP if hangs else signal.SIGKILL)
        except ProcessLookupError:
            return InjectedFault(scheduled.fault, at_s, at_s, f"{target} had just ended", hit=False)
        if not hangs:
            return InjectedFault(scheduled.fault, at_s, at_s, target)
        await asyncio.sleep(scheduled.lasts_s)
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            target += ", which was ended meanwhile"
        return InjectedFault(scheduled.fault, at_s, self.watch.now_s(), target)

    def _missed(self, scheduled: ScheduledFault, reason: str) -> None:
        at_s = self.watch.now_s()
        self.injected.append(InjectedFault(scheduled.fault, at_s, at_s, reason, hit=False))


async def _is_gone(pid: int) -> bool | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return None
