"""Limits of a site's manifest, at real Envoy: who is refused, how, and that it is counted."""

import asyncio

import httpx
import pytest

from gantry.engines.edge.protocol import Limit
from tests.support.edge import DEADLINE_S, Lab, served

pytestmark = pytest.mark.real
API = "/api/:path*"


async def ask(
    edge: Lab, path: str, times: int = 1, address: str = "127.0.0.2", **headers: str
) -> list[httpx.Response]:
    """What a visitor of one address gets, one request after the other."""
    transport = httpx.AsyncHTTPTransport(verify=edge.context(), local_address=address)
    async with httpx.AsyncClient(transport=transport, timeout=DEADLINE_S) as visitor:
        return [
            await visitor.get(
                f"https://127.0.0.1:{edge.settings.https_port}{path}",
                headers={"host": "a.localhost", **headers},
                extensions={"sni_hostname": "a.localhost"},
            )
            for _ in range(times)
        ]


def statuses(answers: list[httpx.Response]) -> list[int]:
    return [answer.status_code for answer in answers]


async def test_each_address_has_its_own_and_other_paths_have_none(edge: Lab) -> None:
    await served(edge, limits=(Limit(API, requests=1, period_s=86_400, burst=3),))
    assert statuses(await ask(edge, "/api/orders", 5)) == [200, 200, 200, 429, 429]
    assert statuses(await ask(edge, "/api/other?x=1", 1)) == [429]
    assert statuses(await ask(edge, "/elsewhere", 5)) == [200] * 5
    assert statuses(await ask(edge, "/api/orders", 4, "127.0.0.3")) == [200, 200, 200, 429]


async def test_no_other_way_of_writing_a_path_gets_around_it(edge: Lab) -> None:
    await served(edge, limits=(Limit("/api/login", requests=1, period_s=86_400, burst=1),))
    assert statuses(await ask(edge, "/api/login")) == [200]
    for path in (
        "/api/%6cogin",
        "/x/../api/login",
        "/api/./login",
        "/api/login?a=/b",
        "/api/login/",
    ):
        assert statuses(await ask(edge, path)) == [429], path


async def test_the_refusal_says_what_it_is(edge: Lab) -> None:
    limit = Limit(API, requests=2, period_s=60, burst=1, status=503)
    await served(edge, limits=(limit,))
    _, page = await ask(edge, "/api/orders", 2)
    (error,) = await ask(edge, "/api/orders", accept="application/json")
    assert (page.status_code, error.status_code) == (503, 503)
    assert "That was too often" in page.text
    assert error.json()["error"]["code"] == "edge.limited"
    for answer in (page, error):
        assert answer.headers["retry-after"] == "30"
        assert answer.headers["x-gantry-reason"] == "edge.limited"
        assert answer.headers["x-gantry-release"] == "edge"


async def test_tokens_come_back_one_after_the_other(edge: Lab) -> None:
    await served(edge, limits=(Limit(API, requests=600, period_s=60, burst=2),))
    assert statuses(await ask(edge, "/api/orders", 2)) == [200, 200]
    async with asyncio.timeout(DEADLINE_S):
        while statuses(await ask(edge, "/api/orders")) != [200]:
            pass


@pytest.mark.parametrize(
    ("per", "name", "first", "second", "without"),
    [
        ("cookie", "sid", "a=1; sid=one", "sid=two; b=2", "asid=one; sid="),
        ("header", "x-api-key", "one", "two", ""),
    ],
)
async def test_visitors_are_told_apart_by_what_they_send_or_by_address(
    edge: Lab, per: str, name: str, first: str, second: str, without: str
) -> None:
    limit = Limit(API, requests=1, period_s=86_400, burst=2, per=per, name=name)
    await served(edge, limits=(limit,))
    sent = "cookie" if per == "cookie" else name
    # Their end counts: what is signed begins alike.
    long = "x" * 300
    for value in (first, second, f"{'sid=' if per == 'cookie' else ''}{long}1"):
        for address in ("127.0.0.2", "127.0.0.3"):
            expected = [200, 200] if address == "127.0.0.2" else [429, 429]
            answers = await ask(edge, "/api/orders", 2, address, **{sent: value})
            assert statuses(answers) == expected, value
    other = f"{'sid=' if per == 'cookie' else ''}{long}2"
    assert statuses(await ask(edge, "/api/orders", 1, **{sent: other})) == [200]
    for address in ("127.0.0.2", "127.0.0.3"):
        assert statuses(await ask(edge, "/api/orders", 3, address)) == [200, 200, 429]
        assert statuses(await ask(edge, "/api/orders", 1, address, **{sent: without})) == [429]


async def test_a_request_counts_for_every_limit_and_refusals_are_counted(edge: Lab) -> None:
    limits = (
        Limit("/api/login", requests=1, period_s=86_400, burst=1),
        Limit(API, requests=1, period_s=86_400, burst=3),
    )
    before = (await edge.edge.limited()).get("r-1", {})
    await served(edge, limits=limits)
    assert statuses(await ask(edge, "/api/login", 2)) == [200, 429]
    assert statuses(await ask(edge, "/api/orders", 3)) == [200, 200, 429]
    after = (await edge.edge.limited())["r-1"]
    assert [after[number] - before.get(number, 0) for number in (0, 1)] == [1, 1]
    async with asyncio.timeout(DEADLINE_S):
        while not (
            found := [
                request
                for request in (await edge.edge.requests()).requests
                if request.path == "/api/login" and request.status == 429
            ]
        ):
            await asyncio.sleep(0.05)
    assert found[-1].reason == "edge.limited"
