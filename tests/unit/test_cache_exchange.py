"""One request after the other, and side by side: what is kept of the answers, and what it costs to remember."""

import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gantry.engines.cache.exchange import Answer, Exchange, Request
from gantry.engines.cache.policy import Headers, first
from gantry.engines.cache.protocol import BACKEND_HEADER, RESULT_HEADER
from gantry.engines.cache.store import Store
from gantry.kernel.clock import ManualClock


@dataclass
class Product:
    """Answers what the test says."""

    headers: Headers = ((b"cache-control", b"s-maxage=60"),)
    status: int = 200
    parts: tuple[bytes, ...] = (b"page",)
    asked: list[Request] = field(default_factory=list)

    @asynccontextmanager
    async def ask(self, request: Request, headers: Headers) -> AsyncIterator[Answer]:
        self.asked.append(request)
        yield Answer(self.status, self.headers, self._body())

    async def _body(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part


@dataclass
class Reader:
    """A visitor who takes everything at once."""

    began: bool = False
    alone: bool = False
    status: int = 0
    headers: Headers = ()
    body: bytes = b""
    ended: bool = False

    async def begin(self, status: int, headers: Headers) -> None:
        self.began, self.status, self.headers = True, status, headers

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        await self.begin(status, headers)
        self.body = body
        await self.end()

    async def send(self, part: bytes) -> None:
        self.body += part

    async def end(self) -> None:
        self.ended = True

    @property
    def how(self) -> str:
        return first(self.headers, RESULT_HEADER.encode()).decode()


class Shop:
    """An exchange with a product behind it."""

    def __init__(self, limit_bytes: int = 10_000_000) -> None:
        self.product, self.clock = Product(), ManualClock()
        self.store = Store(limit_bytes)
        self.exchange = Exchange(
            self.store, self.product.ask, limit_bytes // 4, self.clock.monotonic_s
        )

    def request(self, target: str = "/", host: str = "shop", method: str = "GET") -> Request:
        headers = ((BACKEND_HEADER.encode(), b"r-1"), (b"host", host.encode()))
        return Request(method, target, host, headers)

    async def ask(self, target: str = "/", host: str = "shop") -> Reader:
        request, reader = self.request(target, host), Reader()
        if not await self.exchange.give(request, reader):
            await self.exchange.ask(request, reader)
        assert reader.ended
        return reader


async def test_long_addresses_are_passed_through_and_not_kept() -> None:
    shop = Shop()
    for target, host in (("/news?" + "x" * 2_100, "shop"), ("/news", "shop:" + "0" * 2_100)):
        answers = [await shop.ask(target, host) for _ in range(2)]
        assert [(one.how, one.body) for one in answers] == [("bypass", b"page")] * 2
    assert len(shop.store) == 0
    assert [(await shop.ask("/news?" + "x" * 2_000)).how for _ in range(2)] == ["miss", "hit"]


async def test_what_is_not_kept_is_remembered_in_little() -> None:
    shop = Shop()
    shop.product.headers = ()
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(2_000):
            await shop.ask(f"/{number}" + "x" * 2_000)
            shop.product.asked.clear()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (await shop.ask("/1999" + "x" * 2_000)).how == "bypass"
    assert taken < 2_000 * 400
