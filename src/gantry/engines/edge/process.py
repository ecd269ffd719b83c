"""Envoy's processes: one that serves, and one after the other when it is out of date. Visitors notice neither.

Everything that a new control plane must know of them is in their names: which takes over from which, and what each was
made from.
"""

import asyncio
import hashlib
import json
import logging
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from gantry.engines.edge import render
from gantry.engines.edge.admin import Admin
from gantry.engines.edge.apply import ConfigDirectory
from gantry.engines.runtime.protocol import Limits, ProcessSpec, ProcessState, Runtime
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError, TransientError, UserError

_log = logging.getLogger(__name__)

BOOTSTRAP = "bootstrap.json"
PREFIX = "edge-"
_CHECK_ID = "check-edge"
_NAME = re.compile(r"edge-(\d{1,9})-([0-9a-f]{8})")
# Envoy multiplies it by ten and adds the epoch, within 32 bits.
_BASE_IDS = 400_000_000
_START_TIMEOUT_S = 20.0
_DRAIN_TIMEOUT_S = 5.0
_STOP_TIMEOUT_S = 10.0
_INTERVAL_S = 0.02
_MAX_LOG_BYTES = 8_000


@dataclass(frozen=True, slots=True)
class DrainTimes:
    """How long a predecessor goes on. New connections go to its successor at once.

    Attributes:
        drain_s: within this time its connections are told, with their next response, to come anew.
        end_s: then it ends, and cuts what still lasts: a stream, a WebSocket.
    """

    drain_s: int = 10
    end_s: int = 60


@dataclass(frozen=True, slots=True, order=True)
class Generation:
    """One Envoy process.

    Attributes:
        epoch: 0 for one that was started where none ran; a successor's is one more than its predecessor's.
        made_from: digest of the program, its arguments and its bootstrap: where it differs, it is another edge.
    """

    epoch: int
    made_from: str

    @property
    def id(self) -> str:
        """Name of its process."""
        return f"{PREFIX}{self.epoch}-{self.made_from}"

    def successor(self, made_from: str) -> "Generation":
        """The one that takes its sockets over."""
        return Generation(self.epoch + 1, made_from)


def _offsets(cursor: str) -> Iterator[tuple[str, int]]:
    for part in filter(None, cursor.split(",")):
        name, _, offset = part.rpartition(":")
        if offset.isdecimal():
            yield name, int(offset)


def generations(process_ids: Iterable[str]) -> tuple[Generation, ...]:
    """Those among many processes, the newest last."""
    names = (_NAME.fullmatch(process_id) for process_id in process_ids)
    return tuple(sorted(Generation(int(name[1]), name[2]) for name in names if name))


@dataclass(frozen=True, slots=True)
class Program:
    """What is run as the edge.

    Attributes:
        path: Envoy.
        directory: where its configuration lies.
        workers: threads that serve.
        hot: successors take sockets over; it needs shared memory.
        drain_times: of a predecessor.
    """

    path: Path
    directory: str
    workers: int
    hot: bool
    drain_times: DrainTimes

    def made_from(self, bootstrap: object) -> str:
        """Digest of all that a successor would be made for. A program that was replaced in its place counts."""
        status = self.path.stat()
        parts = [self._argv(), status.st_size, status.st_mtime_ns, bootstrap]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]

    def spec(self, generation: Generation) -> ProcessSpec:
        """The process of a generation."""
        return ProcessSpec(
            id=generation.id,
            argv=(*self._argv(), *self._epoch(generation.epoch)),
            env={"PATH": "/usr/bin:/bin"},
            cwd=self.directory,
            limits=Limits(processes=None),
            labels={"part": "edge"},
        )

    def check_spec(self, process_id: str, timeout_s: float) -> ProcessSpec:
        """A task that tries whether the program takes the bootstrap, without touching anything that serves."""
        return ProcessSpec(
            id=process_id,
            argv=(*self._argv(), "--disable-hot-restart", "--mode", "validate"),
            env={"PATH": "/usr/bin:/bin"},
            cwd=self.directory,
            limits=Limits(processes=None),
            timeout_s=timeout_s,
            labels={"part": "edge"},
        )

    def _argv(self) -> tuple[str, ...]:
        return (
            str(self.path),
            *("--config-path", f"{self.directory}/bootstrap.json"),
            *("--concurrency", str(self.workers)),
            *("--log-level", "warning"),
            *(
                "--drain-time-s",
                str(self.drain_times.drain_s),
                "--file-flush-interval-msec",
                "1000",
            ),
        )

    def _epoch(self, epoch: int) -> tuple[str, ...]:
        if not self.hot:
            return ("--disable-hot-restart",)
        # One for each platform on a machine, and the same for all its generations.
        base_id = zlib.crc32(self.directory.encode()) % _BASE_IDS
        return (
            *("--base-id", str(base_id), "--restart-epoch", str(epoch)),
            *("--parent-shutdown-time-s", str(self.drain_times.end_s)),
            # A successor that its shim runs again after its predecessor has ended.
            "--skip-hot-restart-on-no-parent",
        )


class EnvoyProcesses:
    """Starts, finds, succeeds and ends Envoy. Its caller lets one call end before the next."""

    def __init__(
        self,
        program: Program,
        paths: render.EdgePaths,
        runtime: Runtime,
        admin: Admin,
        directory: ConfigDirectory,
        clock: Clock,
    ) -> None:
        self._program = program
        self._paths = paths
        self._runtime = runtime
        self._admin = admin
        self._directory = directory
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
        deadline_s = self._clock.monotonic_s() + _STOP_TIMEOUT_S
        # The newest first: one that loses its predecessor while it asks it something hangs for ten seconds.
        for generation in reversed(await self._running()):
            await self._runtime.signal(generation.id)
            while generation in await self._running() and self._clock.monotonic_s() < deadline_s:
                await self._runtime.wait_for_exit(timeout_s=0.1)
        await self._kill_all()

    async def log(self, size_bytes: int = _MAX_LOG_BYTES) -> str:
        """The last lines of the newest."""
        known = await self._known()
        if not known:
            return ""
        tail = await self._runtime.read_log(
            known[-1].id, offset=-size_bytes, limit_bytes=size_bytes
        )
        return tail.text

    async def logs_since(self, cursor: str, size_bytes: int) -> tuple[tuple[str, ...], str]:
        """What every generation has logged since `cursor`, and where to go on; the last `size_bytes` of each without one."""
        offsets = dict(_offsets(cursor))
        texts, reached = [], []
        for generation in await self._known():
            # One that came since is read from its beginning.
            offset = offsets.get(generation.id, 0 if cursor else -size_bytes)
            chunk = await self._runtime.read_log(
                generation.id, offset=offset, limit_bytes=size_bytes
            )
            texts.append(chunk.text)
            reached.append(f"{generation.id}:{chunk.next_offset}")
        return tuple(texts), ",".join(reached)

    async def _drain(self) -> None:
        """Take no more connections and let requests end, for as long as is decent."""
        deadline_s = self._clock.monotonic_s() + _DRAIN_TIMEOUT_S
        try:
            await self._admin.post("/drain_listeners")
            while self._clock.monotonic_s() < deadline_s:
                if not await self._admin.visitors_requests():
                    return
                await self._clock.sleep(_INTERVAL_S)
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
        await asyncio.to_thread(check_free, self._paths)
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
        kept = self._directory.keep()
        self._directory.write(BOOTSTRAP, render.bootstrap(self._paths))
        try:
            await self._check()
            await self._runtime.start(self._program.spec(successor))
            if await self._becomes_ready(successor):
                return successor
            raise await self._start_failed()
        except GantryError as error:
            self._refused.add(made_from)
            self._directory.restore(kept)
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
        await self._runtime.start(self._program.check_spec(_CHECK_ID, _START_TIMEOUT_S))
        while (status := (await self._runtime.statuses())[_CHECK_ID]).state is ProcessState.RUNNING:
            await self._runtime.wait_for_exit(timeout_s=0.1)
        log = (await self._runtime.read_log(_CHECK_ID, offset=-_MAX_LOG_BYTES)).text
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
        deadline_s = self._clock.monotonic_s() + _START_TIMEOUT_S
        while await self._admin.epoch() != generation.epoch:
            if generation not in await self._running():
                return False
            if self._clock.monotonic_s() > deadline_s:
                raise await self._start_failed()
            await self._clock.sleep(_INTERVAL_S)
            await self._admin.reconnect()
        return True

    def _wanted(self) -> str:
        """What the edge should be made from."""
        return self._program.made_from(render.bootstrap(self._paths))

    async def _start_failed(self) -> TransientError:
        return _start_failed(await self.log())

    def _write_first(self) -> None:
        """A whole configuration: what was applied last, or an empty one that answers on the ports."""
        self._directory.make()
        Path(self._paths.admin_socket).unlink(missing_ok=True)
        self._directory.write(BOOTSTRAP, render.bootstrap(self._paths))
        for name, content in render.empty_files(self._paths).items():
            if not self._directory.read(name):
                self._directory.write(name, content)


def _start_failed(log: str) -> TransientError:
    message = " / ".join(log.splitlines()[-3:])
    return TransientError(
        "edge.start-failed",
        f"the edge does not start: {message or 'it wrote nothing to its log'}",
        hint="gantry doctor",
    )


def check_free(paths: render.EdgePaths) -> None:
    """Make sure that nobody listens on the public ports.

    Raises:
        UserError: `edge.port-taken` with the program's name, where it can be seen.
    """
    listening = {
        connection.laddr.port: connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.laddr and connection.status == psutil.CONN_LISTEN
    }
    for variable, port in (
        ("GANTRY_HTTP_PORT", paths.http_port),
        ("GANTRY_HTTPS_PORT", paths.https_port),
    ):
        if port in listening:
            raise UserError(
                "edge.port-taken",
                f"port {port} is taken by {_program(listening[port])}",
                hint=f"end it, or choose another: {variable}={port + 1000}",
                where=variable,
            )


def _program(pid: int | None) -> str:
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})" if pid else "another program"
    except psutil.Error:
        return "another program"
