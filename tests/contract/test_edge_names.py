"""Which name a connection to real Envoy is for, and how names are written."""

import ssl
from collections.abc import AsyncIterator

import httpx
import pytest

from gantry.engines.edge.protocol import EdgeConfig, Site
from tests.support.edge import DEADLINE_S, Lab, backend, lab

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
async def edge() -> AsyncIterator[Lab]:
    async with lab() as made:
        await made.edge.start()
        one = await made.instance("one")
        sites = (
            Site(("a.localhost", "b.localhost"), "r-1", release="r-1"),
            Site(("shop.example", "x.wild.example"), "r-1", release="r-1"),
        )
        certificates = (
            await made.certificate("a.localhost", "b.localhost"),
            await made.certificate("shop.example", "*.wild.example", name="shop"),
        )
        await made.edge.apply(EdgeConfig(sites, (backend("r-1", one),), certificates))
        await made.until_healthy("r-1")
        yield made


async def ask(edge: Lab, asked: str, host: str) -> httpx.Response:
    """A request for one name on a connection that was opened for another."""
    anything = ssl.create_default_context()
    anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
    async with httpx.AsyncClient(verify=anything, timeout=DEADLINE_S) as visitor:
        return await visitor.get(
            f"https://127.0.0.1:{edge.settings.https_port}/request",
            headers={"host": host, "accept": "application/json"},
            extensions={"sni_hostname": asked},
        )


@pytest.mark.parametrize(
    ("asked", "host", "status"),
    [
        ("a.localhost", "a.localhost", 200),
        ("a.localhost", "A.LocalHost:8443", 200),
        # One certificate for both: browsers ask both on one connection.
        ("a.localhost", "b.localhost", 200),
        ("shop.example", "x.wild.example", 200),
        ("shop.example", "a.localhost", 421),
        ("a.localhost", "shop.example", 421),
        ("x.wild.example", "y.x.wild.example", 421),
        ("unknown.example", "shop.example", 421),
        ("unknown.example", "unknown.example", 404),
    ],
)
async def test_a_connection_is_for_the_names_of_its_certificate(
    edge: Lab, asked: str, host: str, status: int
) -> None:
    answer = await ask(edge, asked, host)
    assert answer.status_code == status
    if status == 421:
        assert answer.json()["error"]["code"] == "edge.misdirected"
        assert answer.headers["x-gantry-reason"] == "edge.misdirected"


@pytest.mark.parametrize(
    ("host", "seen"),
    [
        ("A.LocalHost", "a.localhost"),
        ("a.localhost:443", "a.localhost"),
        ("a.localhost:8443", "a.localhost:8443"),
    ],
)
async def test_a_name_is_written_in_one_way(edge: Lab, host: str, seen: str) -> None:
    headers = (await ask(edge, "a.localhost", host)).json()["headers"]
    assert (headers["host"], headers["x-forwarded-host"]) == (seen, seen)
