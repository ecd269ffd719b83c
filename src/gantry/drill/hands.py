"""Hands that do a fault, and mend it."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gantry.drill.control import Control
from gantry.drill.disk import Disk
from gantry.drill.scratch import Platform
from gantry.drill.waiting import until
from gantry.engines.runtime.protocol import ProcessState, Runtime
from gantry.features.drills.model import Away, Fault, Moment
from gantry.wire.shapes import InstanceBody

_POLL_S = 0.01
_PATIENCE_S = 20.0
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
        live, candidate: identities of the releases, as the drill learns them.
        instances: as they were when the control plane said so last.
        away: when the edge was not there.
        done: what was done, one sentence each.
    """

    platform: Platform
    control: Control
    runtime: Runtime
    disk: Disk | None
    clock_file: Path
    now_s: Callable[[], float]
    live: str = ""
    candidate: str = ""
    instances: tuple[InstanceBody, ...] = ()
    away: list[Away] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    async def do(self, moment: Moment) -> None:
        """Do it, wait, and mend it."""
        match moment.fault:
            case Fault.INSTANCE_KILLED | Fault.INSTANCE_HANGS:
                await self._instance(moment, self.live)
            case Fault.CANDIDATE_KILLED:
                await self._instance(moment, self.candidate)
            case Fault.CONTROL_KILLED | Fault.CONTROL_HANGS:
                await self._control(moment)
            case Fault.DISK_FULL:
                await self._disk(moment)
            case Fault.CLOCK_FORWARD:
                self._jump(moment)
            case _:
                await self._part(moment)

    async def _instance(self, moment: Moment, release: str) -> None:
        environment = await self.control.environment()
        if environment is not None:
            self.instances = environment.instances
        own = [one for one in self.instances if one.release == release and one.pid and release]
        if not own:
            self._say(moment, "nobody to do it to")
            return
        chosen = own[0]
        assert chosen.pid is not None
        await self._signal(moment, chosen.pid, f"pid {chosen.pid} of {chosen.id}")

    async def _control(self, moment: Moment) -> None:
        pid = self.platform.control_pid()
        if moment.fault is Fault.CONTROL_HANGS:
            await self._signal(moment, pid, f"pid {pid}")
            return
        await self._signal(moment, pid, f"pid {pid}")
        await until(lambda: _gone(pid), _PATIENCE_S, every_s=_POLL_S)
        await asyncio.sleep(moment.lasts_s)
        await self.start_control()

    async def start_control(self) -> None:
        """`gantry up`, again until it is."""

        async def up() -> bool | None:
            done = await asyncio.to_thread(self.platform.run, "up", check=False)
            return True if done.returncode == 0 else None

        await until(up, 3 * _PATIENCE_S)

    async def _disk(self, moment: Moment) -> None:
        if self.disk is None:
            self._say(moment, "this machine mounts nothing")
            return
        await asyncio.to_thread(self.disk.fill)
        self._say(moment, f"for {moment.lasts_s:.1f} s")
        await asyncio.sleep(moment.lasts_s)
        self.disk.make_room()

    def _jump(self, moment: Moment) -> None:
        new = self.clock_file.with_suffix(".new")
        new.write_text(str(float(self.clock_file.read_text()) + moment.jump_s))
        new.replace(self.clock_file)  # nobody reads half of it
        self._say(moment, f"by {moment.jump_s:.0f} s")

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
            self._say(moment, "it does not run")
            return
        began_s, killed = self.now_s(), running[-1]
        await self._signal(moment, killed, f"pid {killed}")
        if moment.fault is Fault.EDGE_KILLED:
            await until(lambda: _gone(killed), _PATIENCE_S, every_s=_POLL_S)
            await until(self._answers, _PATIENCE_S, every_s=_POLL_S)
            self.away.append(Away(began_s, self.now_s()))

    async def _answers(self) -> bool | None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.platform.https_port)
        except OSError:
            return None
        writer.close()
        return True

    async def _signal(self, moment: Moment, pid: int, what: str) -> None:
        hangs = moment.fault in (Fault.INSTANCE_HANGS, Fault.CONTROL_HANGS, Fault.EDGE_HANGS)
        try:
            os.kill(pid, signal.SIGSTOP if hangs else signal.SIGKILL)
        except ProcessLookupError:
            self._say(moment, f"{what} had just ended")
            return
        self._say(moment, what)
        if hangs:
            await asyncio.sleep(moment.lasts_s)
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                self.done.append(f"{self.now_s():.1f} s: {what} was ended meanwhile")

    def _say(self, moment: Moment, detail: str) -> None:
        self.done.append(f"{self.now_s():.1f} s: {moment.fault}: {detail}")


async def _gone(pid: int) -> bool | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return None
