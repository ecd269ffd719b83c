"""Where real Envoy listens, and whom it believes about where a visitor comes from."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from gantry.app.doctor import examine
from gantry.engines.edge.envoy import EnvoyEdge
from gantry.engines.edge.process import check_free
from gantry.kernel.clock import SystemClock
from gantry.kernel.errors import UserError
from tests.support.edge import Lab, lab, running, served

pytestmark = pytest.mark.real


async def answered(edge: Lab, address: str, port: int = 0, **headers: str) -> httpx.Response | None:
    """What a visitor of one address gets; `None` when nobody takes the connection."""
    host = f"[{address}]" if ":" in address else address
    name = {
        "host": "a.localhost",
        **{key.replace("_", "-"): value for key, value in headers.items()},
    }
    transport = httpx.AsyncHTTPTransport(verify=edge.context())
    async with httpx.AsyncClient(transport=transport) as visitor:
        try:
            return await visitor.get(
                f"https://{host}:{port or edge.settings.https_port}/request",
                headers=name,
                extensions={"sni_hostname": "a.localhost"},
            )
        except httpx.ConnectError:
            return None


ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "::1")


@pytest.mark.parametrize(
    ("bind", "reached"),
    [
        (("127.0.0.2",), {"127.0.0.2"}),
        (("127.0.0.2", "::1"), {"127.0.0.2", "::1"}),
        (("0.0.0.0",), {"127.0.0.1", "127.0.0.2", "127.0.0.3"}),
        (("::",), set(ADDRESSES)),
        (("::", "127.0.0.3"), {"::1", "127.0.0.3"}),
    ],
)
async def test_it_listens_where_it_is_bound_and_nowhere_else(
    bind: tuple[str, ...], reached: set[str]
) -> None:
    async with lab(bind=bind) as edge:
        await edge.edge.start()
        await served(edge)
        found = {address for address in ADDRESSES if await answered(edge, address)}
        assert found == reached
        assert await answered(edge, edge.settings.own_address.strip("[]"))
        held = [finding for finding in examine(edge.settings) if finding.name.startswith("port ")]
        # No control plane holds this home: somebody else has the ports, at each address.
        assert [finding.state for finding in held] == ["bad"] * 2 * len(bind)
        assert all("envoy" in finding.detail for finding in held)


async def test_what_cannot_be_bound_is_found_by_the_doctor() -> None:
    async with lab(bind=("192.0.2.1", "127.0.0.1")) as edge:
        findings = {finding.name: finding for finding in examine(edge.settings)}
    port = edge.settings.http_port
    assert "cannot listen there" in findings[f"port {port} of 192.0.2.1"].detail
    assert findings[f"port {port}"].detail == "free"


async def test_another_bind_holds_at_once() -> None:
    async with lab(bind=("127.0.0.2",)) as edge:
        await edge.edge.start()
        await served(edge)
        pids = await running(edge)
        for bind, reached in (
            (("127.0.0.3", "::1"), {"127.0.0.3", "::1"}),
            (("127.0.0.2",), {"127.0.0.2"}),
        ):
            # Another control plane, which adopts the edge that runs, and has not told it anything yet.
            other = EnvoyEdge(replace(edge.settings, bind=bind), edge.runtime, SystemClock())
            await other.start()
            async with asyncio.timeout(2):
                while {a for a in ADDRESSES if await answered(edge, a)} != reached:
                    await asyncio.sleep(0.02)
            await other.aclose()
            assert await running(edge) == pids
        await edge.edge.stop()
        other = EnvoyEdge(replace(edge.settings, bind=("127.0.0.3",)), edge.runtime, SystemClock())
        await other.start()
        assert {a for a in ADDRESSES if await answered(edge, a)} == {"127.0.0.3"}
        await other.aclose()


def listening(address: str) -> Iterator[int]:
    """A port that somebody listens on at one address."""
    with socket.socket() as taken:
        taken.bind((address, 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.parametrize(
    ("taken", "bind", "free"),
    [
        ("127.0.0.2", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.2", False),
        ("127.0.0.2", "0.0.0.0", False),
        ("127.0.0.2", "::", False),
        ("127.0.0.2", "::1", True),
    ],
)
async def test_a_port_is_taken_where_both_would_listen(
    taken: str, bind: str, *, free: bool
) -> None:
    with contextlib.contextmanager(listening)(taken) as port:
        async with lab(http_port=port, bind=(bind,)) as edge:
            if free:
                check_free(edge.edge._paths)
            else:
                with pytest.raises(UserError, match="is taken by"):
                    check_free(edge.edge._paths)


# -- who is believed ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trusted", "sent", "seen"),
    [
        (("127.0.0.0/8", "::1/128"), "203.0.113.9", "203.0.113.9"),
        # What the proxy itself has seen is the last; what stands before it anybody may have written.
        (("127.0.0.0/8",), "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        # Two proxies one behind the other.
        (("127.0.0.0/8", "203.0.113.0/24"), "198.51.100.1, 203.0.113.9", "198.51.100.1"),
        (("127.0.0.0/8",), "2001:db8::7", "2001:db8::7"),
        (("10.0.0.0/8",), "203.0.113.9", None),
        ((), "203.0.113.9", None),
    ],
)
async def test_only_trusted_proxies_say_where_a_visitor_comes_from(
    trusted: tuple[str, ...], sent: str, seen: str | None
) -> None:
    async with lab(trusted_proxies=trusted) as edge:
        await edge.edge.start()
        await served(edge)
        answer = await answered(
            edge,
            "127.0.0.1",
            x_forwarded_for=sent,
            x_forwarded_host="evil.example",
            x_forwarded_proto="http",
            x_request_id="forged",
        )
        assert answer is not None
        headers = answer.json()["headers"]
    if seen is None:
        assert sent not in headers["x-forwarded-for"]
    else:
        assert headers["x-forwarded-for"] == seen
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-host"].startswith("a.localhost")
    assert headers["x-request-id"] != "forged"
