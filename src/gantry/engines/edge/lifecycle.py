"""Envoy's processes: one that serves, and one after the other when it is out of date. Visitors notice neither."""

import asyncio
import logging
from pathlib import Path

from gantry.engines.edge import render
from gantry.engines.edge.admin import Admin
from gantry.engines.edge.files import ConfigFolder
from gantry.engines.edge.generations import Generation, Program, generations
from gantry.engines.edge.ports import check_free
from gantry.engines.runtime.protocol import ProcessState, Runtime
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError, TransientError

_log = logging.getLogger(__name__)

BOOTSTRAP = "bootstrap.json"
_CHECK_ID = "check-edge"
_START_DEADLINE_S = 20.0
_DRAIN_S = 5.0
_STOP_DEADLINE_S = 10.0
_POLL_S = 0.02
_LOG_BYTES = 8_000


class Lifecycle:
    """Starts, finds, succeeds and ends Envoy. Its caller lets one call end before the next."""

    def __init__(
        self,
        program: Program,
        place: render.Place,
        runtime: Runtime,
        admin: Admin,
        folder: ConfigFolder,
        clock: Clock,
    ) -> None:
        self._program = program
        self._place = place
        self._runtime = runtime
        self._admin = admin
        self._folder = folder
        self._clock = clock
        self._refused: set[str] = set()

    async def ensure(self) -> None:
        """Make sure that one serves, and that it is the one that should.

        Raises:
            UserError: `edge.port-taken`.
            TransientError: `edge.start-failed`.
        """
        serving = await self._serving() or await self._start_first()
        wanted = await asyncio.to_thread(self._wanted)
        # A third would end the first at once, whoever it still serves: its end is waited for, and wakes who asks here.
        alone = len(await self._running()) == 1
        outdated = wanted not in (serving.made_from, *self._refused)
        if self._program.hot and alone and outdated:
            serving = await self._succeed(serving, wanted)
        await self._tidy(serving)
        for generation in await self._running():
            # A predecessor that came back would open the ports beside its successor.
            wanted_back = generation == serving
            await self._runtime.restart_when_killed(generation.id, wanted=wanted_back)

    async def stop(self) -> None:
        """End every one of them, gently while there is time."""
        if not await self._running():
            return
        await self._drain()
        for generation in await self._running():
            await self._runtime.signal(generation.id)
        deadline_s = self._clock.monotonic_s() + _STOP_DEADLINE_S
        while await self._running() and self._clock.monotonic_s() < deadline_s:
            await self._runtime.wait_for_exit(timeout_s=0.1)
        await self._kill_all()

    async def log(self, size_bytes: int = _LOG_BYTES) -> str:
        """The last lines of the newest."""
        known = await self._known()
        if not known:
            return ""
        tail = await self._runtime.read_log(
            known[-1].id, offset=-size_bytes, limit_bytes=size_bytes
        )
        return tail.text

    async def _drain(self) -> None:
        """Take no more connections and let requests end, for as long as is decent."""
        deadline_s = self._clock.monotonic_s() + _DRAIN_S
        try:
            await self._admin.post("/drain_listeners")
            while self._clock.monotonic_s() < deadline_s:
                if not await self._admin.visitors_requests():
                    return
                await self._clock.sleep(_POLL_S)
        except TransientError:
            return  # it does not answer: there is nothing to be gentle with

    async def _serving(self) -> Generation | None:
        """The one that serves, once it is ready; `None` when there is none."""
        while running := await self._running():
            newest = running[-1]
            superseded = (await self._known())[-1] > newest
            if superseded and await self._admin.epoch() != newest.epoch:
                # Its successor was killed before it had ended: it takes no connections any more.
                await self._kill_all()
            # One that is found running may be about to end (it was just killed): then look again.
            elif await self._becomes_ready(newest):
                return newest
        return None

    async def _start_first(self) -> Generation:
        await asyncio.to_thread(check_free, self._place)
        self._write_first()
        first = Generation(0, await asyncio.to_thread(self._wanted))
        await self._runtime.start(self._program.spec(first))
        if not await self._becomes_ready(first):
            raise await self._start_failed()
        return first

    async def _succeed(self, serving: Generation, made_from: str) -> Generation:
        """Let another take the sockets over, if it can; the one that serves is left alone until it has."""
        successor = serving.successor(made_from)
        await self._runtime.restart_when_killed(serving.id, wanted=False)
        kept = self._folder.keep()
        self._folder.write(BOOTSTRAP, render.bootstrap(self._place))
        try:
            await self._check()
            await self._runtime.start(self._program.spec(successor))
            if await self._becomes_ready(successor):
                return successor
            raise await self._start_failed()
        except GantryError as error:
            self._refused.add(made_from)
            self._folder.restore(kept)
            await self._runtime.signal(successor.id, kill=True)
            await self._runtime.remove(successor.id)
            _log.warning("the edge goes on as it was: [%s] %s", error.code, error)
            # The successor's first act is to close its predecessor's admin interface.
            await self._admin.reconnect()
            if await self._admin.epoch() == serving.epoch:
                return serving
            await self._kill_all()
            return await self._start_first()

    async def _check(self) -> None:
        """Try the program and the bootstrap beside what serves.

        Raises:
            TransientError: `edge.start-failed`.
        """
        await self._runtime.remove(_CHECK_ID)
        await self._runtime.start(self._program.check_spec(_CHECK_ID, _START_DEADLINE_S))
        while (status := (await self._runtime.statuses())[_CHECK_ID]).state is ProcessState.RUNNING:
            await self._runtime.wait_for_exit(timeout_s=0.1)
        log = (await self._runtime.read_log(_CHECK_ID, offset=-_LOG_BYTES)).text
        await self._runtime.remove(_CHECK_ID)
        if status.exit_code != 0:
            raise _start_failed(log)

    async def _tidy(self, serving: Generation) -> None:
        """Forget those that have ended."""
        for generation in set(await self._known()) - set(await self._running()) - {serving}:
            await self._runtime.remove(generation.id)

    async def _kill_all(self) -> None:
        for generation in await self._running():
            await self._runtime.signal(generation.id, kill=True)
        while await self._running():
            await self._runtime.wait_for_exit(timeout_s=0.1)

    async def _known(self) -> tuple[Generation, ...]:
        return generations(await self._runtime.statuses())

    async def _running(self) -> tuple[Generation, ...]:
        """Those that run, the newest last."""
        statuses = await self._runtime.statuses()
        return generations(
            key for key, status in statuses.items() if status.state is ProcessState.RUNNING
        )

    async def _becomes_ready(self, generation: Generation) -> bool:
        """Wait until it answers; False if it ended instead.

        Raises:
            TransientError: `edge.start-failed` neither happens.
        """
        deadline_s = self._clock.monotonic_s() + _START_DEADLINE_S
        while await self._admin.epoch() != generation.epoch:
            if generation not in await self._running():
                return False
            if self._clock.monotonic_s() > deadline_s:
                raise await self._start_failed()
            await self._clock.sleep(_POLL_S)
            await self._admin.reconnect()
        return True

    def _wanted(self) -> str:
        """What the edge should be made from."""
        return self._program.made_from(render.bootstrap(self._place))

    async def _start_failed(self) -> TransientError:
        return _start_failed(await self.log())

    def _write_first(self) -> None:
        """A whole configuration: what was applied last, or an empty one that answers on the ports."""
        self._folder.make()
        Path(self._place.admin_socket).unlink(missing_ok=True)
        self._folder.write(BOOTSTRAP, render.bootstrap(self._place))
        for name, content in render.empty_files(self._place).items():
            if not self._folder.read(name):
                self._folder.write(name, content)


def _start_failed(log: str) -> TransientError:
    words = " / ".join(log.splitlines()[-3:])
    return TransientError(
        "edge.start-failed",
        f"the edge does not start: {words or 'it wrote nothing to its log'}",
        hint="gantry doctor",
    )
