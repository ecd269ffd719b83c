"""What visitors get from real Envoy while traffic moves in stages: shares, cookies, copies, pages of older builds."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import httpx
import pytest

from gantry.engines.edge.protocol import (
    BackendNumbers,
    Canary,
    Certificate,
    EdgeConfig,
    HeaderRule,
    Pin,
    Redirect,
    Rewrite,
    Rules,
    Site,
)
from gantry.engines.edge.visitors import COOKIE, token
from gantry.kernel.errors import PermanentError
from tests.support.edge import DEADLINE_S, Instance, Lab, anew, backend, lab
from tests.support.edge_visitors import client, url, visitors

pytestmark = pytest.mark.real
KEY = b"0123456789abcdef0123456789abcdef"
CANARY = Canary("ro-1", "r-2", 25, KEY, buckets=4)


@dataclass(slots=True)
class Pair:
    """A current release `r-1` and a candidate `r-2`."""

    lab: Lab
    certificate: Certificate
    current: Instance
    candidate: Instance

    async def apply(self, site: Site) -> None:
        backends = (backend("r-1", self.current), backend("r-2", self.candidate))
        await self.lab.edge.apply(EdgeConfig((site,), backends, (self.certificate,)))

    async def until_counted(self, name: str, requests: int) -> BackendNumbers:
        """Counters are merged once a second."""
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            numbers = (await self.lab.edge.numbers())[name]
            if numbers.requests >= requests:
                return numbers
            assert time.monotonic() < deadline_s, numbers
            await asyncio.sleep(0.05)


SITE = Site(("a.localhost",), "r-1", release="r-1")


@pytest.fixture(scope="module")
async def both() -> AsyncIterator[Pair]:
    async with lab() as made:
        certificate = await made.certificate("a.localhost")
        yield Pair(made, certificate, await made.instance("one"), await made.instance("two"))


@pytest.fixture
async def pair(both: Pair) -> AsyncIterator[Pair]:
    async with anew(both.lab):
        for instance in (both.current, both.candidate):
            if not instance.runs:
                await instance.start()
        yield replace(both)


async def ask(pair: Pair, path: str = "/", **headers: str) -> httpx.Response:
    """One visitor without a memory."""
    async with client(pair.lab) as visitor:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await visitor.get(url(pair.lab, path), headers=named)


async def test_visitors_are_divided_and_keep_what_they_got(pair: Pair) -> None:
    await pair.apply(replace(SITE, canary=CANARY))
    got = Counter[str]()
    cookies: dict[str, str] = {}
    async with client(pair.lab) as visitor:
        for _ in range(200):
            visitor.cookies.clear()
            answer = await visitor.get(url(pair.lab))
            got[answer.text] += 1
            cookies[answer.text] = answer.cookies[COOKIE]
    # 200 draws of 1 in 4: outside of 20 to 85 once in ten million runs.
    assert 20 <= got["two"] <= 85
    assert got["one"] + got["two"] == 200
    for name, cookie in cookies.items():
        for _ in range(10):
            again = await ask(pair, cookie=f"a=b; {COOKIE}={cookie}; c=d")
            assert again.text == name
            assert "set-cookie" not in again.headers


async def test_a_rising_share_moves_visitors_in_one_direction(pair: Pair) -> None:
    await pair.apply(replace(SITE, canary=CANARY))
    held: dict[str, str] = {}
    async with client(pair.lab) as visitor:
        while len(held) < CANARY.buckets:
            visitor.cookies.clear()
            answer = await visitor.get(url(pair.lab))
            held[answer.cookies[COOKIE]] = answer.text
    before = set(held.values())
    assert before == {"one", "two"}
    for percent in (50, 75, 100):
        await pair.apply(replace(SITE, canary=replace(CANARY, percent=percent)))
        now = {cookie: (await ask(pair, cookie=f"{COOKIE}={cookie}")).text for cookie in held}
        assert sum(name == "two" for name in now.values()) == percent // 25
        assert all(now[cookie] == "two" for cookie, name in held.items() if name == "two")
        held = now


@pytest.mark.parametrize("forged", ["0.0000000000000000", "0", "99.x", "1.a.b"])
async def test_a_forged_cookie_is_drawn_anew(pair: Pair, forged: str) -> None:
    await pair.apply(replace(SITE, canary=replace(CANARY, percent=0)))
    answer = await ask(pair, cookie=f"{COOKIE}={forged}")
    assert answer.text == "one"
    assert answer.cookies[COOKIE] != forged


async def test_a_cookie_of_another_rollout_is_drawn_anew(pair: Pair) -> None:
    await pair.apply(replace(SITE, canary=replace(CANARY, percent=100)))
    cookie = (await ask(pair)).cookies[COOKIE]
    await pair.apply(replace(SITE, canary=replace(CANARY, name="ro-2", percent=0)))
    answer = await ask(pair, cookie=f"{COOKIE}={cookie}")
    assert answer.text == "one"
    assert COOKIE in answer.cookies


RULED = replace(
    SITE,
    redirects=(Redirect("/go", "/of-current", 307),),
    rewrites=(Rewrite("/docs/:page", "/request/current/:page"),),
    headers=(
        HeaderRule("/(.*)", (("x-all", "current"),)),
        HeaderRule("/docs/:page", (("x-docs", "current"), ("x-only-current", "100 %"))),
    ),
    canary=replace(
        CANARY,
        rules=Rules(
            redirects=(Redirect("/go", "/of-candidate", 307), Redirect("/more", "/", 307)),
            rewrites=(Rewrite("/docs/:page", "/request/candidate/:page"),),
            headers=(
                HeaderRule("/docs/:page", (("x-docs", "candidate"),)),
                HeaderRule(
                    "/(.*)",
                    (("x-all", "candidate"), ("x-only-candidate", "'\"")),
                ),
            ),
        ),
    ),
)


@pytest.mark.parametrize("bucket", range(CANARY.buckets))
async def test_each_visitor_gets_the_rules_of_his_release(pair: Pair, bucket: int) -> None:
    await pair.apply(RULED)
    mine, release = ("candidate", "r-2") if bucket == 0 else ("current", "r-1")
    cookie = f"{COOKIE}={token(CANARY, bucket)}"
    page = await ask(pair, "/docs/a?b=c", cookie=cookie)
    assert page.json()["path"] == f"/request/{mine}/a?b=c"
    assert page.headers["x-gantry-release"] == release
    assert (page.headers["x-all"], page.headers["x-docs"]) == (mine, mine)
    assert page.headers.get("x-only-candidate") == ("'\"" if bucket == 0 else None)
    assert page.headers.get("x-only-current") == (None if bucket == 0 else "100 %")
    assert "set-cookie" not in page.headers
    sent = await ask(pair, "/go", cookie=cookie)
    assert sent.headers["location"].endswith(f"/of-{mine}")
    assert (sent.headers["x-gantry-release"], sent.headers["x-all"]) == (release, mine)
    assert (await ask(pair, "/more", cookie=cookie)).status_code == (307 if bucket == 0 else 200)


async def test_a_visitor_is_drawn_before_any_rule(pair: Pair) -> None:
    await pair.apply(RULED)
    drawn = Counter[str]()
    sides = dict.fromkeys([token(CANARY, 0)], "candidate")
    async with client(pair.lab) as visitor:
        for _ in range(200):
            visitor.cookies.clear()
            answer = await visitor.get(url(pair.lab, "/docs/a"), headers={"x-request-id": "mine"})
            drawn[answer.cookies[COOKIE]] += 1
            mine = sides.get(answer.cookies[COOKIE], "current")
            assert answer.json()["path"] == f"/request/{mine}/a"
            assert answer.json()["name"] == ("two" if mine == "candidate" else "one")
            assert (answer.headers["x-all"], answer.headers["x-docs"]) == (mine, mine)
    # 200 draws of 1 in 4: outside of 20 to 85 once in ten million runs.
    assert set(drawn) == {token(CANARY, bucket) for bucket in range(CANARY.buckets)}
    assert all(20 <= count <= 85 for count in drawn.values()), drawn


@pytest.mark.parametrize(("percent", "mine"), [(0, "current"), (100, "candidate")])
async def test_where_one_side_has_all_visitors_its_rules_hold(
    pair: Pair, percent: int, mine: str
) -> None:
    assert RULED.canary is not None
    await pair.apply(replace(RULED, canary=replace(RULED.canary, percent=percent)))
    for bucket in range(CANARY.buckets):
        page = await ask(pair, "/docs/a", cookie=f"{COOKIE}={token(CANARY, bucket)}")
        assert (page.json()["path"], page.headers["x-docs"]) == (f"/request/{mine}/a", mine)
    assert (await ask(pair, "/docs/a")).headers["x-all"] == mine


async def test_a_candidate_that_dies_costs_no_request(pair: Pair) -> None:
    await pair.apply(replace(SITE, canary=replace(CANARY, percent=100)))
    async with visitors(pair.lab, connections=10) as seen:
        await pair.until_counted("r-2", 50)
        await pair.candidate.kill()
        before = (await pair.lab.edge.numbers())["r-1"].requests
        await pair.until_counted("r-1", before + 100)
    assert seen["failures"] == 0, seen
    assert seen["requests"] > 150
    died = await pair.until_counted("r-2", 1)
    assert died.errors + died.unanswered > 0, "and it is seen that it died"


async def test_a_candidate_keeps_its_visitors_as_long_as_one_instance_is_left(pair: Pair) -> None:
    other = await pair.lab.instance("other")
    await other.kill()
    backends = (backend("r-1", pair.current), backend("r-2", pair.candidate, other))
    site = replace(SITE, canary=CANARY)
    await pair.lab.edge.apply(EdgeConfig((site,), backends, (pair.certificate,)))
    await pair.lab.until_healthy("r-1", "r-2")
    async with client(pair.lab) as visitor:
        headers = {"cookie": f"{COOKIE}={token(CANARY, 0)}"}
        got = Counter(
            [(await visitor.get(url(pair.lab), headers=headers)).text for _ in range(100)]
        )
    assert got == {"two": 100}


async def test_a_page_of_a_candidate_that_dies_costs_no_safe_request(pair: Pair) -> None:
    page = Pin("build-2", "r-2")
    await pair.apply(replace(SITE, pins=(page,), canary=replace(CANARY, percent=0)))
    async with visitors(pair.lab, connections=10, path="/data?dpl=build-2") as seen:
        await pair.until_counted("r-2", 50)
        await pair.candidate.kill()
        before = (await pair.lab.edge.numbers())["r-1"].requests
        await pair.until_counted("r-1", before + 100)
    assert seen["failures"] == 0, seen
    assert (await ask(pair, "/data", x_deployment_id="build-2")).text == "one"
    async with client(pair.lab) as visitor:
        sent = await visitor.post(url(pair.lab), headers={"x-deployment-id": "build-2"})
    assert sent.status_code == 503, "what changes something never leaves its build"


async def test_safe_requests_are_copied_and_no_others(pair: Pair) -> None:
    await pair.apply(replace(SITE, mirror="r-2"))
    async with client(pair.lab) as visitor:
        for _ in range(20):
            assert (await visitor.get(url(pair.lab))).text == "one"
            assert (await visitor.post(url(pair.lab), content=b"x")).text == "one"
    assert (await pair.until_counted("r-2", 20)).requests == 20
    assert (await pair.until_counted("r-1", 40)).requests == 40


async def test_a_copy_says_that_it_is_one(pair: Pair) -> None:
    copies: list[str] = []

    async def candidate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        copies.append(head.lower())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(candidate, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await pair.candidate.kill()
        pair.candidate = Instance("copies", port)
        await pair.apply(replace(SITE, mirror="r-2"))
        answer = await ask(pair, "/request/mine", x_gantry_mirror="forged")
        assert "x-gantry-mirror" not in answer.json()["headers"]
        async with asyncio.timeout(DEADLINE_S):
            while not (found := [one for one in copies if "/request/mine" in one]):
                await asyncio.sleep(0.01)
    assert "x-gantry-mirror: 1\r\n" in found[0]
    assert "host: a.localhost" in found[0]


async def test_a_mirror_that_is_dead_or_silent_costs_nothing(pair: Pair) -> None:
    await pair.apply(replace(SITE, mirror="r-2"))
    async with visitors(pair.lab, connections=10) as seen:
        await pair.until_counted("r-2", 50)
        await pair.candidate.kill()
        before = (await pair.lab.edge.numbers())["r-1"].requests
        await pair.until_counted("r-1", before + 200)
    assert seen["failures"] == 0, seen


async def test_a_page_of_an_older_build_gets_its_own_release(pair: Pair) -> None:
    pinned = replace(SITE, pins=(Pin("build-2", "r-2"),), canary=replace(CANARY, percent=0))
    await pair.apply(pinned)
    assert (await ask(pair, "/_next/a.js?dpl=build-2")).text == "two"
    assert (await ask(pair, "/data", x_deployment_id="build-2")).text == "two"
    assert (await ask(pair, "/data?dpl=build-2", x_deployment_id="build-1")).text == "one"
    assert (await ask(pair, "/a.js?dpl=build-9")).text == "one"
    document = await ask(pair, "/?dpl=build-2", sec_fetch_dest="document")
    assert document.text == "one"
    navigation = await ask(pair, "/", x_deployment_id="build-2", sec_fetch_mode="navigate")
    assert navigation.text == "one"


async def test_numbers_tell_errors_and_times(pair: Pair) -> None:
    await pair.apply(SITE)
    async with client(pair.lab) as visitor:
        for path in ("/", "/own-503", "/own-503", "/slow"):
            await visitor.get(url(pair.lab, path))
    await pair.until_counted("r-1", 4)
    async with asyncio.timeout(DEADLINE_S):
        while (numbers := (await pair.lab.edge.numbers())["r-1"]).within_ms.get(60_000.0) != 4:
            await asyncio.sleep(0.05)
    assert (numbers.requests, numbers.errors, numbers.unanswered) == (4, 2, 0), numbers
    assert numbers.within_ms[400.0] == 3


async def test_what_is_asked_at_a_release_itself_is_counted_apart(pair: Pair) -> None:
    own = replace(SITE, hosts=("b.localhost",), apart=True)
    certificate = await pair.lab.certificate("a.localhost", "b.localhost")
    backends = (backend("r-1", pair.current), backend("r-2", pair.candidate))
    await pair.lab.edge.apply(EdgeConfig((SITE, own), backends, (certificate,)))
    async with client(pair.lab) as visitor:
        for host, times in (("a.localhost", 3), ("b.localhost", 5)):
            for _ in range(times):
                answer = await visitor.get(url(pair.lab, host=host))
                assert (answer.text, answer.headers["x-gantry-release"]) == ("one", "r-1")
    assert (await pair.until_counted("r-1", 3)).requests == 3
    status = await pair.lab.edge.status()
    assert set(status.backends) == {"r-1", "r-2"}
    assert status.backends["r-1"].requests == 8, "its instances are busy whoever asks"


async def test_failed_requests_are_found_by_their_release(pair: Pair) -> None:
    # Releases of its own: the access log has the requests of the tests before.
    site = replace(SITE, backend="f-1", release="f-1", canary=replace(CANARY, candidate="f-2"))
    backends = (backend("f-1", pair.current), backend("f-2", pair.candidate))
    await pair.lab.edge.apply(EdgeConfig((site,), backends, (pair.certificate,)))
    await pair.lab.until_healthy("f-1", "f-2")
    failed = dict[str, list[str]](one=[], two=[])
    for number in range(12):
        cookie = f"{COOKIE}={token(CANARY, number % CANARY.buckets)}"
        answer = await ask(pair, f"/own-503?secret={number}", cookie=cookie)
        failed[answer.text].append(answer.headers["x-request-id"])
        assert (await ask(pair, cookie=cookie)).status_code == 200
    assert len(failed["two"]) == 3
    async with asyncio.timeout(DEADLINE_S):
        while len(await pair.lab.edge.failures("f-1", most=20)) < 9:
            await asyncio.sleep(0.1)
    for name, release, most in (("two", "f-2", 20), ("one", "f-1", 4)):
        found = await pair.lab.edge.failures(release, most=most)
        assert [one.request_id for one in found] == failed[name][-most:]
        assert {(one.method, one.path, one.status) for one in found} == {("GET", "/own-503", 503)}


async def test_shares_that_cannot_be_are_refused(pair: Pair) -> None:
    for broken in (
        replace(CANARY, percent=10),
        replace(CANARY, buckets=7),
        replace(CANARY, candidate="r-9"),
    ):
        with pytest.raises(PermanentError) as caught:
            await pair.apply(replace(SITE, canary=broken))
        assert caught.value.code == "edge.rejected"
