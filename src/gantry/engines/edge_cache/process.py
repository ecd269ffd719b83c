"""The cache as a process of the runtime: how it is started, asked and ended."""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from gantry.cache.serve import PURGE_PATH, STATUS_PATH, CacheConfig
from gantry.config.paths import Paths
from gantry.engines.edge_cache.protocol import CacheNumbers, CacheStatus, EdgeCache, Purge
from gantry.engines.runtime.protocol import Limits, ProcessSpec, ProcessState, Runtime
from gantry.engines.runtime.starting import StartError, start_and_wait
from gantry.kernel.clock import Clock
from gantry.kernel.errors import TransientError

PROCESS = "cache"
_MAX_ANSWER_BYTES = 2_000_000
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 5.0
_ASK_TIMEOUT_S = 5.0
_INTERVAL_STOP_S = 0.1
# Python with uvicorn takes 40 MB; bodies on their way and the allocator's waste come on top of what is kept.
_OVERHEAD_BYTES = 200_000_000
# No answer; or, the last three, one of another version, which says it otherwise. `start` replaces that.
_NO_ANSWER = (httpx.HTTPError, ValueError, KeyError, TypeError)


class EdgeCacheProcess:
    """Runs `gantry.cache.serve`, and asks it.

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
        self._config = CacheConfig(
            socket=str(self.socket),
            upstream=str(upstream),
            limit_bytes=limit_bytes,
            max_answer_bytes=min(_MAX_ANSWER_BYTES, limit_bytes // 4),
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
            try:
                await start_and_wait(
                    self._runtime, self._clock, self._spec(), self._answers, _START_TIMEOUT_S
                )
            except StartError as error:
                raise TransientError(
                    "cache.start-failed",
                    f"the edge's cache does not start: {error}",
                    hint="gantry doctor",
                    where=PROCESS,
                ) from error

    async def revive(self) -> None:
        """See `EdgeCache.revive`."""
        found = (await self._runtime.statuses()).get(PROCESS)
        if found is not None and found.state is not ProcessState.RUNNING:
            await self.start()

    async def purge(self, what: Purge) -> int:
        """See `EdgeCache.purge`."""
        try:
            return int((await self._ask("POST", PURGE_PATH, asdict(what)))["purged"])
        except _NO_ANSWER as error:
            raise TransientError(
                "cache.unreachable",
                f"the edge's cache does not answer: {str(error) or type(error).__name__}",
                hint="gantry status",
            ) from error

    async def status(self) -> CacheStatus:
        """See `EdgeCache.status`."""
        try:
            return read_status(await self._ask("GET", STATUS_PATH, None))
        except _NO_ANSWER:
            return CacheStatus(running=False)

    async def stop(self) -> None:
        """See `EdgeCache.stop`."""
        await self._runtime.signal(PROCESS)
        deadline_s = self._clock.monotonic_s() + _STOP_TIMEOUT_S
        while (
            found := (await self._runtime.statuses()).get(PROCESS)
        ) is not None and found.state is ProcessState.RUNNING:
            if self._clock.monotonic_s() > deadline_s:
                await self._runtime.signal(PROCESS, kill=True)
            await self._runtime.wait_for_exit(_INTERVAL_STOP_S)
        # Nobody takes it for one that ended by itself.
        await self._runtime.remove(PROCESS)

    async def _ask(self, method: str, path: str, content: object) -> dict[str, Any]:
        # Without a look at the certificate store: this is asked every two seconds, and reading it takes 50 ms.
        transport = httpx.AsyncHTTPTransport(uds=str(self.socket), verify=False)
        async with httpx.AsyncClient(transport=transport, timeout=_ASK_TIMEOUT_S) as client:
            answer = await client.request(method, f"http://cache{path}", json=content)
            found: dict[str, Any] = answer.raise_for_status().json()
            return found

    def _write_config(self) -> None:
        self._run.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._run / "cache.json").write_text(json.dumps(asdict(self._config)))

    def _spec(self) -> ProcessSpec:
        return ProcessSpec(
            id=PROCESS,
            argv=(
                *(sys.executable, "-I", "-m", "gantry.cache.serve"),
                str(self._run / "cache.json"),
            ),
            env={"PATH": "/usr/bin:/bin"},
            cwd=str(self._run),
            limits=Limits(memory_bytes=2 * self._config.limit_bytes + _OVERHEAD_BYTES),
            labels={"part": "cache"},
        )

    async def _answers(self) -> bool:
        return (await self.status()).running


def read_status(content: Mapping[str, Any]) -> CacheStatus:
    """The status that a process tells as JSON.

    Raises:
        KeyError, TypeError: it is of another version.
    """
    lately = {backend: CacheNumbers(**numbers) for backend, numbers in content["lately"].items()}
    return CacheStatus(**{**content, "total": CacheNumbers(**content["total"]), "lately": lately})


if TYPE_CHECKING:

    def _guard(cache: EdgeCacheProcess) -> EdgeCache:
        return cache
