"""An edge's cache of a test's own: its process, the product behind it, and visitors in front of it."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from gantry.config.paths import Paths
from gantry.engines.edge_cache.process import EdgeCacheProcess
from gantry.engines.runtime.process import ProcessRuntime
from gantry.kernel.clock import SystemClock
from gantry.kernel.edge_names import BACKEND_HEADER, RESULT_HEADER

_CLOCK = SystemClock()
DEADLINE_S = 20.0
LIMIT_BYTES = 2_000_000


@dataclass
class Product:
    """The product that the cache asks: it answers what the test says, and counts."""

    socket: Path
    headers: str = "cache-control: s-maxage=60\r\n"
    status: int = 200
    body: bytes = b"page"
    cut: bool = False
    endless: bool = False
    piece: bytes = b"abc"
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    rest: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    server: asyncio.Server | None = None
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def start(self) -> None:
        self.gate.set()
        self.rest.set()
        self.server = await asyncio.start_unix_server(
            self._converse, self.socket, limit=1_000_000, backlog=1_024
        )

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            for writer in self.writers:
                writer.transport.abort()
            self.socket.unlink(missing_ok=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
                await self.gate.wait()
                if self.endless:
                    await self._flow(writer)
                    return
                unchanged = "if-none-match" in self.asked[-1].lower()
                status, body = (304, b"") if unchanged else (self.status, self.body)
                head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{self.headers}\r\n"
                writer.write(head.encode())
                await self.rest.wait()
                writer.write(body[: len(body) // 2] if self.cut else body)
                await writer.drain()
                if self.cut:
                    break
        writer.close()

    async def _flow(self, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 X\r\n{self.headers}transfer-encoding: chunked\r\n\r\n".encode())
        try:
            while True:
                writer.write(b"%x\r\n%s\r\n" % (len(self.piece), self.piece))
                await writer.drain()
                await asyncio.sleep(0.02)
        finally:
            self.left.set()


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory whose name is short enough for sockets."""
    directory = Path(tempfile.mkdtemp(prefix="gc-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def product(home: Path) -> AsyncIterator[Product]:
    """A product that listens where the cache asks."""
    product = Product(home / "inner.sock")
    await product.start()
    yield product
    await product.stop()


@pytest.fixture
async def runtime(home: Path) -> AsyncIterator[ProcessRuntime]:
    """A runtime whose processes are ended afterwards."""
    runtime = ProcessRuntime(Paths(home), _CLOCK)
    yield runtime
    for process_id in await runtime.statuses():
        await runtime.remove(process_id)
    await runtime.aclose()


def made(home: Path, runtime: ProcessRuntime, limit_bytes: int = LIMIT_BYTES) -> EdgeCacheProcess:
    """A cache that is not started."""
    return EdgeCacheProcess(
        paths=Paths(home),
        runtime=runtime,
        clock=_CLOCK,
        upstream=home / "inner.sock",
        limit_bytes=limit_bytes,
    )


@pytest.fixture
async def real(
    home: Path, runtime: ProcessRuntime, product: Product
) -> AsyncIterator[EdgeCacheProcess]:
    """A cache that runs."""
    cache = made(home, runtime)
    await cache.start()
    yield cache
    await cache.stop()


@contextlib.asynccontextmanager
async def visitor(
    cache: EdgeCacheProcess, max_connections: int = 100
) -> AsyncIterator[httpx.AsyncClient]:
    """A client that asks the cache as the edge does, for release `r-1`."""
    limits = httpx.Limits(max_connections=max_connections)
    transport = httpx.AsyncHTTPTransport(uds=str(cache.socket), limits=limits)
    headers = {BACKEND_HEADER: "r-1", "accept-encoding": "gzip"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://shop", headers=headers, timeout=DEADLINE_S
    ) as client:
        yield client


async def ask(cache: EdgeCacheProcess, path: str = "/", **headers: str) -> httpx.Response:
    """Ask as a visitor; in names of headers `_` is `-`."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with visitor(cache) as client:
        return await client.get(path, headers=sent)


def how(answer: httpx.Response) -> str:
    """What became of a request: `hit`, `stale`, `miss`, `bypass` or `away`."""
    return str(answer.headers[RESULT_HEADER])


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)
