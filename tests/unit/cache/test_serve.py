"""The process of the edge's cache, without its server: what visitors are told when, and who is not waited for."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gantry.cache.policy import Headers
from gantry.cache.serve import App, AsgiVisitor, CacheConfig
from gantry.kernel.edge_names import BACKEND_HEADER
from tests.support.edge_cache import Product, until

# Far below what the product may be silent.
_EARLY_S = 2.0


@dataclass
class Server:
    """What uvicorn is to the application: it brings messages of one request, and takes those of its answer."""

    method: str = "GET"
    path: str = "/"
    headers: Headers = ((BACKEND_HEADER.encode(), b"r-1"), (b"host", b"shop"))
    brought: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    sent: list[Any] = field(default_factory=list)

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    def bring(self, body: bytes = b"", *, more: bool = False) -> None:
        self.brought.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def leave(self) -> None:
        """The other end closes the connection."""
        self.brought.put_nowait({"type": "http.disconnect"})

    async def run(self, app: App) -> None:
        scope = {
            "type": "http",
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "headers": self.headers,
        }
        await app(scope, self.brought.get, self.send)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


@pytest.fixture
async def product() -> AsyncIterator[Product]:
    directory = Path(tempfile.mkdtemp(prefix="gs-"))
    product = Product(directory / "inner.sock")
    await product.start()
    yield product
    await product.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def app(product: Product) -> App:
    return App(
        CacheConfig("", str(product.socket), limit_bytes=1_000_000, max_answer_bytes=100_000)
    )


# -- what is held for a moment ---------------------------------------------------------------


class Turns:
    """Whether the loop has turned: what waits for anything lets it."""

    def __init__(self) -> None:
        self.happened = False
        asyncio.get_running_loop().call_soon(self._note)

    def _note(self) -> None:
        self.happened = True


async def test_what_is_held_is_said_as_soon_as_it_is_whole() -> None:
    server = Server()
    visitor = AsgiVisitor(server.send)
    await visitor.begin(200, ())
    await visitor.send(b"page")
    assert not server.sent
    turns = Turns()
    await visitor.end()
    assert not turns.happened
    assert ([message["type"] for message in server.sent], server.body) == (
        ["http.response.start", "http.response.body"],
        b"page",
    )
    visitor.leave()


async def test_what_is_held_is_said_as_soon_as_it_is_much() -> None:
    server = Server()
    visitor = AsgiVisitor(server.send)
    await visitor.begin(200, ((b"content-length", b"1000000"),))
    await visitor.send(b"x" * 60_000)
    assert not server.sent
    turns = Turns()
    await visitor.send(b"x" * 10_000)
    assert not turns.happened
    assert len(server.body) == 70_000
    assert server.sent[-1]["more_body"]
    visitor.leave()


async def test_what_is_streamed_is_said_though_it_has_no_end() -> None:
    server = Server()
    visitor = AsgiVisitor(server.send)
    await visitor.begin(200, ())
    await visitor.send(b"event")
    async with asyncio.timeout(_EARLY_S):
        await until(lambda: server.body == b"event")
    assert server.sent[-1]["more_body"]


# -- its waits end early ---------------------------------------------------------------------


async def test_an_answer_ends_the_wait_for_a_visitor_who_stays(app: App, product: Product) -> None:
    server = Server()
    server.bring()
    async with asyncio.timeout(_EARLY_S):
        await server.run(app)
    assert (server.sent[0]["status"], server.body) == (200, b"page")


async def test_a_visitor_who_leaves_ends_the_wait_for_what_only_they_want(
    app: App, product: Product
) -> None:
    product.gate.clear()
    server = Server(method="POST")
    server.bring()
    async with asyncio.timeout(_EARLY_S):
        running = asyncio.ensure_future(server.run(app))
        await until(lambda: product.asked)
        server.leave()
        await running
    assert not server.sent


async def test_what_others_can_use_ends_with_its_answer(app: App, product: Product) -> None:
    product.gate.clear()
    first, second = Server(), Server()
    async with asyncio.timeout(_EARLY_S):
        running = asyncio.ensure_future(first.run(app))
        await until(lambda: product.asked)
        first.bring()
        first.leave()
        waiting = asyncio.ensure_future(second.run(app))
        await until(first.brought.empty)
        product.gate.set()
        await asyncio.gather(running, waiting)
    assert (second.body, len(product.asked)) == (b"page", 1)


async def test_what_others_can_use_ends_when_the_product_does(app: App, product: Product) -> None:
    product.gate.clear()
    server = Server()
    async with asyncio.timeout(_EARLY_S):
        running = asyncio.ensure_future(server.run(app))
        await until(lambda: product.asked)
        server.leave()
        await until(server.brought.empty)
        await product.stop()
        await running
    assert not [message for message in server.sent if message.get("status") == 200]


async def test_a_purge_that_is_cut_ends(app: App) -> None:
    server = Server("POST", "/purge", headers=())
    server.bring(b'{"backends": ["r', more=True)
    server.leave()
    async with asyncio.timeout(_EARLY_S):
        await server.run(app)
    assert server.sent[0]["status"] == 500
