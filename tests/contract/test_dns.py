"""DNS: the fake and the real resolver keep the same promises; Cloudflare's provider against a server that speaks its API."""

import asyncio
import itertools
import json
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from gantry.engines.dns.cloudflare import Cloudflare
from gantry.engines.dns.lexicon import LexiconProvider
from gantry.engines.dns.protocol import DnsProvider, Records, Resolver
from gantry.engines.dns.resolver import DnsResolver
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import TransientError, UserError
from tests.fakes.dns import FakeDnsProvider, FakeResolver
from tests.fakes.machine import Machine
from tests.support.pebble import PebbleRecords, answers, free_port

Add = Callable[[str, str, str], Awaitable[None]]
Zone = tuple[Resolver, DnsProvider, Add]


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
async def zone(request: pytest.FixtureRequest) -> AsyncIterator[Zone]:
    """A resolver, the provider of its zone, and what adds an address or an alias to it."""
    if request.param == "fake":
        fake = FakeResolver(Machine(ManualClock()))

        async def add_here(name: str, kind: str, value: str) -> None:
            if kind == "CNAME":
                fake.zone[name] = Records(name, fake.zone[value].addresses, value)
            else:
                had = fake.zone.get(name, Records(name)).addresses
                fake.zone[name] = Records(name, (*had, value))

        yield fake, FakeDnsProvider(fake), add_here
        return
    if shutil.which("pebble-challtestsrv") is None:
        pytest.skip("pebble is missing")
    port, management = free_port(), free_port()
    off = [word for name in ("http01", "https01", "tlsalpn01") for word in (f"-{name}", "")]
    server = subprocess.Popen(
        ["pebble-challtestsrv", "-defaultIPv4", "", "-defaultIPv6", "", *off,
         "-dns01", f"127.0.0.1:{port}", "-management", f"127.0.0.1:{management}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{management}"

    async def add(name: str, kind: str, value: str) -> None:
        bodies: dict[str, tuple[str, dict[str, object]]] = {
            "A": ("add-a", {"host": f"{name}.", "addresses": [value]}),
            "AAAA": ("add-aaaa", {"host": f"{name}.", "addresses": [value]}),
            "CNAME": ("set-cname", {"host": f"{name}.", "target": f"{value}."}),
        }
        what, body = bodies[kind]
        async with httpx.AsyncClient(trust_env=False) as http:
            (await http.post(f"{url}/{what}", json=body)).raise_for_status()

    try:
        await answers(management)
        await answers(port)
        yield DnsResolver(f"127.0.0.1:{port}"), PebbleRecords(url), add
    finally:
        server.kill()
        server.wait()


async def test_addresses_of_both_families_are_found(zone: Zone) -> None:
    resolver, _, add = zone
    await add("shop.example.test", "A", "203.0.113.7")
    await add("shop.example.test", "AAAA", "2001:db8::7")
    found = await resolver.look("shop.example.test")
    assert found == Records("shop.example.test", ("203.0.113.7", "2001:db8::7"))


async def test_an_alias_is_named(zone: Zone) -> None:
    resolver, _, add = zone
    await add("host.example.test", "A", "203.0.113.7")
    await add("www.example.test", "CNAME", "host.example.test")
    found = await resolver.look("www.example.test")
    assert (found.addresses, found.alias) == (("203.0.113.7",), "host.example.test")


async def test_a_name_that_is_not_there_has_nothing_and_that_is_certain(zone: Zone) -> None:
    resolver, _, _ = zone
    assert await resolver.look("nobody.example.test") == Records("nobody.example.test")


async def test_texts_come_and_go_and_may_be_made_twice(zone: Zone) -> None:
    resolver, provider, _ = zone
    name = "_acme-challenge.example.test"
    assert await resolver.texts(name) == ()
    for _ in range(2):
        await provider.publish(name, "proof")
    assert set(await resolver.texts(name)) == {"proof"}
    for _ in range(2):
        await provider.withdraw(name, "proof")
    assert await resolver.texts(name) == ()


async def test_a_server_that_says_nothing_costs_only_its_time() -> None:
    """A socket that takes questions and never answers."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    try:
        async with asyncio.timeout(5):
            found = await DnsResolver(f"127.0.0.1:{port}").look("a.example.test", timeout_s=0.2)
            assert (
                await DnsResolver(f"127.0.0.1:{port}").texts("a.example.test", timeout_s=0.2) == ()
            )
    finally:
        transport.close()
    assert found.error
    assert found.addresses == ()


class CloudflareServer(BaseHTTPRequestHandler):
    """Enough of Cloudflare's API v4 for one zone."""

    records: dict[str, dict[str, Any]]
    ids: Iterator[int]
    down = False

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _send(self, status: int, result: object = None, fault: str = "") -> None:
        errors = [{"code": 9109, "message": fault}] if fault else []
        raw = json.dumps({"success": not fault, "result": result, "errors": errors}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _refused(self) -> bool:
        if self.down:
            self._send(503, fault="come back later")
        elif self.headers["Authorization"] != "Bearer good-token":
            self._send(403, fault="Invalid access token")
        else:
            return False
        return True

    def do_GET(self) -> None:
        if self._refused():
            return
        query = {key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()}
        if urlsplit(self.path).path == "/zones":
            self._send(200, [{"id": "z1"}] if query["name"] == "example.com" else [])
        else:
            found = [item for item in self.records.values() if item["name"] == query["name"]]
            self._send(200, found)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._refused():
            identity = f"r{next(self.ids)}"
            self.records[identity] = {"id": identity, **body}
            self._send(200, self.records[identity])

    def do_DELETE(self) -> None:
        if not self._refused():
            self._send(200, self.records.pop(self.path.rpartition("/")[2]))


@pytest.fixture
def cloudflare() -> Iterator[tuple[type[CloudflareServer], str]]:
    handler = type("Handler", (CloudflareServer,), {"records": {}, "ids": itertools.count(1)})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield handler, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_cloudflare_makes_a_record_once_and_removes_that_one(
    cloudflare: tuple[type[CloudflareServer], str],
) -> None:
    handler, api = cloudflare
    provider = Cloudflare(lambda: {"auth_token": "good-token"}, api=api)
    name = "_acme-challenge.apps.example.com"
    for text in ("one", "two", "one"):
        await provider.publish(name, text)
    assert [item["content"] for item in handler.records.values()] == ['"one"', '"two"']
    await provider.withdraw(name, "one")
    await provider.withdraw(name, "one")
    assert [item["content"] for item in handler.records.values()] == ['"two"']


@pytest.mark.parametrize(
    ("token", "name", "down", "code"),
    [
        ("bad-token", "_acme-challenge.example.com", False, "dns.refused"),
        ("good-token", "_acme-challenge.example.org", False, "dns.no-zone"),
        ("good-token", "_acme-challenge.example.com", True, "dns.unreachable"),
    ],
)
async def test_what_cloudflare_says_no_to(
    cloudflare: tuple[type[CloudflareServer], str], token: str, name: str, down: bool, code: str
) -> None:
    handler, api = cloudflare
    handler.down = down
    with pytest.raises((UserError, TransientError)) as caught:
        await Cloudflare(lambda: {"auth_token": token}, api=api).publish(name, "x")
    assert caught.value.code == code
    assert token not in caught.value.message


async def test_a_cloudflare_that_is_not_there() -> None:
    provider = Cloudflare(lambda: {"auth_token": "x"}, api=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(TransientError) as caught:
        await provider.publish("_acme-challenge.example.com", "x")
    assert caught.value.code == "dns.unreachable"


async def test_another_provider_s_refusal_names_no_secret() -> None:
    """The library is an extra: without it the error names what to install."""
    provider = LexiconProvider("no-such-provider", "example.com", lambda: {"auth_token": "s3cret"})
    with pytest.raises((UserError, TransientError)) as caught:
        await provider.publish("_acme-challenge.example.com", "x")
    assert caught.value.code.startswith("dns.")
    assert "s3cret" not in caught.value.message
