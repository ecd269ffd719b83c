"""The cache's process when many ask, slowly, or go away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gantry.cache.questions import Request, UpstreamError
from gantry.cache.upstream import InnerListener
from gantry.engines.edge_cache.process import PROCESS, EdgeCacheProcess
from gantry.engines.runtime.process import ProcessRuntime
from gantry.kernel.edge_names import BACKEND_HEADER
from tests.support.edge_cache import (
    Product,
    ask,
    home,
    how,
    product,
    real,
    runtime,
    until,
    visitor,
)

__all__ = ["home", "product", "real", "runtime"]
pytestmark = pytest.mark.real


# -- what is asked of the product ------------------------------------------------------------


@asynccontextmanager
async def asking(inner: InnerListener, product: Product, count: int) -> AsyncIterator[None]:
    """So many requests that have reached the product."""

    async def ask() -> None:
        async with inner.ask(Request("GET", "/", "shop", ()), ((b"host", b"shop"),)) as answer:
            assert b"".join([part async for part in answer.body]) == b"page"

    before = len(product.asked)
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(ask())
        await until(lambda: len(product.asked) == before + count)
        yield


async def test_connections_are_used_again_and_few_are_kept(product: Product) -> None:
    inner = InnerListener(str(product.socket))
    for _ in range(3):
        async with asking(inner, product, 1):
            pass
    assert len(product.writers) == 1
    product.gate.clear()
    async with asking(inner, product, 150):
        product.gate.set()
    await until(lambda: sum(not writer.is_closing() for writer in product.writers) == 100)


async def test_one_too_many_fails_at_once_and_a_closed_connection_is_not_used(
    product: Product, home: Path
) -> None:
    inner = InnerListener(str(product.socket), max_asking=2)
    product.gate.clear()
    async with asking(inner, product, 2):
        with pytest.raises(UpstreamError):
            async with inner.ask(Request("GET", "/", "shop", ()), ()):
                pass
        product.gate.set()
    for writer in product.writers:
        writer.close()
        await writer.wait_closed()
    async with asking(inner, product, 2):
        pass


async def test_a_silent_product_is_not_waited_for_for_ever(product: Product) -> None:
    inner = InnerListener(str(product.socket), silence_s=0.05)
    product.gate.clear()
    with pytest.raises(UpstreamError):
        async with inner.ask(Request("GET", "/", "shop", ()), ((b"host", b"shop"),)):
            pass


# -- visitors who go away --------------------------------------------------------------------


@asynccontextmanager
async def leaving(cache: EdgeCacheProcess, *paths: str) -> AsyncIterator[None]:
    """Visitors who ask, and leave at the end of the block without their answers."""
    async with visitor(cache) as client, asyncio.TaskGroup() as group:
        asking = [group.create_task(client.get(path)) for path in paths]
        yield
        for task in asking:
            task.cancel()


async def test_a_visitor_who_waited_and_left_asks_nothing_more(
    real: EdgeCacheProcess, product: Product
) -> None:
    product.headers = ""
    product.gate.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(ask(real))
        await until(lambda: product.asked)
        async with leaving(real, "/", "/"):
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.2)
        product.gate.set()
    assert first.result().text == "page"
    await asyncio.sleep(0.2)
    assert len(product.asked) == 1


async def test_few_answers_are_made_for_visitors_who_left(
    real: EdgeCacheProcess, product: Product
) -> None:
    product.gate.clear()
    async with leaving(real, *(f"/{number}" for number in range(80))):
        await until(lambda: len(product.asked) == 80)
    await asyncio.sleep(0.3)
    product.gate.set()
    answers = [await ask(real, f"/{number}") for number in range(80)]
    assert [how(answer) for answer in answers].count("hit") == 64


async def test_an_answer_too_large_to_be_kept_ends_with_its_visitor(
    real: EdgeCacheProcess, product: Product
) -> None:
    product.endless, product.piece = True, b"x" * 100_000
    async with leaving(real, "/"):
        await asyncio.sleep(0.1)
    await asyncio.wait_for(product.left.wait(), 20)


async def test_what_is_passed_on_leaves_its_connection_to_the_next(
    real: EdgeCacheProcess, product: Product
) -> None:
    product.headers = ""
    assert {(await ask(real)).text for _ in range(5)} == {"page"}
    assert len(product.writers) == 1


# -- too many at once ------------------------------------------------------------------------


async def test_too_many_at_once_are_refused_and_kept_answers_go_on(
    real: EdgeCacheProcess, runtime: ProcessRuntime, product: Product
) -> None:
    assert how(await ask(real, "/kept")) == "miss"
    product.gate.clear()
    headers = {"x-long": "x" * 60_000}
    async with visitor(real, max_connections=400) as client, asyncio.TaskGroup() as group:
        asking = [
            group.create_task(client.get(f"/{number}", headers=headers)) for number in range(350)
        ]
        await until(lambda: sum(task.done() for task in asking) > 20)
        refused = [task.result() for task in asking if task.done()]
        assert {(answer.status_code, how(answer)) for answer in refused} == {(503, "away")}
        assert how(await ask(real, "/kept")) == "hit"
        product.gate.set()
    assert {(task.result().status_code, how(task.result())) for task in asking} == {
        (200, "miss"),
        (503, "away"),
    }
    assert how(await ask(real, "/new")) == "miss"


async def test_a_connection_does_not_keep_long_headers(
    real: EdgeCacheProcess, runtime: ProcessRuntime, product: Product
) -> None:
    """The edge keeps thousands of connections, and the server the last headers of each."""
    for length, closed in ((100, False), (20_000, True)):
        for _ in range(2):
            answer = await ask(real, "/", cookie="x" * length)
            assert (answer.headers.get("connection") == "close") is closed


async def test_an_unexpected_error_is_said_in_the_log(
    real: EdgeCacheProcess, runtime: ProcessRuntime
) -> None:
    async with visitor(real) as client:
        answer = await client.post("/purge", json={"nonsense": []}, headers={BACKEND_HEADER: ""})
    assert (answer.status_code, how(answer)) == (500, "away")
    async with asyncio.timeout(20):
        while "TypeError" not in (await runtime.read_log(PROCESS, offset=-4_000)).text:
            await asyncio.sleep(0.05)
    assert (await real.status()).running
