"""What real Envoy writes into its access log, and what it does not."""

import asyncio

import pytest

from gantry.engines.edge.protocol import Redirect, Rewrite
from tests.support.edge import DEADLINE_S, Lab, running, served
from tests.support.edge_visitors import client, url

pytestmark = pytest.mark.real


async def logged(edge: Lab, paths: set[str]) -> str:
    """The whole log, as it lies on the disk, once these paths are in it."""
    (name,) = await running(edge)
    async with asyncio.timeout(DEADLINE_S):
        while True:
            seen = {request.path for request in (await edge.edge.requests()).requests}
            if paths <= seen:
                return (await edge.runtime.read_log(name, offset=0, limit_bytes=10_000_000)).text
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_no_query_is_written_down(edge: Lab, scheme: str) -> None:
    port = edge.settings.https_port if scheme == "https" else edge.settings.http_port
    await served(
        edge,
        redirects=(Redirect("/moved", "/new?a=1"),),
        rewrites=(Rewrite("/docs/:page", "/request/:page?a=1"), Rewrite("/plain", "/request")),
    )
    paths = ("/request", "/moved", "/docs/one", "/plain", "/nowhere")
    async with client(edge) as visitor:
        for path in paths:
            answer = await visitor.get(
                url(edge, f"{path}?token=secret-of-{scheme}", scheme=scheme).replace(
                    str(edge.settings.https_port), str(port)
                )
            )
            assert answer.status_code < 500
    assert f"secret-of-{scheme}" not in await logged(edge, set(paths))


async def test_the_product_gets_the_whole_query_all_the_same(edge: Lab) -> None:
    await served(edge, rewrites=(Rewrite("/docs/:page", "/request/:page?a=1"),))
    async with client(edge) as visitor:
        answer = await visitor.get(url(edge, "/docs/one?token=x"))
    assert answer.json()["path"] == "/request/one?a=1&token=x"
