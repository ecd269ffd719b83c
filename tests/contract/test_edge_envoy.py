"""What visitors get from real Envoy: switches, dying instances, streams, certificates."""

import asyncio
import contextlib
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import websockets

from gantry.config.patterns import parse_pattern
from gantry.engines.edge.admin import Admin
from gantry.engines.edge.envoy import EnvoyEdge
from gantry.engines.edge.protocol import (
    Backend,
    EdgeConfig,
    Endpoint,
    HeaderRule,
    Redirect,
    Rewrite,
    Site,
)
from gantry.kernel.clock import ManualClock, SystemClock
from gantry.kernel.errors import PermanentError, UserError
from tests.support.edge import (
    DEADLINE_S,
    Lab,
    backend,
    config,
    free_ports,
    kill,
    running,
    served,
)
from tests.support.edge_visitors import client, url, visitors

pytestmark = pytest.mark.real


async def until_busy(edge: Lab, name: str) -> None:
    """Wait until requests arrive at a backend."""
    async with asyncio.timeout(DEADLINE_S):
        while not (await edge.edge.status()).backends[name].active_requests:
            await asyncio.sleep(0.005)


# -- switches and dying instances ------------------------------------------------------------


async def test_twenty_switches_fail_no_request(edge: Lab) -> None:
    certificates = (await edge.certificate("a.localhost"),)
    instances = [await edge.instance(f"i-{number}") for number in range(2)]
    old = backend("r-0", instances[0])
    await edge.edge.apply(config("r-0", old, certificates=certificates))
    async with visitors(edge) as seen:
        await until_busy(edge, "r-0")
        for number in range(1, 21):
            new = backend(f"r-{number}", instances[number % 2])
            await edge.edge.apply(config(old.name, old, new, certificates=certificates))
            await edge.until_healthy(new.name)
            await edge.edge.apply(config(new.name, new, old, certificates=certificates))
            await until_busy(edge, new.name)
            await edge.edge.apply(config(new.name, new, certificates=certificates))
            old = new
    assert seen["failures"] == 0, seen
    assert set(seen["releases"]) == {f"r-{number}" for number in range(21)}


async def test_a_switch_straight_to_a_new_backend_waits_until_it_can_be_used(edge: Lab) -> None:
    certificates = (await edge.certificate("a.localhost"),)
    instances = [await edge.instance(f"i-{number}") for number in range(2)]
    await edge.edge.apply(config("r-0", backend("r-0", instances[0]), certificates=certificates))
    async with visitors(edge) as seen:
        await until_busy(edge, "r-0")
        for number in range(1, 11):
            new = backend(f"r-{number}", instances[number % 2])
            await edge.edge.apply(config(new.name, new, certificates=certificates))
            await until_busy(edge, new.name)
    assert seen["failures"] == 0, seen


async def test_instances_come_and_go_without_a_failed_request(edge: Lab) -> None:
    certificates = (await edge.certificate("a.localhost"),)
    one, two = [await edge.instance(name) for name in ("one", "two")]
    nobody = Endpoint(port=free_ports(1)[0])
    few, more = backend("r-0", one), backend("r-0", one, two)
    half_dead = replace(more, endpoints=(*more.endpoints, nobody))
    await edge.edge.apply(config("r-0", few, certificates=certificates))
    async with visitors(edge) as seen:
        await until_busy(edge, "r-0")
        for _ in range(3):
            for group in (more, few, half_dead):
                await edge.edge.apply(config("r-0", group, certificates=certificates))
                await edge.until_healthy("r-0", healthy=2 if group is not few else 1)
    assert seen["failures"] == 0, seen


async def test_killed_instances_fail_no_get(edge: Lab) -> None:
    certificates = (await edge.certificate("a.localhost"),)
    instances = [await edge.instance(f"i-{number}") for number in range(2)]
    await edge.edge.apply(config("r-0", backend("r-0", *instances), certificates=certificates))
    await edge.until_healthy("r-0", healthy=2)
    async with visitors(edge) as seen:
        await until_busy(edge, "r-0")
        for number in range(6):
            await instances[number % 2].kill()
            await edge.until_healthy("r-0", healthy=1)
            await instances[number % 2].start()
            await edge.until_healthy("r-0", healthy=2)
    assert seen["failures"] == 0, seen


async def test_the_restart_of_a_single_instance_is_bridged(edge: Lab) -> None:
    certificates = (await edge.certificate("a.localhost"),)
    only = await edge.instance("only")
    await edge.edge.apply(config("r-0", backend("r-0", only), certificates=certificates))
    await edge.until_healthy("r-0")
    for _ in range(2):
        # Others each time: who has waited for one restart and meets the next has had both of their tries.
        async with visitors(edge) as seen:
            await until_busy(edge, "r-0")
            await only.kill()
            # With the start of a Python program, what a product needs.
            await asyncio.sleep(0.3)
            await only.start()
            await edge.until_healthy("r-0")
        assert seen["failures"] == 0, seen


async def test_an_edge_that_was_killed_serves_again_without_being_told_anew(edge: Lab) -> None:
    await served(edge)
    applied = (await edge.edge.status()).applied
    await kill(edge)
    async with asyncio.timeout(DEADLINE_S):
        while (await edge.edge.status()).running:
            await asyncio.sleep(0.005)
    await edge.edge.start()
    assert (await edge.edge.status()).applied == applied
    assert (await edge.get()).body == "one"


async def test_an_edge_that_is_still_dying_when_it_is_started_is_replaced(edge: Lab) -> None:
    await served(edge)
    for _ in range(5):
        # No wait in between: the process may still be seen as running.
        await kill(edge)
        await edge.edge.start()
        assert (await edge.get()).body == "one"


async def test_another_control_plane_finds_the_edge_and_what_it_does(edge: Lab) -> None:
    await served(edge)
    before = await running(edge)
    other = EnvoyEdge(edge.settings, edge.runtime, SystemClock())
    await other.start()
    assert await running(edge) == before
    assert (await other.status()) == (await edge.edge.status())
    await other.aclose()


# -- streams -----------------------------------------------------------------------------------


async def test_a_websocket_outlives_switch_removal_and_certificates(edge: Lab) -> None:
    await served(edge)
    two = await edge.instance("two")
    async with websockets.connect(
        url(edge, "/socket", scheme="wss"), ssl=edge.context(), host="127.0.0.1"
    ) as socket:
        await socket.send("before")
        assert await socket.recv() == "before"
        assert (await edge.edge.status()).backends["r-1"].active_requests == 1
        certificates = (
            await edge.certificate("a.localhost"),
            await edge.certificate("c.localhost", name="c.localhost"),
        )
        await edge.edge.apply(config("r-2", backend("r-2", two), certificates=certificates))
        assert (await edge.get()).body == "two"
        await socket.send("after")
        assert await socket.recv() == "after"


async def test_events_flow_at_once_and_outlive_a_switch(edge: Lab) -> None:
    await served(edge)
    certificates = (await edge.certificate("a.localhost"),)
    two = await edge.instance("two")
    headers = {"accept": "text/event-stream", "accept-encoding": "gzip, br, zstd"}
    async with (
        client(edge) as visitor,
        visitor.stream("GET", url(edge, "/events"), headers=headers) as answer,
    ):
        assert "content-encoding" not in answer.headers
        lines = answer.aiter_lines()
        assert await anext(lines) == "id: 0"
        await edge.edge.apply(config("r-2", backend("r-2", two), certificates=certificates))
        assert (await edge.get()).body == "two"
        async for line in lines:
            assert line in ("", "data: one") or line.startswith("id: ")
            if line == "id: 20":
                break


@pytest.mark.parametrize("accepted", ["gzip", "br", "gzip, deflate, br, zstd"])
async def test_compressed_html_flows_as_it_is_made(edge: Lab, accepted: str) -> None:
    await served(edge)
    loop = asyncio.get_running_loop()
    arrived: list[float] = []
    asked = {"accept-encoding": accepted}
    async with (
        client(edge) as visitor,
        visitor.stream("GET", url(edge, "/flow"), headers=asked) as answer,
    ):
        assert answer.headers["content-encoding"] in ("gzip", "br", "zstd")
        async for text in answer.aiter_text():
            arrived += [loop.time()] * text.count("<p>")
    assert len(arrived) == 3
    assert arrived[1] - arrived[0] > 0.1
    assert arrived[2] - arrived[1] > 0.1


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip", "gzip"),
        ("br", "br"),
        ("zstd", None),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate, br", "br"),
        ("identity", None),
    ],
)
async def test_pages_are_compressed(edge: Lab, accepted: str, chosen: str | None) -> None:
    await served(edge)
    async with client(edge) as visitor:
        headers = {"accept-encoding": accepted}
        async with visitor.stream("GET", url(edge, "/page"), headers=headers) as answer:
            size = len(b"".join([part async for part in answer.aiter_raw()]))
    assert answer.headers.get("content-encoding") == chosen
    assert size == 20_000 if chosen is None else size < 1_000


# -- certificates --------------------------------------------------------------------------------


async def test_a_certificate_is_swapped_under_load(edge: Lab) -> None:
    one = await edge.instance("one")
    certificates = (await edge.certificate("a.localhost"),)
    await edge.edge.apply(config("r-0", backend("r-0", one), certificates=certificates))
    async with visitors(edge) as seen:
        await until_busy(edge, "r-0")
        for number in range(10):
            fresh = await edge.certificate("a.localhost", f"x-{number}.localhost")
            await edge.edge.apply(config("r-0", backend("r-0", one), certificates=(fresh,)))
            assert (await edge.get(host=f"x-{number}.localhost")).status == 404
    assert (seen["failures"], seen["reconnects"]) == (0, 0), seen


async def test_certificates_come_and_go_under_load(edge: Lab) -> None:
    one = await edge.instance("one")
    first = await edge.certificate("a.localhost")
    second = await edge.certificate("shop.localhost", name="shop.localhost")
    await edge.edge.apply(config("r-0", backend("r-0", one), certificates=(first,)))
    async with visitors(edge) as seen:
        await until_busy(edge, "r-0")
        for _ in range(5):
            for certificates in ((first, second), (first,)):
                await edge.edge.apply(config("r-0", backend("r-0", one), certificates=certificates))
                asked = await edge.get(host="shop.localhost")
                assert asked.status == (404 if len(certificates) == 2 else 0)
    assert seen["failures"] == 0, seen


async def test_a_bad_certificate_is_refused_and_the_old_one_stays(edge: Lab) -> None:
    await served(edge)
    before = await edge.edge.status()
    good = await edge.certificate("a.localhost")
    for chain, key in (("nonsense", good.key_pem), (good.chain_pem, "nonsense")):
        bad = replace(good, chain_pem=chain, key_pem=key)
        with pytest.raises(PermanentError, match="Failed to load"):
            await edge.edge.apply(config(None, certificates=(bad,)))
        after = await edge.edge.status()
        assert (after.applied, after.backends.keys()) == (before.applied, before.backends.keys())
        assert "Failed to load" in after.rejected
        assert (await edge.get()).body == "one"


async def test_a_bad_endpoint_is_refused_and_the_old_routes_stay(edge: Lab) -> None:
    await served(edge)
    before = (await edge.edge.status()).applied
    bad = Backend("r-2", (Endpoint(host="no-address", port=1),))
    with pytest.raises(PermanentError, match="no-address"):
        await edge.edge.apply(config("r-2", bad))
    assert (await edge.edge.status()).applied == before
    assert (await edge.get()).body == "one"


async def test_a_taken_port_is_named(edge: Lab) -> None:
    taken = replace(edge.settings, home=edge.settings.home / "other")
    with pytest.raises(UserError, match=r"is taken by envoy") as caught:
        await EnvoyEdge(
            taken, type(edge.runtime)(taken.paths, SystemClock()), SystemClock()
        ).start()
    assert caught.value.code == "edge.port-taken"


# -- what the edge says --------------------------------------------------------------------------


async def test_requests_arrive_with_what_only_the_edge_knows(edge: Lab) -> None:
    await served(edge)
    forged = {
        "x-forwarded-for": "203.0.113.9",
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "http",
        "x-forwarded-port": "1",
        "x-real-ip": "203.0.113.9",
        "forwarded": "for=203.0.113.9",
        "x-envoy-original-path": "/forged",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-request-id": "forged",
    }
    async with client(edge) as visitor:
        answer = await visitor.get(url(edge, "/request?a=1"), headers=forged)
    seen = answer.json()
    assert seen["path"] == "/request?a=1"
    headers = seen["headers"]
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-host"] == f"a.localhost:{edge.settings.https_port}"
    assert headers["x-forwarded-port"] == str(edge.settings.https_port)
    assert "forged" not in json.dumps(seen)
    assert "203.0.113.9" not in json.dumps(seen)
    assert "x-envoy-upstream-rq-timeout-ms" not in headers
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", headers["traceparent"])
    assert answer.headers["x-request-id"] == headers["x-request-id"]
    assert answer.headers["x-gantry-release"] == "r-1"
    assert "server" not in answer.headers
    assert "strict-transport-security" not in answer.headers


async def test_a_visitor_s_trace_goes_on(edge: Lab) -> None:
    await served(edge)
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with client(edge) as visitor:
        headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        answer = await visitor.get(url(edge, "/request"), headers=headers)
    assert answer.json()["headers"]["traceparent"].startswith(f"00-{trace}-")


@pytest.mark.parametrize("path", ["/", "/cut"])
async def test_the_edge_s_own_page_claims_no_release(edge: Lab, path: str) -> None:
    await served(edge)
    if path == "/":
        await edge.instances[0].kill()
    async with client(edge) as visitor:
        page, error = await asyncio.gather(
            *(
                visitor.get(url(edge, path), headers={"accept": kind})
                for kind in ("text/html", "application/json")
            )
        )
    assert page.status_code == error.status_code == 503
    assert "<h1>Back in a moment</h1>" in page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert error.json()["error"]["code"] == "edge.unavailable"
    assert page.headers["x-gantry-release"] == "edge"
    assert page.headers["cache-control"] == "no-store"


async def test_the_product_s_own_errors_are_not_touched(edge: Lab) -> None:
    await served(edge)
    answer = await edge.get("/own-503")
    assert (answer.status, answer.body) == (503, "one")
    assert answer.headers["x-gantry-release"] == "r-1"


async def test_names_without_a_release_and_without_a_site(edge: Lab) -> None:
    await served(edge)
    one = edge.instances[0]
    certificates = (await edge.certificate("a.localhost", "b.localhost", "unknown.localhost"),)
    sites = (Site(("a.localhost",), "r-1"), Site(("b.localhost",), None, title="<Shop>"))
    await edge.edge.apply(EdgeConfig(sites, (backend("r-1", one),), certificates))
    nothing, unknown = await edge.get(host="b.localhost"), await edge.get(host="unknown.localhost")
    assert (nothing.status, unknown.status) == (503, 404)
    assert "Nothing is live at &lt;Shop&gt; yet" in nothing.body
    async with client(edge) as visitor:
        accept = {"accept": "application/json"}
        answer = await visitor.get(url(edge, host="unknown.localhost"), headers=accept)
    assert answer.json()["error"]["code"] == "edge.unknown-host"


async def test_plain_http_answers_challenges_and_leads_to_https(edge: Lab) -> None:
    await edge.edge.apply(EdgeConfig(acme_challenges={"token-1": "token-1.thumbprint"}))
    base = f"http://a.localhost:{edge.settings.http_port}"
    async with client(edge) as visitor:
        challenge = await visitor.get(f"{base}/.well-known/acme-challenge/token-1")
        other = await visitor.get(f"{base}/.well-known/acme-challenge/token-2?a=b")
    assert (challenge.status_code, challenge.text) == (200, "token-1.thumbprint")
    assert other.status_code == 308
    assert other.headers["location"] == url(edge, "/.well-known/acme-challenge/token-2?a=b")


# -- rules for paths --------------------------------------------------------------------------


async def test_redirects(edge: Lab) -> None:
    await served(
        edge,
        redirects=(
            Redirect("/old/:slug*", "/new/:slug*"),
            Redirect("/post/:id(\\d+)/:rest(.*)", "/p/:rest?id=:id", 307),
            Redirect("/out/(.*)", "https://example.org:8443/$1", 302),
            Redirect("/home", "https://example.org", 301),
            Redirect("/q", "/next?from=q&b=3"),
            Redirect("/section/:name", "/new#:name"),
            Redirect("/both", "https://example.org/x?y=1#part"),
            Redirect("/bare", "/next?"),
            Redirect("/sign/:page", "https://example.org?next=:page&at=a:1/b"),
        ),
    )
    async with client(edge) as visitor:
        for path, status, location in (
            ("/old/a/b", 308, url(edge, "/new/a/b")),
            ("/old/a/b?q=1", 308, url(edge, "/new/a/b?q=1")),
            ("/old", 308, url(edge, "/new")),
            ("/older", 200, None),
            ("/post/42/c/d", 307, url(edge, "/p/c/d?id=42")),
            ("/post/42/c/d?x=1&y=2", 307, url(edge, "/p/c/d?id=42&x=1&y=2")),
            ("/post/x/c", 200, None),
            ("/out/a/b", 302, "https://example.org:8443/a/b"),
            ("/home", 301, "https://example.org/"),
            ("/home?utm_source=a", 301, "https://example.org/?utm_source=a"),
            ("/q", 308, url(edge, "/next?from=q&b=3")),
            ("/q?a=1", 308, url(edge, "/next?from=q&b=3&a=1")),
            # Of a parameter that both have, the rule's counts.
            ("/q?a=1&b=2&a=3&%62=4&c", 308, url(edge, "/next?from=q&b=3&a=1&a=3&c")),
            ("/q?b=2", 308, url(edge, "/next?from=q&b=3")),
            ("/q?", 308, url(edge, "/next?from=q&b=3")),
            ("/section/one", 308, url(edge, "/new#one")),
            ("/section/one?a=1&b=x%26y", 308, url(edge, "/new?a=1&b=x%26y#one")),
            ("/both?a=1", 308, "https://example.org/x?y=1&a=1#part"),
            ("/bare?a=1", 308, url(edge, "/next?a=1")),
            ("/sign/in?a=%41", 308, "https://example.org/?next=in&at=a:1/b&a=%41"),
            ("/sign/in", 308, "https://example.org/?next=in&at=a:1/b"),
        ):
            answer = await visitor.get(url(edge, path))
            assert (answer.status_code, answer.headers.get("location")) == (status, location), path


async def test_rules_for_one_name_of_a_site(edge: Lab) -> None:
    one = await edge.instance("one")
    site = Site(
        ("a.localhost", "b.localhost"),
        "r-1",
        redirects=(Redirect("/:path*", "https://a.localhost/:path*", host="b.localhost"),),
        rewrites=(Rewrite("/here", "/request", host="a.localhost"),),
    )
    certificates = (await edge.certificate("a.localhost", "b.localhost"),)
    await edge.edge.apply(EdgeConfig((site,), (backend("r-1", one),), certificates))
    async with client(edge) as visitor:
        for path in ("/", "/x/y?a=1"):
            answer = await visitor.get(url(edge, path, host="b.localhost"))
            assert answer.headers["location"] == f"https://a.localhost{path}"
        assert (await visitor.get(url(edge, "/here"))).json()["path"] == "/request"
        shouted = await visitor.get(url(edge, "/"), headers={"host": "B.localhost"})
    assert shouted.status_code == 308


async def test_a_redirect_says_whose_rule_it_is(edge: Lab) -> None:
    redirects = (Redirect("/", "/en"), Redirect("/old", "https://example.org/?from=old"))
    await served(edge, release="r-1", redirects=redirects)
    for path in ("/", "/?a=b", "/old", "/old?a=b"):
        answer = await edge.get(path)
        assert (answer.status, answer.headers["x-gantry-release"]) == (308, "r-1"), path
    assert (await edge.get("/en")).headers["x-gantry-release"] == "r-1"


async def test_every_pattern_that_a_manifest_may_have_is_taken(edge: Lab) -> None:
    """One refused pattern would hold back the routes of every project."""
    chance = random.Random(7)
    pieces = (
        *("/", "a", ".", "-", "é", "\\(", "\\\\", "%20", "$", "|", "~", "^", "[", "]", "="),
        *(":a", ":b*", ":c+", ":d?", ":e(\\d+)", ":f(x|y)?", ":g([^/]+?)*", "(.*)", "((?:a|b)+)"),
        *(
            "(\\w{2,30})",
            "([a-z\\-]{1,500})",
            "(\\d{1,1000})",
            "(a{2,}?)",
            "([.+*?^$(){}])",
            "(\\.png)",
        ),
        "(en|de|fr|es|it|pt|nl|pl|ru|ja|ko|zh|sv|da|fi|no|cs|hu|ro|bg)/documentation/:version",
    )
    sources: list[str] = []
    while len(sources) < 300:
        source = "/" + "".join(chance.choices(pieces, k=chance.randrange(1, 7)))
        with contextlib.suppress(ValueError):
            sources.append(parse_pattern(source).text)
    sources.append("/" + "x" * 2047)
    redirects = tuple(Redirect(source, "/there") for source in sources)
    rules = tuple(HeaderRule(source, (("x-rule", source[:20]),)) for source in sources)
    await served(edge, redirects=redirects)
    await served(edge, headers=tuple(rule for rule in rules if rule.headers[0][1].isascii()))
    assert (await edge.get("/" + "x" * 2047)).headers["x-rule"] == "/" + "x" * 19


async def test_rewrites_come_after_redirects(edge: Lab) -> None:
    await served(
        edge,
        redirects=(Redirect("/docs/old", "/docs/new"),),
        rewrites=(
            Rewrite("/docs/:path*", "/request/:path*"),
            Rewrite("/r", "/request?from=r"),
            Rewrite("/f", "/request#part"),
            Rewrite("/item/:id", "/request/item?id=:id"),
            Rewrite("/all/:path*", "/request?all=:path*"),
        ),
    )
    async with client(edge) as visitor:
        assert (await visitor.get(url(edge, "/docs/old"))).status_code == 308
        assert (await visitor.get(url(edge, "/other"))).text == "one"
    for path, asked in (
        ("/docs/a/b", "/request/a/b"),
        ("/docs/a?q=1", "/request/a?q=1"),
        ("/docs", "/request"),
        ("/r", "/request?from=r"),
        ("/r?from=x&y=%3F&z", "/request?from=r&y=%3F&z"),
        ("/r?from=x", "/request?from=r"),
        ("/f?a=1", "/request?a=1"),
        ("/item/a%20b?x=1&id=2", "/request/item?id=a%20b&x=1"),
        ("/all/a/b?x=1", "/request?all=a/b&x=1"),
        ("/all?x=1", "/request?all=&x=1"),
        ("/r?x=1", "/request?from=r&x=1"),
    ):
        assert json.loads((await edge.get(path)).body)["path"] == asked


async def test_headers_for_everything_and_for_some_paths(edge: Lab) -> None:
    tricky = "default-src 'self' \"x\" \\d 100% %REQ(host)%)"
    await served(
        edge,
        noindex=True,
        rewrites=(Rewrite("/public/:path*", "/inner/:path*"),),
        headers=(
            HeaderRule("/(.*)", (("x-all", tricky), ("x-wins", "first"))),
            HeaderRule("/public/:path*", (("x-some", tricky), ("x-wins", "second"))),
            *(HeaderRule(f"/p-{number}", (("x-many", str(number)),)) for number in range(100)),
        ),
    )
    everywhere = await edge.get("/?x=/public/a")
    assert everywhere.headers["x-all"] == tricky
    assert everywhere.headers["x-wins"] == "first"
    assert "x-some" not in everywhere.headers
    assert everywhere.headers["x-robots-tag"] == "noindex"
    some = await edge.get("/public/a?b=c")
    assert (some.headers["x-some"], some.headers["x-wins"]) == (tricky, "second")
    assert "x-many" not in some.headers
    assert (await edge.get("/p-99")).headers["x-many"] == "99"


# -- every wait ends with what it waits for --------------------------------------------------


@asynccontextmanager
async def admin_of(edge: Lab) -> AsyncIterator[Admin]:
    admin = Admin(edge.admin_socket)
    try:
        yield admin
    finally:
        await admin.aclose()


async def test_the_requests_that_are_waited_for_are_those_of_visitors(edge: Lab) -> None:
    await served(edge)
    async with admin_of(edge) as admin, client(edge) as idle:
        assert await admin.visitors_requests() == 0
        assert "1" in (await admin.stats("downstream_rq_active")).values(), "the question itself"
        assert (await idle.get(url(edge))).text == "one"
        asked = asyncio.get_running_loop().create_task(edge.get("/slow"))
        await until_busy(edge, "r-1")
        assert await admin.visitors_requests() == 1
        assert (await asked).body == "one"


async def test_an_idle_edge_stops_at_once(edge: Lab) -> None:
    await served(edge)
    clock = ManualClock()
    async with admin_of(edge) as admin, client(edge) as idle:
        assert (await idle.get(url(edge))).text == "one"
        async with asyncio.timeout(DEADLINE_S):
            while await admin.visitors_requests():
                await asyncio.sleep(0.005)
        await EnvoyEdge(edge.settings, edge.runtime, clock).stop()
    assert clock.monotonic_s() == 0, "the first look says that there is nobody to wait for"
    assert await running(edge) == {}


async def test_stopping_lets_requests_end(edge: Lab) -> None:
    await served(edge)
    asked = asyncio.get_running_loop().create_task(edge.get("/slow"))
    await until_busy(edge, "r-1")
    await edge.edge.stop()
    assert (await asked).body == "one"


async def test_what_envoy_has_is_not_waited_for(edge: Lab) -> None:
    certificates = (await edge.certificate("a.localhost"),)
    one, two = [await edge.instance(name) for name in ("one", "two")]
    clock = ManualClock()
    quick = EnvoyEdge(edge.settings, edge.runtime, clock)
    nowhere = Backend("r-2", (Endpoint(host="no-address", port=1),))
    unreadable = replace(certificates[0], chain_pem="nonsense")
    for wanted, refused in (
        (config("r-0", backend("r-0", one), certificates=certificates), False),
        (config("r-1", backend("r-1", two), certificates=certificates), False),
        (config("r-2", nowhere, certificates=certificates), True),
        (config("r-1", backend("r-1", two), certificates=(unreadable,)), True),
        (config("nobody", certificates=certificates), True),
    ):
        before_s = clock.monotonic_s()
        with pytest.raises(PermanentError) if refused else contextlib.nullcontext():
            await quick.apply(wanted)
        assert clock.monotonic_s() - before_s < 4, "the shortest deadline is 4 s"
    before_s = clock.monotonic_s()
    await quick.apply(config("r-1", backend("r-1", two), certificates=certificates))
    assert clock.monotonic_s() == before_s
    await quick.aclose()
