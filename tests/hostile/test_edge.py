"""One visitor at their worst: what they can hold of the edge, and that nobody else notices.

Each attack comes from an address of its own; a well-behaved visitor asks from another meanwhile, and is always answered.
"""

import httpx
import pytest

from gantry.engines.edge.shares import MAX_REQUESTS, MAX_UNFINISHED
from tests.support.attack import (
    HOST,
    ask,
    half_body,
    heap_bytes,
    holding,
    statuses,
    streams,
)
from tests.support.edge import DEADLINE_S, Lab, lab, served

pytestmark = pytest.mark.real
ATTACKER, VISITOR = "127.0.0.2", "127.0.0.3"
# The edge has two threads at most, and each counts for itself.
THREADS = 2
MB = 1_000_000


@pytest.fixture
async def edge(edge: Lab) -> Lab:
    """It serves a site."""
    await served(edge)
    return edge


async def test_half_bodies_are_few_for_each_address(edge: Lab) -> None:
    before = await heap_bytes(edge)
    sent = half_body("/request", headers_kb=30, body_bytes=60_000)
    async with holding(edge, ATTACKER, 300, sent) as held:
        seen = await statuses(held)
        assert 0 < seen[0] <= THREADS * MAX_UNFINISHED
        assert seen.keys() <= {0, 429, -1}
        assert await ask(edge, VISITOR, 50) == {200: 50}
        # What is waited for, with its headers, and connections that were refused and not yet ended.
        assert await heap_bytes(edge) - before < 60 * MB
        assert (await statuses(held[:1])).keys() <= {0, -1}
    assert await ask(edge, ATTACKER, 10, at_once=1) == {200: 10}


async def test_headers_of_52_kb_are_refused(edge: Lab) -> None:
    sent = half_body("/request", headers_kb=52, body_bytes=10)
    async with holding(edge, ATTACKER, 20, sent) as held:
        assert (await statuses(held, DEADLINE_S)).keys() <= {431, -1}
    assert await ask(edge, VISITOR, 5) == {200: 5}


async def test_one_byte_of_a_thousand_bodies_takes_no_site_away(edge: Lab) -> None:
    sent = streams("POST", "/request", 100, body=b"x")
    async with holding(edge, ATTACKER, 12, sent, "h2"):
        assert await ask(edge, VISITOR, 50) == {200: 50}
        seen = (await edge.edge.status()).backends["r-1"]
        assert seen.active_requests <= THREADS * MAX_UNFINISHED
    assert await ask(edge, ATTACKER, 10, at_once=1) == {200: 10}


async def test_requests_that_nobody_answers_are_few_for_each_address(edge: Lab) -> None:
    async with holding(edge, ATTACKER, 8, streams("GET", "/silent", 100), "h2"):
        assert await ask(edge, VISITOR, 50) == {200: 50}
        seen = (await edge.edge.status()).backends["r-1"]
        assert seen.active_requests <= THREADS * MAX_REQUESTS


async def test_of_an_answer_that_nobody_reads_little_is_kept(edge: Lab) -> None:
    before = await heap_bytes(edge)
    async with holding(edge, ATTACKER, 1, streams("GET", "/much", 20, window=0), "h2"):
        assert await ask(edge, VISITOR, 20) == {200: 20}
        # 64 KB of each of 8 MB on its way in, and on its way out.
        assert await heap_bytes(edge) - before < 20 * 2 * 65_536 + 10 * MB


async def test_who_is_refused_is_told_so(edge: Lab) -> None:
    sent = half_body("/request", headers_kb=0, body_bytes=1)
    async with holding(edge, ATTACKER, THREADS * (MAX_UNFINISHED + 40), sent) as held:
        assert (await statuses(held))[429] > 0
        # Enough connections to meet both threads; on each, a request of its own.
        transport = httpx.AsyncHTTPTransport(verify=edge.context(), local_address=ATTACKER)
        async with httpx.AsyncClient(transport=transport, timeout=DEADLINE_S) as visitor:
            answer = await visitor.get(
                f"https://127.0.0.1:{edge.settings.https_port}/",
                headers={"host": HOST, "accept": "application/json"},
                extensions={"sni_hostname": HOST},
            )
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "edge.too-many-at-once"
    assert answer.headers["x-gantry-reason"] == "edge.too-many-at-once"
    assert answer.headers["retry-after"] == "5"


async def test_behind_a_proxy_the_visitor_counts_and_of_ipv6_the_network() -> None:
    async with lab(trusted_proxies=("127.0.0.0/8",)) as edge:
        await edge.edge.start()
        await served(edge)

        def from_(address: str) -> bytes:
            begun = half_body("/request", headers_kb=0, body_bytes=1)
            return begun.replace(b"\r\n\r\n", f"\r\nx-forwarded-for: {address}\r\n\r\n".encode())

        count = THREADS * MAX_UNFINISHED
        async with (
            holding(edge, ATTACKER, count, from_("2001:db8:1:2::1")) as first,
            holding(edge, ATTACKER, count, from_("2001:db8:1:2:3:4:5:6")) as same,
            holding(edge, ATTACKER, 20, from_("2001:db8:1:3::1")) as other,
            holding(edge, ATTACKER, 20, from_("203.0.113.9")) as elsewhere,
        ):
            of_one_network = await statuses(first) + await statuses(same)
            assert 0 < of_one_network[0] <= count
            assert of_one_network[429] > 0
            assert await statuses(other) == {0: 20}
            assert await statuses(elsewhere) == {0: 20}
