"""How long real Envoy waits, and how often it tries: by what comes back, not by what a request says of itself."""

import asyncio

import httpx
import pytest

from gantry.engines.edge.protocol import PathTimeouts, Rewrite, Timeouts
from tests.support.edge import DEADLINE_S, Lab, backend, config, served
from tests.support.edge_visitors import client, url, visitors

pytestmark = pytest.mark.real

SHORT = Timeouts(0.5, 5)


# -- patience --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("timeouts", [SHORT, Timeouts(0.5, 0.5)])
async def test_an_answer_that_does_not_begin_is_not_waited_for(
    edge: Lab, timeouts: Timeouts, method: str
) -> None:
    await served(edge, timeouts=timeouts)
    async with client(edge) as visitor:
        page = await visitor.request(method, url(edge, "/silent"))
        error = await visitor.request(
            method, url(edge, "/silent"), headers={"accept": "application/json"}
        )
    assert (page.status_code, error.status_code) == (504, 504)
    assert "takes too long" in page.text
    assert error.json()["error"]["code"] == "edge.too-slow"
    assert page.headers["x-gantry-release"] == "edge"


async def test_an_answer_within_the_patience_of_its_product_arrives(edge: Lab) -> None:
    await served(edge, timeouts=Timeouts(2, 2))
    assert (await edge.get("/late?1200")).body == "one"


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream", "text/html"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_stream_may_be_silent_whatever_was_asked_for(
    edge: Lab, accept: str, method: str
) -> None:
    await served(edge, timeouts=SHORT)
    async with client(edge) as visitor:
        answer = await visitor.request(
            method, url(edge, "/pauses?1500"), headers={"accept": accept}
        )
    assert answer.text == "id: 0\n\nid: 1\n\n"


async def test_a_stream_that_says_nothing_for_too_long_ends(edge: Lab) -> None:
    await served(edge, timeouts=Timeouts(0.5, 0.5))
    async with client(edge) as visitor:
        with pytest.raises(httpx.RemoteProtocolError):
            await visitor.get(url(edge, "/pauses?3000"))


async def test_who_reads_slowly_is_not_cut(edge: Lab) -> None:
    await served(edge, timeouts=SHORT)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        edge.settings.https_port,
        ssl=edge.context(),
        server_hostname="a.localhost",
        limit=2_000,
    )
    writer.write(b"GET /much HTTP/1.1\r\nhost: a.localhost\r\nconnection: close\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    size = 0
    for _ in range(4):
        size += len(await reader.read(1_000))
        await asyncio.sleep(0.4)
    while part := await reader.read(1_000_000):
        size += len(part)
    writer.close()
    assert size == 8_000_000


async def test_some_paths_have_timeouts_of_their_own(edge: Lab) -> None:
    await served(
        edge,
        timeouts=Timeouts(0.5, 0.5),
        path_timeouts=(PathTimeouts("/late", Timeouts(3, 3)),),
        rewrites=(Rewrite("/other", "/late"),),
    )
    assert (await edge.get("/late?1000")).body == "one"
    # What counts is the path that the visitor asked for.
    assert (await edge.get("/other?1000")).status == 504


# -- tries -----------------------------------------------------------------------------------


async def three(edge: Lab, **site: object) -> None:
    instances = [await edge.instance(f"i-{number}") for number in range(3)]
    certificates = (await edge.certificate("a.localhost"),)
    made = config("r-0", backend("r-0", *instances), certificates=certificates)
    await edge.edge.apply(made)
    await edge.until_healthy("r-0", healthy=3)


async def test_a_request_that_kills_reaches_two_instances_at_most(edge: Lab) -> None:
    await three(edge)
    async with visitors(edge) as seen:
        async with client(edge) as visitor:
            answer = await visitor.get(url(edge, "/crash"))
        assert answer.status_code == 503
        assert answer.headers["x-gantry-release"] == "edge"
        await edge.until_healthy("r-0", healthy=1)
    assert [one.process.returncode for one in edge.instances if one.process].count(3) == 2
    assert seen["failures"] == 0, seen


async def test_a_post_that_kills_reaches_one_instance(edge: Lab) -> None:
    await three(edge)
    async with client(edge) as visitor:
        answer = await visitor.post(url(edge, "/crash"))
    assert answer.status_code == 503
    await edge.until_healthy("r-0", healthy=2)


async def test_a_request_finds_its_instance_when_it_is_back(edge: Lab) -> None:
    one = await edge.instance("one")
    certificates = (await edge.certificate("a.localhost"),)
    await edge.edge.apply(config("r-0", backend("r-0", one), certificates=certificates))
    await edge.until_healthy("r-0")
    await one.kill()
    loop = asyncio.get_running_loop()
    async with client(edge) as visitor:
        asked = [
            loop.create_task(visitor.request(method, url(edge, "/request")))
            for method in ("GET", "POST")
        ]
        await asyncio.wait(asked, timeout=0.4)
        await one.start()
        for task in asked:
            answer = await task
            assert answer.status_code == 200
            assert answer.headers["x-gantry-release"] == "r-0"


async def test_who_waited_for_an_instance_is_counted_as_its_visitor(edge: Lab) -> None:
    one = await edge.instance("one")
    certificates = (await edge.certificate("a.localhost"),)
    await edge.edge.apply(config("r-0", backend("r-0", one), certificates=certificates))
    await edge.until_healthy("r-0")
    await one.kill()
    loop = asyncio.get_running_loop()
    asked = loop.create_task(edge.get("/late?1000"))
    await asyncio.wait([asked], timeout=0.3)
    await one.start()
    async with asyncio.timeout(DEADLINE_S):
        while not (await edge.edge.status()).backends["r-0"].active_requests:
            await asyncio.sleep(0.01)
    assert (await asked).body == "one"
    assert (await edge.edge.numbers())["r-0"].requests >= 1
