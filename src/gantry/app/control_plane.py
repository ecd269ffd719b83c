"""The control plane: one process that holds the home's lock, serves the API and the console, and runs the reactor."""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from functools import partial

import uvicorn

from gantry.app.cleanup import Cleanups
from gantry.app.engines import LocalEngines, make_engines, npm_argv, npm_environment
from gantry.app.lock import HomeLock
from gantry.app.operator import OperatorToken
from gantry.app.platform import Platform
from gantry.config.settings import Settings
from gantry.engines.database.leadership import hold_leadership
from gantry.engines.database.migrate import migrate
from gantry.engines.database.postgres import PostgresDatabase
from gantry.engines.runtime.protocol import ProcessState
from gantry.features.instances.ending import end_process
from gantry.features.runs.bodies import MAX_MESSAGE_BYTES
from gantry.kernel.errors import PermanentError, UserError
from gantry.kernel.tasks import TaskSet
from gantry.kernel.trees import remove_tree
from gantry.web.app import create_app
from gantry.web.assets import ensure_assets
from gantry.web.render import assets_changed

_log = logging.getLogger(__name__)

_M_ARENA_MAX = -8  # <malloc.h>


class ControlPlane:
    """Starts in order, stops in reverse, and rolls a half start back.

    Parameters:
        progress: told what happens now, one short sentence at a time.
    """

    def __init__(self, settings: Settings, progress: Callable[[str], None]) -> None:
        self._settings = settings
        self._progress = progress
        self._cleanups = Cleanups()
        self._stop = asyncio.Event()
        self._end_platform = False

    async def run(self) -> None:
        """Serve until SIGTERM (the platform goes on without a control plane) or a request to end it all.

        Raises:
            ConflictError: `control.running`.
            GantryError: an engine did not start; what had been started is as before.
        """
        _share_one_heap()
        lock = HomeLock(self._settings.paths.lock).acquire()
        try:
            self._prepare_folders()
            engines = make_engines(self._settings)
            try:
                await self._run(engines)
                if self._end_platform:
                    await self._end(engines)
            finally:
                await engines.runtime.aclose()
        finally:
            # Last: who waits for the lock waits for everything.
            lock.release()

    async def _run(self, engines: LocalEngines) -> None:
        adopted = await _any_engine_runs(engines)
        try:
            await self._start(engines)
        except BaseException:
            await self._cleanups.aclose()
            if not adopted:
                # A half start leaves nothing behind; engines that ran before go on serving.
                await engines.stop()
            raise
        try:
            self._progress("ready")
            await self._stop.wait()
        finally:
            await self._cleanups.aclose()

    def shut_down(self) -> None:
        """End the whole platform; returns at once."""
        self._end_platform = True
        self._stop.set()

    async def _start(self, engines: LocalEngines) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        url = await self._start_database(engines)
        state = await self._open_database(url)
        tasks = TaskSet()
        self._cleanups.push("background tasks", tasks.aclose)
        platform = Platform(
            self._settings,
            engines,
            state,
            tasks,
            hold_leadership=partial(hold_leadership, url, engines.clock),
            shutdown=self.shut_down,
            closing=self._stop.is_set,
        )
        self._progress("starting the edge")
        await engines.edge.start()
        await self._serve(platform)
        # From npm, so it may take a while; until then the console is plainer.
        tasks.spawn(_fetch_assets(), name="console assets")

    def _prepare_folders(self) -> None:
        paths = self._settings.paths
        for folder in (paths.home, paths.run, paths.keys):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Its name can be guessed where it lies in a folder that everybody may write to.
        status = paths.run.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise UserError(
                "home.foreign-folder",
                f"{paths.run} belongs to somebody else (uid {status.st_uid})",
                hint="delete it, or choose a shorter GANTRY_HOME: then the sockets lie inside it",
                where="GANTRY_HOME",
            )

    async def _start_database(self, engines: LocalEngines) -> str:
        self._progress("starting the system database")
        return self._settings.database_url or await engines.start_system_database()

    async def _open_database(self, url: str) -> PostgresDatabase:
        self._progress("migrating the system database")
        await migrate(url)
        database = PostgresDatabase(url)
        await database.open()
        self._cleanups.push("the database pool", database.aclose)
        return database

    async def _serve(self, platform: Platform) -> None:
        operator = OperatorToken(self._settings.paths, platform.accounts, platform.clock)
        await operator.renew()
        platform.tasks.spawn(operator.keep_fresh(), name="operator token")
        platform.loops.start()
        self._cleanups.push("the loops", platform.loops.aclose)
        platform.tasks.spawn(platform.leader.run(), name="leadership")
        path = self._settings.paths.api_socket
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        server = _Server(
            uvicorn.Config(
                create_app(platform.services),
                uds=str(path),
                log_config=None,
                access_log=False,
                lifespan="off",
                loop="none",
                # Envoy closes its idle connections after 4 s: the one that may reuse must be the one that closes.
                timeout_keep_alive=30,
                timeout_graceful_shutdown=3,
                # What comes in one piece from whoever holds a run.
                ws="websockets-sansio",
                ws_max_size=MAX_MESSAGE_BYTES,
                # The edge alone connects here, and sets these headers itself.
                forwarded_allow_ips="*",
            )
        )
        platform.tasks.spawn(server.run_until_ended(), name="api")
        self._cleanups.push("the API", server.end)
        await server.answering()
        path.chmod(0o600)

    async def _end(self, engines: LocalEngines) -> None:
        """Stop instances, then the edge, then services, then the database."""
        statuses = await engines.runtime.statuses()
        products = [
            key
            for key, status in statuses.items()
            if status.state is ProcessState.RUNNING and not engines.is_engine(key)
        ]
        await asyncio.gather(
            *(end_process(engines.runtime, engines.clock, key) for key in products)
        )
        await engines.stop()
        paths = self._settings.paths
        if not paths.run.is_relative_to(paths.home):
            remove_tree(paths.run)  # nothing outside of the home stays behind


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the control plane decides when it ends."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._answers = asyncio.Event()
        self._ended = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the control plane."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Bind, and tell."""
        await super().startup(sockets)
        self._answers.set()

    async def run_until_ended(self) -> None:
        """Serve until told to end."""
        try:
            await self.serve()
        finally:
            self._ended.set()
            self._answers.set()

    async def answering(self) -> None:
        """Return when it takes requests.

        Raises:
            PermanentError: `control.no-socket` it could not bind.
        """
        await self._answers.wait()
        if self._ended.is_set():
            raise PermanentError(
                "control.no-socket",
                f"the API cannot listen on {self.config.uds}",
                hint="gantry doctor; is GANTRY_HOME on a file system that has sockets?",
            )

    async def end(self) -> None:
        """Take no more requests, and wait for those that run, at most 3 s."""
        self.should_exit = True
        await self._ended.wait()


def _share_one_heap() -> None:
    """Threads share one heap. With one for each, what a thread has freed is kept by it: a third more memory here."""
    with contextlib.suppress(AttributeError):  # only glibc has this switch, and these heaps
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


async def _fetch_assets() -> None:
    if await ensure_assets(npm_argv(), npm_environment()):
        assets_changed()


async def _any_engine_runs(engines: LocalEngines) -> bool:
    statuses = await engines.runtime.statuses()
    return any(
        engines.is_engine(key) and status.state is ProcessState.RUNNING
        for key, status in statuses.items()
    )
