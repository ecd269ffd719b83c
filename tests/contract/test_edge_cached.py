"""The cache behind real Envoy: what visitors get, whose answers are kept, and what happens without it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

import httpx
import pytest

from gantry.engines.edge.protocol import (
    CACHE,
    Backend,
    BackendNumbers,
    Canary,
    EdgeConfig,
    Endpoint,
    Rewrite,
    Rules,
    Site,
)
from gantry.engines.edge.visitors import COOKIE, token
from gantry.engines.edge_cache.process import PROCESS, EdgeCacheProcess
from gantry.engines.edge_cache.protocol import Purge
from gantry.kernel.clock import SystemClock
from gantry.kernel.edge_names import BACKEND_HEADER
from tests.support.edge import DEADLINE_S, Instance, Lab, backend, lab, upgraded
from tests.support.edge_cache import Product
from tests.support.edge_visitors import client, url, visitors

pytestmark = pytest.mark.real
SITE = Site(("a.localhost",), "r-1", release="r-1", cached=("/kept", "/request/:path*", "/"))
CANARY = Canary("ro-1", "r-2", 50, b"0123456789abcdef", buckets=2)


@dataclass(slots=True)
class Street:
    """An edge with a cache, and two releases."""

    lab: Lab
    cache: EdgeCacheProcess
    current: Instance
    candidate: Instance

    async def apply(self, site: Site = SITE) -> None:
        kept = Backend(CACHE, (Endpoint(socket=str(self.cache.socket)),))
        backends = (backend("r-1", self.current), backend("r-2", self.candidate), kept)
        certificate = await self.lab.certificate("a.localhost")
        await self.lab.edge.apply(EdgeConfig((site,), backends, (certificate,)))
        await self.lab.until_healthy("r-1", "r-2", CACHE)

    async def ask(self, path: str = "/kept", **headers: str) -> httpx.Response:
        async with client(self.lab) as visitor:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            return await visitor.get(url(self.lab, path), headers=sent)

    async def until_counted(self, name: str, requests: int) -> Mapping[str, BackendNumbers]:
        """Counters are merged once a second, those of all backends at once."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                numbers = await self.lab.edge.numbers()
                if numbers[name].requests >= requests:
                    return numbers
                await asyncio.sleep(0.05)


@pytest.fixture
async def street() -> AsyncIterator[Street]:
    async with lab() as made:
        await made.edge.start()
        cache = EdgeCacheProcess(
            paths=made.settings.paths,
            runtime=made.runtime,
            clock=SystemClock(),
            upstream=made.settings.paths.edge_inner_socket,
            limit_bytes=8_000_000,
        )
        await cache.start()
        street = Street(made, cache, await made.instance("one"), await made.instance("two"))
        try:
            await street.apply()
            yield street
        finally:
            await cache.stop()


def how(answer: httpx.Response) -> str:
    return str(answer.headers.get("x-gantry-cache", ""))


async def test_marked_answers_are_kept_and_say_whose_they_are(street: Street) -> None:
    first, second = await street.ask(), await street.ask("/kept", accept_encoding="br")
    assert (how(first), how(second)) == ("miss", "hit")
    assert first.text == second.text
    assert second.headers["x-gantry-release"] == "r-1"
    assert second.headers["cache-control"] == "public, max-age=0, must-revalidate"
    assert await street.cache.purge(Purge(("r-1",), (), ("news",))) == 1
    again = await street.ask()
    assert (how(again), again.text != first.text) == ("miss", True)


async def test_other_paths_and_methods_do_not_pass_it(street: Street) -> None:
    async with client(street.lab) as visitor:
        other = await visitor.get(url(street.lab, "/other"))
        posted = await visitor.post(url(street.lab, "/kept"))
        assert (how(other), how(posted)) == ("", "")
    assert (await street.cache.status()).total.misses == 0


async def test_the_product_sees_the_visitor_s_request(street: Street) -> None:
    answer = await street.ask(
        "/request/x?q=1", cookie="a=1", x_custom="yes", **{BACKEND_HEADER: "r-2"}
    )
    assert how(answer) == "miss"
    seen = answer.json()
    assert (seen["name"], seen["path"]) == ("one", "/request/x?q=1")
    headers = seen["headers"]
    assert headers["host"].startswith("a.localhost")
    assert headers["x-forwarded-proto"] == "https"
    async with client(street.lab) as visitor:
        direct = (await visitor.post(url(street.lab, "/request/x"))).json()["headers"]
    assert headers["x-forwarded-for"] == direct["x-forwarded-for"]
    assert (headers["cookie"], headers["x-custom"]) == ("a=1", "yes")
    assert headers["x-request-id"] == answer.headers["x-request-id"]
    assert BACKEND_HEADER not in headers


async def test_nobody_chooses_what_others_get(street: Street) -> None:
    assert how(await street.ask(x_http_method="DELETE")) == "bypass"
    # The edge takes out what nobody may say, so that their answers are everybody's.
    for headers in (
        {},
        {"x_forwarded_prefix": "/evil"},
        {"x_original_url": "/admin"},
        {"x_forwarded_host": "evil"},
        {"x_forwarded_port": "1"},
        {"forwarded": "a"},
    ):
        assert how(await street.ask(**headers)) == ("hit" if headers else "miss")


async def test_each_side_of_a_canary_has_answers_of_its_own(street: Street) -> None:
    await street.apply(replace(SITE, canary=CANARY))
    for _ in range(2):
        for bucket, expected in ((0, "two"), (1, "one")):
            cookie = f"{COOKIE}={token(CANARY, bucket)}"
            answer = await street.ask(cookie=cookie)
            assert answer.text.split()[0] == expected
    new = [await street.ask() for _ in range(12)]
    assert {how(answer) for answer in new} == {"hit"}
    assert {answer.text.split()[0] for answer in new} <= {"one", "two"}
    assert all(COOKIE in answer.headers["set-cookie"] for answer in new)


async def test_each_side_of_a_canary_has_paths_of_its_own(street: Street) -> None:
    canary = replace(CANARY, rules=Rules(rewrites=(Rewrite("/news", "/kept"),), cached=("/news",)))
    await street.apply(replace(SITE, canary=canary))
    for path, bucket, seen in (
        ("/kept", 1, ["miss", "hit"]),
        ("/kept", 0, ["", ""]),
        ("/news", 0, ["miss", "hit"]),
        ("/news", 1, ["", ""]),
    ):
        cookie = f"{COOKIE}={token(CANARY, bucket)}"
        assert [how(await street.ask(path, cookie=cookie)) for _ in range(2)] == seen, path


async def test_a_rewritten_path_is_kept_by_what_the_visitor_asked(street: Street) -> None:
    site = replace(SITE, rewrites=(Rewrite("/news", "/kept"),), cached=("/news",))
    await street.apply(site)
    assert [how(await street.ask("/news")) for _ in range(2)] == ["miss", "hit"]
    assert how(await street.ask("/kept")) == ""


async def test_a_rewritten_path_is_purged_by_what_the_visitor_asked(street: Street) -> None:
    site = replace(SITE, rewrites=(Rewrite("/n/:id", "/kept"),), cached=("/n/:id",))
    await street.apply(site)
    for path in ("/n/17", "/n/17", "/n/18"):
        forged = {"x-envoy-original-path": "/n/1"}
        assert (await street.ask(path, **forged)).status_code == 200
    assert (await street.cache.status()).total.hits == 1, "each address has an answer of its own"
    assert await street.cache.purge(Purge(("r-1",), ("/n/17",))) == 1
    assert [how(await street.ask(path)) for path in ("/n/17", "/n/18")] == ["miss", "hit"]
    assert await street.cache.purge(Purge(("r-1",), ("/n/*",))) == 2
    assert [how(await street.ask(path)) for path in ("/n/17", "/n/18")] == ["miss", "miss"]
    assert await street.cache.purge(Purge(("r-1",), ("/kept",))) == 2


async def test_a_mirror_copies_what_the_product_is_asked_and_no_more(street: Street) -> None:
    await street.apply(replace(SITE, mirror="r-2"))
    before = await street.lab.edge.numbers()
    for _ in range(20):
        assert (await street.ask()).text.split()[0] == "one"
    seen = (await street.ask("/request/x", x_gantry_copies="r-1")).json()["headers"]
    assert (seen["x-gantry-copies"], "x-gantry-mirror" in seen) == ("r-2", False)
    assert (await street.ask("/other")).text == "one"
    numbers = await street.until_counted("r-2", before["r-2"].requests + 3)
    for name in ("r-1", "r-2"):
        assert numbers[name].requests - before[name].requests == 3


async def test_nobody_can_wish_for_copies(street: Street) -> None:
    before = await street.lab.edge.numbers()
    seen = (await street.ask("/request/x", x_gantry_copies="r-2")).json()["headers"]
    assert "x-gantry-copies" not in seen
    numbers = await street.until_counted("r-1", before["r-1"].requests + 1)
    assert numbers["r-2"].requests == before["r-2"].requests


async def test_a_cache_that_dies_is_not_noticed(street: Street) -> None:
    async with visitors(street.lab) as seen:
        for _ in range(3):
            # A slow first answer may have begun when its process dies, and nobody can say it anew.
            await until_hit(street)
            await street.lab.runtime.signal(PROCESS, kill=True)
            async with asyncio.timeout(DEADLINE_S):
                while (await street.cache.status()).running:
                    await asyncio.sleep(0.01)
                while not (await street.cache.status()).running:
                    await street.cache.revive()
                    await asyncio.sleep(0.01)
    assert seen["failures"] == 0, seen
    await until_hit(street)


async def until_hit(street: Street) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while how(await street.ask()) != "hit":
            await asyncio.sleep(0.02)


async def test_what_the_cache_refuses_an_instance_answers(street: Street) -> None:
    refusing = Product(street.lab.settings.home / "r.sock", "x-gantry-cache: away\r\n", 503)
    await refusing.start()
    try:
        full = Backend(CACHE, (Endpoint(socket=str(refusing.socket)),))
        backends = (backend("r-1", street.current), backend("r-2", street.candidate), full)
        certificate = await street.lab.certificate("a.localhost")
        for site in (SITE, replace(SITE, canary=CANARY)):
            await street.lab.edge.apply(EdgeConfig((site,), backends, (certificate,)))
            await street.lab.until_healthy("r-1", "r-2", CACHE)
            answers = [await street.ask() for _ in range(10)]
            assert {(answer.status_code, how(answer)) for answer in answers} == {(200, "")}
        assert len(refusing.asked) >= 10
    finally:
        await refusing.stop()


async def test_it_goes_on_over_an_upgrade_of_the_edge(street: Street) -> None:
    assert how(await street.ask()) == "miss"
    async with visitors(street.lab) as seen:
        for number in range(2):
            street.lab.edge = upgraded(street.lab, number)
            await street.lab.edge.start()
    assert seen["failures"] == 0, seen
    assert how(await street.ask()) == "hit"
    assert how(await street.ask("/request/after")) == "miss"


async def test_an_instance_that_dies_behind_it_is_not_noticed(street: Street) -> None:
    """The inner listener tries again, as the outer would."""
    port = street.current.port
    second = await street.lab.instance("one")
    kept = Backend(CACHE, (Endpoint(socket=str(street.cache.socket)),))
    certificate = await street.lab.certificate("a.localhost")
    site = replace(SITE, cached=("/(.*)",))
    backends = (backend("r-1", street.current, second), kept)
    await street.lab.edge.apply(EdgeConfig((site,), backends, (certificate,)))
    await street.lab.until_healthy("r-1", healthy=2)
    async with visitors(street.lab) as seen:
        await asyncio.sleep(0.3)
        await street.current.kill()
        await asyncio.sleep(0.5)
        street.current = await street.lab.instance("one", port)
        await asyncio.sleep(0.3)
    assert seen["failures"] == 0, seen


async def test_a_request_that_fails_behind_it_is_found_by_its_release(street: Street) -> None:
    await street.apply(replace(SITE, cached=("/own-503",)))
    answer = await street.ask("/own-503")
    assert (answer.status_code, answer.headers["x-gantry-release"]) == (503, "r-1")
    async with asyncio.timeout(DEADLINE_S):
        while not (found := await street.lab.edge.failures("r-1", most=5)):
            await asyncio.sleep(0.1)
    assert [failure.request_id for failure in found] == [answer.headers["x-request-id"]]


async def test_nobody_healthy_is_the_edge_s_own_page(street: Street) -> None:
    await street.current.kill()
    answer = await street.ask(accept="application/json")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/json"
    assert "retry-after" in answer.headers
