"""The cache as a process of the runtime."""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from gantry.config.paths import Paths
from gantry.engines.cache.numbers import read_status
from gantry.engines.cache.protocol import CacheStatus, EdgeCache, Purge
from gantry.engines.cache.serve import PURGE_PATH, STATUS_PATH, Config
from gantry.engines.runtime.protocol import Limits, ProcessSpec, ProcessState, Runtime
from gantry.kernel.clock import Clock
from gantry.kernel.errors import TransientError

PROCESS = "cache"
_LARGEST_BYTES = 2_000_000
_START_DEADLINE_S = 20.0
_STOP_DEADLINE_S = 5.0
# Python with uvicorn takes 40 MB; bodies on their way and the allocator's waste come on top of what is kept.
_OVERHEAD_BYTES = 200_000_000


class CacheProcess:
    """Runs `gantry.engines.cache.serve`, and talks to it.

    Parameters:
        upstream: unix socket of the edge's inner listener.
        limit_bytes: of all answers together; a process that runs with another is replaced.
    """

    def __init__(
        self,
        *,
        paths: Paths,
        runtime: Runtime,
        clock: Clock,
        upstream: Path,
        limit_bytes: int,
    ) -> None:
        self._run = paths.run / "cache"
        self._runtime = runtime
        self._clock = clock
        self._config = Config(
            socket=str(self.socket),
            upstream=str(upstream),
            limit_bytes=limit_bytes,
            largest_bytes=min(_LARGEST_BYTES, limit_bytes // 4),
        )
        self._starting = asyncio.Lock()

    @property
    def socket(self) -> Path:
        """See `EdgeCache.socket`."""
        return self._run / "http.sock"

    async def start(self) -> None:
        """See `EdgeCache.start`."""
        async with self._starting:
            status = await self.status()
            if status.running and status.limit_bytes == self._config.limit_bytes:
                return
            await asyncio.to_thread(self._write_config)
            await self._runtime.remove(PROCESS)
            await self._runtime.start(self._spec())
            deadline_s = self._clock.monotonic_s() + _START_DEADLINE_S
            while not (await self.status()).running:
                found = (await self._runtime.statuses())[PROCESS]
                ended = found.state is not ProcessState.RUNNING
                if ended or self._clock.monotonic_s() > deadline_s:
                    raise await self._failure()
                await self._clock.sleep(0.02)

    async def revive(self) -> None:
        """See `EdgeCache.revive`."""
        found = (await self._runtime.statuses()).get(PROCESS)
        if found is not None and found.state is not ProcessState.RUNNING:
            await self.start()

    async def purge(self, what: Purge) -> int:
        """See `EdgeCache.purge`."""
        try:
            return int((await self._ask("POST", PURGE_PATH, asdict(what)))["purged"])
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            raise TransientError(
                "cache.unreachable",
                f"the edge's cache does not answer: {str(error) or type(error).__name__}",
                hint="gantry status",
            ) from error

    async def status(self) -> CacheStatus:
        """See `EdgeCache.status`."""
        try:
            return read_status(await self._ask("GET", STATUS_PATH, None))
        except (httpx.TransportError, httpx.HTTPStatusError, KeyError, TypeError):
            # The last two: one of another version, which says it in other words. `start` replaces it.
            return CacheStatus(running=False)

    async def stop(self) -> None:
        """See `EdgeCache.stop`."""
        await self._runtime.signal(PROCESS)
        deadline_s = self._clock.monotonic_s() + _STOP_DEADLINE_S
        while (
            found := (await self._runtime.statuses()).get(PROCESS)
        ) is not None and found.state is ProcessState.RUNNING:
            if self._clock.monotonic_s() > deadline_s:
                await self._runtime.signal(PROCESS, kill=True)
            await self._runtime.wait_for_exit(0.1)
        # Nobody takes it for one that ended by itself.
        await self._runtime.remove(PROCESS)

    async def _ask(self, method: str, path: str, words: object) -> dict[str, Any]:
        # Without a look at the certificate store: this is asked every two seconds, and reading it takes 50 ms.
        transport = httpx.AsyncHTTPTransport(uds=str(self.socket), verify=False)
        async with httpx.AsyncClient(transport=transport, timeout=5.0) as client:
            answer = await client.request(method, f"http://cache{path}", json=words)
            found: dict[str, Any] = answer.raise_for_status().json()
            return found

    def _write_config(self) -> None:
        self._run.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._run / "cache.json").write_text(json.dumps(asdict(self._config)))

    def _spec(self) -> ProcessSpec:
        return ProcessSpec(
            id=PROCESS,
            argv=(
                *(sys.executable, "-I", "-m", "gantry.engines.cache.serve"),
                str(self._run / "cache.json"),
            ),
            env={"PATH": "/usr/bin:/bin"},
            cwd=str(self._run),
            limits=Limits(memory_bytes=2 * self._config.limit_bytes + _OVERHEAD_BYTES),
            labels={"part": "cache"},
        )

    async def _failure(self) -> TransientError:
        tail = await self._runtime.read_log(PROCESS, offset=-4000)
        lines = tail.text.strip().splitlines()[-3:]
        return TransientError(
            "cache.start-failed",
            "the edge's cache does not start: " + (" / ".join(lines) or "it wrote nothing"),
            hint="gantry doctor",
            where=PROCESS,
        )


if TYPE_CHECKING:

    def _guard(cache: CacheProcess) -> EdgeCache:
        return cache
