"""The cache's process when many ask, slowly, or go away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gantry.engines.cache.exchange import Request, UpstreamError
from gantry.engines.cache.upstream import Inner
from tests.contract.test_edge_cache import Product, home, product, until

__all__ = ["home", "product"]
pytestmark = pytest.mark.real


# -- what is asked of the product ------------------------------------------------------------


@asynccontextmanager
async def asking(inner: Inner, product: Product, count: int) -> AsyncIterator[None]:
    """So many requests that have reached the product."""

    async def ask() -> None:
        async with inner.ask(Request("GET", "/", "shop", ()), ((b"host", b"shop"),)) as answer:
            assert b"".join([part async for part in answer.body]) == b"page"

    before = len(product.asked)
    async with asyncio.TaskGroup() as group:
        for number in range(1, count + 1):
            group.create_task(ask())
            if number % 50 == 0 or number == count:  # the product's socket takes a hundred at once
                await until(lambda: len(product.asked) == before + number)  # noqa: B023
        yield


async def test_connections_are_used_again_and_few_are_kept(product: Product) -> None:
    inner = Inner(str(product.socket))
    for _ in range(3):
        async with asking(inner, product, 1):
            pass
    assert len(product.writers) == 1
    product.gate.clear()
    async with asking(inner, product, 150):
        product.gate.set()
    await until(lambda: sum(not one.is_closing() for one in product.writers) == 100)


async def test_one_too_many_fails_at_once_and_a_closed_connection_is_not_used(
    product: Product, home: Path
) -> None:
    inner = Inner(str(product.socket), most=2)
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
