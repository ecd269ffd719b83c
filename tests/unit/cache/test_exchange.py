"""One request after the other, and side by side: what is kept of the answers, and what it costs to remember."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from gantry.cache.budget import MemoryBudget, OverloadError
from gantry.cache.exchange import Exchange
from gantry.cache.policy import Headers, first
from gantry.cache.questions import Answer, Request, UpstreamError
from gantry.cache.store import Store
from gantry.kernel.clock import ManualClock
from gantry.kernel.edge_names import BACKEND_HEADER, RESULT_HEADER

# Far below what anybody waits at most.
_EARLY_S = 2.0


@dataclass
class Product:
    """Answers what the test says."""

    headers: Headers = ((b"cache-control", b"s-maxage=60"),)
    status: int = 200
    parts: tuple[bytes, ...] = (b"page",)
    endless: bool = False
    ready: asyncio.Event | None = None
    rest: asyncio.Event | None = None
    failures: int = 0
    asked: list[Request] = field(default_factory=list)
    asking: int = 0
    given: int = 0

    @asynccontextmanager
    async def ask(self, request: Request, headers: Headers) -> AsyncIterator[Answer]:
        self.asked.append(request)
        self.asking += 1
        try:
            if self.ready is not None:
                await self.ready.wait()
            if self.failures:
                self.failures -= 1
                raise UpstreamError("cut")
            yield Answer(self.status, self.headers, self._body())
        finally:
            self.asking -= 1

    async def _body(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part
        if self.rest is not None:
            await self.rest.wait()
        while self.endless:
            await asyncio.sleep(0)
            self.given += 1
            yield b"x" * 100_000


@dataclass
class Reader:
    """A visitor who takes everything at once, unless the test says when."""

    ready: asyncio.Event | None = None
    began: bool = False
    alone: bool = True
    gone: bool = False
    status: int = 0
    headers: Headers = ()
    body: bytes = b""
    pieces: list[int] = field(default_factory=list)
    ended: bool = False

    async def begin(self, status: int, headers: Headers) -> None:
        self.began, self.status, self.headers = True, status, headers

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        await self.begin(status, headers)
        self.body = body
        await self.end()

    async def send(self, part: bytes) -> None:
        if self.ready is not None:
            await self.ready.wait()
        self.body += part
        self.pieces.append(len(part))

    async def end(self) -> None:
        self.ended = True

    @property
    def how(self) -> str:
        return first(self.headers, RESULT_HEADER.encode()).decode()


class Shop:
    """An exchange with a product behind it."""

    def __init__(self, limit_bytes: int = 10_000_000, budget_bytes: int = 10_000_000) -> None:
        self.product, self.clock = Product(), ManualClock()
        self.store = Store(limit_bytes)
        self.budget = MemoryBudget(budget_bytes)
        self.exchange = Exchange(
            self.store, self.product.ask, limit_bytes // 4, self.clock.monotonic_s, self.budget
        )

    def request(self, target: str = "/", host: str = "shop", method: str = "GET") -> Request:
        headers = ((BACKEND_HEADER.encode(), b"r-1"), (b"host", host.encode()))
        return Request(method, target, host, headers)

    async def ask_a_little(self) -> Reader:
        """A visitor who leaves when they have got a part."""
        reader = Reader()
        serving = asyncio.ensure_future(self.serve(self.request(), reader))
        while not reader.body:
            await asyncio.sleep(0)
        serving.cancel()
        await asyncio.wait((serving,))
        return reader

    async def serve(self, request: Request, reader: Reader) -> None:
        if not await self.exchange.give(request, reader):
            await self.exchange.ask(request, reader)

    async def ask(self, target: str = "/", host: str = "shop") -> Reader:
        reader = Reader()
        await self.serve(self.request(target, host), reader)
        assert reader.ended
        return reader


async def test_long_addresses_are_passed_through_and_not_kept() -> None:
    shop = Shop()
    for target, host in (("/news?" + "x" * 2_100, "shop"), ("/news", "shop:" + "0" * 2_100)):
        answers = [await shop.ask(target, host) for _ in range(2)]
        assert [(answer.how, answer.body) for answer in answers] == [("bypass", b"page")] * 2
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


async def test_an_unchanged_answer_that_is_private_now_is_forgotten() -> None:
    shop = Shop()
    shop.product.headers = (
        (b"cache-control", b"s-maxage=0, stale-while-revalidate=60"),
        (b"etag", b'"v1"'),
    )
    await shop.ask()
    shop.product.status, shop.product.parts = 304, ()
    shop.product.headers = ((b"cache-control", b"private"), (b"etag", b'"v1"'))
    assert (await shop.ask()).how == "stale"
    async with asyncio.timeout(5):
        while len(shop.store):
            await asyncio.sleep(0)


async def test_a_new_answer_that_never_ends_is_given_up() -> None:
    shop = Shop()
    shop.product.headers = ((b"cache-control", b"s-maxage=0, stale-while-revalidate=60"),)
    assert (await shop.ask()).how == "miss"
    shop.product.endless = True
    assert (await shop.ask()).how == "stale"
    async with asyncio.timeout(5):
        while len(shop.product.asked) < 2 or shop.product.asking:
            await asyncio.sleep(0)


async def test_nobody_waits_for_a_slow_visitor() -> None:
    shop, ready = Shop(), asyncio.Event()
    slow = Reader(ready)
    shop.product.parts = (b"one ", b"two ", b"three")
    first = asyncio.ensure_future(shop.serve(shop.request(), slow))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        others = [await shop.ask() for _ in range(3)]
    assert {(reader.how, reader.body) for reader in others} == {("hit", b"one two three")}
    assert not shop.product.asking, "nor does the product's connection"
    assert not slow.ended
    ready.set()
    await first
    assert (slow.how, slow.body, slow.ended) == ("miss", b"one two three", True)


async def test_nobody_waits_for_what_turns_out_too_large() -> None:
    shop = Shop()
    shop.product.endless = True
    readers = Reader(), Reader()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        tasks = [group.create_task(shop.serve(shop.request(), reader)) for reader in readers]
        while not readers[1].body:
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
    assert [reader.how for reader in readers] == ["miss", "miss"]
    assert len(shop.store) == 0


async def test_what_is_too_large_is_read_at_its_visitor_s_pace() -> None:
    shop, ready = Shop(), asyncio.Event()
    slow = Reader(ready)
    shop.product.endless = True
    serving = asyncio.ensure_future(shop.serve(shop.request(), slow))
    async with asyncio.timeout(5):
        while (await shop.ask_a_little()).how != "bypass":
            pass
    ready.set()
    async with asyncio.timeout(5):
        while shop.budget.reserved_bytes > 300_000:  # what was collected is not held any more
            await asyncio.sleep(0)
    ready.clear()
    given = shop.product.given
    for _ in range(1_000):
        await asyncio.sleep(0)
    assert shop.product.given <= given + 1 < 40
    serving.cancel()


# -- what is on its way ----------------------------------------------------------------------


async def test_too_much_on_its_way_is_refused_and_small_kept_answers_are_given() -> None:
    shop = Shop(budget_bytes=1_000_000)
    assert (await shop.ask()).how == "miss"
    with shop.budget.reserve(900_000):
        with pytest.raises(OverloadError):
            await shop.ask("/other")
        with pytest.raises(OverloadError):
            await shop.ask("/?" + "x" * 3_000)
        assert (await shop.ask()).how == "hit"
    assert (await shop.ask("/other")).how == "miss"
    assert shop.budget.reserved_bytes == 0


async def test_long_headers_weigh_more() -> None:
    shop = Shop(budget_bytes=1_000_000)
    request = shop.request()
    heavy = replace(request, headers=(*request.headers, (b"cookie", b"x" * 60_000)))
    with shop.budget.reserve(700_000):
        await shop.serve(request, Reader())
        with pytest.raises(OverloadError):
            await shop.serve(replace(heavy, target="/other"), Reader())


async def test_an_answer_that_there_is_no_room_to_collect_is_given_and_not_kept() -> None:
    shop = Shop(budget_bytes=1_000_000)
    shop.product.parts = (b"x" * 100_000,) * 10
    answer = await shop.ask()
    assert (answer.how, len(answer.body), len(shop.store)) == ("miss", 1_000_000, 0)
    assert shop.budget.reserved_bytes == 0


async def test_a_large_kept_answer_weighs_as_long_as_it_is_read() -> None:
    shop, slow = Shop(budget_bytes=1_000_000), Reader(ready=asyncio.Event())
    shop.product.parts = (b"x" * 500_000,)
    await shop.ask()
    serving = asyncio.ensure_future(shop.serve(shop.request(), slow))
    await asyncio.sleep(0)
    assert shop.budget.reserved_bytes >= 200_000
    shop.store.purge(("r-1",))
    assert shop.store.size_bytes > 500_000, "its memory is not free yet"
    serving.cancel()
    await asyncio.wait((serving,))
    assert (shop.budget.reserved_bytes, shop.store.size_bytes) == (0, 0)


async def test_a_large_kept_answer_is_given_in_pieces() -> None:
    shop = Shop()
    shop.product.parts = (bytes(range(250)) * 2_000,)
    await shop.ask()
    whole = await shop.ask()
    assert (whole.how, whole.body) == ("hit", shop.product.parts[0])
    assert max(whole.pieces) <= 100_000
    request = shop.request()
    ranged = replace(request, headers=(*request.headers, (b"range", b"bytes=99990-300009")))
    part = Reader()
    await shop.serve(ranged, part)
    assert (part.status, part.body) == (206, whole.body[99_990:300_010])
    assert max(part.pieces) <= 100_000


async def test_an_old_answer_covers_for_what_is_refused() -> None:
    shop = Shop(budget_bytes=1_000_000)
    shop.product.headers = ((b"cache-control", b"s-maxage=1, stale-if-error=60"),)
    await shop.ask()
    shop.clock.advance(5)
    with shop.budget.reserve(900_000):
        assert (await shop.ask()).how == "stale"


# -- its waits end early ---------------------------------------------------------------------


@asynccontextmanager
async def waiting(shop: Shop) -> AsyncIterator[list[asyncio.Task[Reader]]]:
    """A visitor whose question is on its way, and two who wait for its answer; at the end of the block it comes."""
    shop.product.ready = asyncio.Event()
    async with asyncio.timeout(_EARLY_S):
        visitors = [asyncio.create_task(shop.ask()) for _ in range(3)]
        while len(shop.product.asked) < 1:
            await asyncio.sleep(0)
        assert not any(visitor.done() for visitor in visitors)
        yield visitors
        shop.product.ready.set()
        await asyncio.wait(visitors)


async def test_who_waits_for_another_gets_the_answer_when_it_is_there() -> None:
    shop = Shop()
    async with waiting(shop) as visitors:
        pass
    assert [visitor.result().how for visitor in visitors] == ["miss", "hit", "hit"]
    assert len(shop.product.asked) == 1


async def test_who_waits_for_another_asks_when_nothing_is_kept() -> None:
    shop = Shop()
    shop.product.headers = ()
    async with waiting(shop) as visitors:
        pass
    assert [visitor.result().how for visitor in visitors] == ["miss", "miss", "miss"]
    assert len(shop.product.asked) == 3


async def test_who_waits_for_another_asks_when_that_fails() -> None:
    shop = Shop()
    shop.product.failures = 1
    async with waiting(shop) as visitors:
        pass
    assert isinstance(visitors[0].exception(), UpstreamError)
    assert [visitor.result().how for visitor in visitors[1:]] == ["miss", "miss"]


async def test_who_waits_for_another_may_leave() -> None:
    shop = Shop()
    async with waiting(shop) as visitors:
        visitors[1].cancel()
        await asyncio.wait((visitors[1],))
        assert not visitors[0].done()
    assert [visitor.cancelled() for visitor in visitors] == [False, True, False]
    assert shop.budget.reserved_bytes == 0


@pytest.mark.parametrize("is_whole", [True, False])
async def test_what_a_visitor_has_not_taken_ends_when_they_leave(is_whole: bool) -> None:
    shop, slow = Shop(), Reader(ready=asyncio.Event())
    shop.product.rest = None if is_whole else asyncio.Event()
    before = asyncio.all_tasks()
    serving = asyncio.ensure_future(shop.serve(shop.request(), slow))
    async with asyncio.timeout(_EARLY_S):
        while len(asyncio.all_tasks() - before) < 2 or len(shop.store) != is_whole:
            await asyncio.sleep(0)
        serving.cancel()
        while asyncio.all_tasks() != before:
            await asyncio.sleep(0)
    assert (slow.body, shop.budget.reserved_bytes) == (b"", 0)


async def test_the_pause_after_a_failure_holds_nobody_up() -> None:
    shop = Shop()
    shop.product.headers = ((b"cache-control", b"s-maxage=0, stale-while-revalidate=60"),)
    await shop.ask()
    shop.product.status = 500
    async with asyncio.timeout(0.9):  # of the second that it lasts
        assert [(await shop.ask()).how for _ in range(2)] == ["stale", "stale"]
        while len(shop.product.asked) < 2 or shop.product.asking:
            await asyncio.sleep(0)
        shop.product.status, shop.product.parts = 200, (b"new",)
        assert (await shop.ask()).body == b"page"
        shop.exchange.purge(("r-1",))
        anew = await shop.ask()
    assert (anew.how, anew.body) == ("miss", b"new")
