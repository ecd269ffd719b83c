"""Hands that do a fault, and mend it."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from gantry.drill.disk import Disk
from gantry.drill.scratch import Platform
from gantry.drill.waiting import until
from gantry.drill.watching import Watch
from gantry.engines.runtime.protocol import ProcessState, Runtime
from gantry.features.drills.model import Fault, Moment
from gantry.features.drills.seen import Away, Deed

_POLL_S = 0.01
_PATIENCE_S = 20.0
_HANGS = frozenset({Fault.INSTANCE_HANGS, Fault.CONTROL_HANGS, Fault.EDGE_HANGS})
_PARTS = {
    # Its generations have names of their own.
    Fault.EDGE_KILLED: "edge-",
    Fault.EDGE_HANGS: "edge-",
    Fault.SYSTEM_DATABASE_KILLED: "postgres-system",
    Fault.DATA_DATABASE_KILLED: "postgres-data",
}


@dataclass
class Hands:
    """Does one fault at a time to one platform.

    Attributes:
        disk: of the platform; `None` where there is none of its own.
        clock_file: what is added to the control plane's clock.
        now_s: the clock of the load.
        watch: knows the candidate and the instances.
        answers: whether the public port answers a request now.
        live: identity of the release before.
        away: when the edge was not there.
        done: what came of each fault.
    """

    platform: Platform
    runtime: Runtime
    disk: Disk | None
    clock_file: Path
    now_s: Callable[[], float]
    watch: Watch
    answers: Callable[[], Awaitable[bool]]
    live: str
    away: list[Away] = field(default_factory=list)
    done: list[Deed] = field(default_factory=list)

    async def do(self, moment: Moment) -> None:
        """Do it, wait, and mend it."""
        match moment.fault:
            case Fault.INSTANCE_KILLED | Fault.INSTANCE_HANGS:
                await self._instance(moment, self.live)
            case Fault.CANDIDATE_KILLED:
                await self._instance(moment, self.watch.candidate)
            case Fault.CONTROL_KILLED | Fault.CONTROL_HANGS:
                await self._control(moment)
            case Fault.DISK_FULL:
                await self._disk(moment)
            case Fault.CLOCK_FORWARD:
                self._jump(moment)
            case _:
                await self._part(moment)

    async def _instance(self, moment: Moment, release: str) -> None:
        await self.watch.look_at_instances()
        own = [one for one in self.watch.instances if one.release == release and one.pid]
        if not own:
            self._nothing(moment, "nobody to do it to")
            return
        chosen = own[0]
        assert chosen.pid is not None
        deed = await self._signal(moment, chosen.pid, f"pid {chosen.pid} of {chosen.id}")
        self.done.append(replace(deed, release=release, port=chosen.port or 0))

    async def _control(self, moment: Moment) -> None:
        pid = self.platform.control_pid()
        deed = await self._signal(moment, pid, f"pid {pid}")
        if moment.fault is Fault.CONTROL_KILLED:
            await until(lambda: _gone(pid), _PATIENCE_S, every_s=_POLL_S)
            await asyncio.sleep(moment.lasts_s)
            await self.start_control()
            deed = replace(deed, to_s=self.now_s())
        self.done.append(deed)

    async def start_control(self) -> None:
        """`gantry up`, again until it is."""

        async def up() -> bool | None:
            done = await asyncio.to_thread(self.platform.run, "up", check=False)
            return True if done.returncode == 0 else None

        await until(up, 3 * _PATIENCE_S)

    async def _disk(self, moment: Moment) -> None:
        if self.disk is None:
            self._nothing(moment, "this machine mounts nothing")
            return
        began_s = self.now_s()
        await asyncio.to_thread(self.disk.fill)
        await asyncio.sleep(moment.lasts_s)
        self.disk.make_room()
        detail = f"for {moment.lasts_s:.1f} s"
        self.done.append(Deed(moment.fault, began_s, self.now_s(), detail))

    def _jump(self, moment: Moment) -> None:
        new = self.clock_file.with_suffix(".new")
        new.write_text(str(float(self.clock_file.read_text()) + moment.jump_s))
        new.replace(self.clock_file)  # nobody reads half of it
        at_s = self.now_s()
        self.done.append(Deed(moment.fault, at_s, at_s, f"by {moment.jump_s:.0f} s"))

    async def _part(self, moment: Moment) -> None:
        statuses = await self.runtime.statuses()
        running = [
            status.pid
            for key, status in sorted(statuses.items())
            if key.startswith(_PARTS[moment.fault])
            and status.state is ProcessState.RUNNING
            and status.pid
        ]
        if not running:
            self._nothing(moment, "it does not run")
            return
        pid = running[-1]
        deed = await self._signal(moment, pid, f"pid {pid}")
        self.done.append(deed)
        if deed.did and moment.fault in (Fault.EDGE_KILLED, Fault.EDGE_HANGS):
            await self._until_it_answers(deed, pid)

    async def _until_it_answers(self, deed: Deed, pid: int) -> None:
        if deed.fault is Fault.EDGE_KILLED:
            await until(lambda: _gone(pid), _PATIENCE_S, every_s=_POLL_S)
        await until(self._answers, _PATIENCE_S, every_s=_POLL_S)
        hung_s = deed.to_s - deed.at_s if deed.fault is Fault.EDGE_HANGS else 0.0
        self.away.append(Away(deed.at_s, self.now_s(), hung_s))

    async def _answers(self) -> bool | None:
        return True if await self.answers() else None

    async def _signal(self, moment: Moment, pid: int, what: str) -> Deed:
        """Kill it, or stop it and let it go on: what came of that."""
        hangs = moment.fault in _HANGS
        at_s = self.now_s()
        try:
            os.kill(pid, signal.SIGSTOP if hangs else signal.SIGKILL)
        except ProcessLookupError:
            return Deed(moment.fault, at_s, at_s, f"{what} had just ended", did=False)
        if not hangs:
            return Deed(moment.fault, at_s, at_s, what)
        await asyncio.sleep(moment.lasts_s)
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            what += ", which was ended meanwhile"
        return Deed(moment.fault, at_s, self.now_s(), what)

    def _nothing(self, moment: Moment, why: str) -> None:
        at_s = self.now_s()
        self.done.append(Deed(moment.fault, at_s, at_s, why, did=False))


async def _gone(pid: int) -> bool | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return None
