"""Who gets what from real Envoy while a site is closed. 127.0.0.1 and 127.0.0.2 are two visitors."""

import html
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import httpx
import pytest
import websockets

from gantry.engines.edge.protocol import (
    MAX_MESSAGE,
    MAX_TITLE,
    Canary,
    Certificate,
    Closed,
    EdgeConfig,
    HeaderRule,
    Redirect,
    Rules,
    Site,
)
from tests.support.edge import Instance, Lab, ToThisMachine, anew, backend, lab
from tests.support.edge_visitors import url

pytestmark = pytest.mark.real

CLOSED = Closed("Down for maintenance", "Back at noon", ("127.0.0.2/32", "2001:db8::/32"))
SITE = Site(("a.localhost",), "r-1", release="r-1", closed=CLOSED)


@dataclass(slots=True)
class Closable:
    """A site with a live release `r-1` and a candidate `r-2`, and two visitors of it.

    Attributes:
        visitor: from 127.0.0.1.
        colleague: from 127.0.0.2.
    """

    lab: Lab
    certificate: Certificate
    live: Instance
    candidate: Instance
    visitor: httpx.AsyncClient
    colleague: httpx.AsyncClient

    async def apply(self, site: Site) -> None:
        backends = (backend("r-1", self.live), backend("r-2", self.candidate))
        await self.lab.edge.apply(EdgeConfig((site,), backends, (self.certificate,)))
        await self.lab.until_healthy("r-1", "r-2")

    def url(self, path: str = "/") -> str:
        return url(self.lab, path)


@pytest.fixture(scope="module")
async def made() -> AsyncIterator[Lab]:
    async with lab() as made:
        yield made


@pytest.fixture
async def closable(made: Lab) -> AsyncIterator[Closable]:
    async with anew(made), AsyncExitStack() as stack:
        visitor, colleague = [
            await stack.enter_async_context(
                httpx.AsyncClient(
                    transport=ToThisMachine(verify=made.context(), local_address=address),
                    timeout=20,
                )
            )
            for address in ("127.0.0.1", "127.0.0.2")
        ]
        certificate = await made.certificate("a.localhost")
        instances = await made.instance("one"), await made.instance("two")
        yield Closable(made, certificate, *instances, visitor, colleague)


async def test_visitors_get_the_page_and_listed_addresses_the_product(closable: Closable) -> None:
    await closable.apply(SITE)
    page = await closable.visitor.get(closable.url("/any?path"))
    assert page.status_code == 503
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert (page.headers["cache-control"], page.headers["retry-after"]) == ("no-store", "30")
    assert "<h1>Down for maintenance</h1><p>Back at noon</p>" in page.text
    # What is behind the page can be asked from outside.
    assert page.headers.get_list("x-gantry-release") == ["r-1"]
    inside = await closable.colleague.get(closable.url())
    assert (inside.status_code, inside.text) == (200, "one")
    assert inside.headers.get_list("x-gantry-release") == ["r-1"]
    await closable.apply(replace(SITE, closed=None))
    assert (await closable.visitor.get(closable.url())).text == "one"


async def test_programs_get_it_as_json_whatever_they_ask(closable: Closable) -> None:
    await closable.apply(replace(SITE, closed=replace(CLOSED, allowed=())))
    for client in (closable.visitor, closable.colleague):
        posted = await client.post(closable.url("/api"), headers={"accept": "application/json"})
        assert posted.status_code == 503
        assert posted.json()["error"] == {"code": "edge.closed", "message": "Back at noon"}
    headed = await closable.visitor.head(closable.url())
    assert (headed.status_code, headed.content) == (503, b"")


@pytest.mark.parametrize(
    "name", ["x-forwarded-for", "x-real-ip", "forwarded", "x-envoy-external-address"]
)
async def test_no_header_opens_the_door(closable: Closable, name: str) -> None:
    await closable.apply(SITE)
    claim = "for=127.0.0.2" if name == "forwarded" else "127.0.0.2"
    answer = await closable.visitor.get(closable.url(), headers={name: claim})
    assert answer.status_code == 503


async def test_a_network_can_be_let_through(closable: Closable) -> None:
    for network, status in (("127.0.0.0/31", 200), ("127.0.0.2/31", 503), ("0.0.0.0/0", 200)):
        await closable.apply(replace(SITE, closed=replace(CLOSED, allowed=(network,))))
        assert (await closable.visitor.get(closable.url())).status_code == status, network
        assert CLOSED.lets_in("127.0.0.1") is False


async def test_the_products_header_rules_are_not_for_the_page(closable: Closable) -> None:
    rules = (
        HeaderRule("/(.*)", (("content-security-policy", "default-src 'self'"),)),
        HeaderRule("/static/(.*)", (("cache-control", "public, max-age=31536000"),)),
    )
    await closable.apply(replace(SITE, headers=rules))
    page = await closable.visitor.get(closable.url("/static/app.css"))
    assert page.headers["cache-control"] == "no-store"
    assert "content-security-policy" not in page.headers
    inside = await closable.colleague.get(closable.url("/static/app.css"))
    assert inside.headers["cache-control"] == "public, max-age=31536000"
    assert inside.headers["content-security-policy"] == "default-src 'self'"


async def test_a_rollout_goes_on_behind_the_page(closable: Closable) -> None:
    canary = Canary(
        "ro-1",
        "r-2",
        100,
        b"0123456789abcdef",
        buckets=4,
        rules=Rules(redirects=(Redirect("/old", "/newer"),)),
    )
    await closable.apply(replace(SITE, canary=canary, redirects=(Redirect("/old", "/new"),)))
    assert (await closable.visitor.get(closable.url("/old"))).status_code == 503
    redirect = await closable.colleague.get(closable.url("/old"))
    assert redirect.headers["location"].endswith("/newer")
    assert (await closable.colleague.get(closable.url())).text == "two"


async def test_what_has_begun_goes_on(closable: Closable) -> None:
    await closable.apply(replace(SITE, closed=None))
    async with websockets.connect(
        closable.url().replace("https", "wss"),
        host="127.0.0.1",
        port=closable.lab.settings.https_port,
        ssl=closable.lab.context(),
    ) as socket:
        async with closable.visitor.stream("GET", closable.url("/events")) as events:
            lines = events.aiter_lines()
            await anext(lines)
            await closable.apply(SITE)
            assert (await closable.visitor.get(closable.url())).status_code == 503
            rest = [await anext(lines) for _ in range(60)]
            assert rest.count("data: one") > 10
        await socket.send("still there")
        assert await socket.recv() == "still there"


async def test_where_nothing_is_live_a_colleague_is_told_so(closable: Closable) -> None:
    await closable.apply(replace(SITE, backend=None, release="", title="Shop"))
    page = await closable.visitor.get(closable.url())
    assert (page.status_code, "Back at noon" in page.text) == (503, True)
    nothing = await closable.colleague.get(closable.url())
    assert (nothing.status_code, "Nothing is live at Shop" in nothing.text) == (503, True)


@pytest.mark.parametrize("character", ["x", "'", "€", "🚧", '"', "\\"])
async def test_the_longest_page_is_one_that_envoy_takes(closable: Closable, character: str) -> None:
    longest = Closed(character * MAX_TITLE, character * MAX_MESSAGE)
    await closable.apply(replace(SITE, closed=longest))
    page = await closable.visitor.get(closable.url())
    assert html.escape(longest.message) in page.text
    said = await closable.visitor.get(closable.url(), headers={"accept": "application/json"})
    assert said.json()["error"]["message"] == longest.message
