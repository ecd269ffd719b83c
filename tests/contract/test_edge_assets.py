"""Files through real Envoy from the real asset store, and from instances where the store has none."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gantry.engines.assets.protocol import HEADER, HEALTH_PATH, of_build, of_scope
from gantry.engines.assets.server import PROCESS, CaddyAssets
from gantry.engines.edge.protocol import (
    ASSETS,
    Assets,
    Backend,
    Canary,
    EdgeConfig,
    Endpoint,
    Pin,
    Site,
)
from gantry.engines.edge.visitors import COOKIE, token
from gantry.kernel.clock import SystemClock
from tests.support.edge import DEADLINE_S, Instance, Lab, anew, backend, lab
from tests.support.edge_visitors import client, url

pytestmark = pytest.mark.real
SCRIPT = b"export const words = ['alpha', 'beta'];\n" * 300
PATH = "/_next/static/chunks/main-0a1b2c3d.js"
SITE = Site(
    ("a.localhost",),
    "r-1",
    release="r-1",
    assets=Assets(of_scope("shop"), ("/_next/static", "/request")),
)


@dataclass(slots=True)
class Street:
    """An edge, a store with two builds, and two instances."""

    lab: Lab
    store: CaddyAssets
    current: Instance
    candidate: Instance

    async def apply(self, site: Site = SITE) -> None:
        store = Backend(ASSETS, (Endpoint(socket=str(self.store.socket)),), HEALTH_PATH, ASSETS)
        backends = (backend("r-1", self.current), backend("r-2", self.candidate), store)
        certificate = await self.lab.certificate("a.localhost")
        await self.lab.edge.apply(EdgeConfig((site,), backends, (certificate,)))
        await self.lab.until_healthy("r-1", "r-2", ASSETS)


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    builds = tmp_path_factory.mktemp("builds")
    async with lab() as made:
        store = CaddyAssets(paths=made.settings.paths, runtime=made.runtime, clock=SystemClock())
        await store.start()
        for build, content in (("b-1", b"of b-1"), ("b-2", b"of b-2")):
            chunks = builds / build / "static" / "chunks"
            chunks.mkdir(parents=True)
            (chunks / "main-0a1b2c3d.js").write_bytes(SCRIPT)
            (chunks / "manifest.js").write_bytes(content)
            await store.publish(build, builds / build, {"/_next/static": "static"})
        try:
            yield Street(made, store, await made.instance("one"), await made.instance("two"))
        finally:
            await store.stop()


@pytest.fixture
async def street(shared: Street) -> AsyncIterator[Street]:
    async with anew(shared.lab):
        for instance in (shared.current, shared.candidate):
            if not instance.runs:
                await instance.start()
        await shared.store.revive()
        await shared.store.arrange("shop", ["b-2", "b-1"])
        await shared.apply()
        yield shared


async def test_no_instance_is_asked(street: Street) -> None:
    async with client(street.lab) as visitor:
        answer = await visitor.get(url(street.lab, PATH), headers={"accept-encoding": "br"})
        assert (answer.status_code, answer.content) == (200, SCRIPT)
        assert answer.headers["content-encoding"] == "br"
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-gantry-release"] == ASSETS
        await street.current.kill()
        await street.candidate.kill()
        again = await visitor.get(url(street.lab, PATH), headers={"accept-encoding": "gzip"})
        assert (again.status_code, again.content) == (200, SCRIPT)


async def test_what_the_store_has_not_comes_from_an_instance(street: Street) -> None:
    async with client(street.lab) as visitor:
        answer = await visitor.get(url(street.lab, "/_next/static/own.js"))
        assert (answer.status_code, answer.text) == (200, "one")
        assert answer.headers["x-gantry-release"] == "r-1"
        # The instance's own answer stands, also where it has none either; and it knows of no store.
        sent = await visitor.post(url(street.lab, PATH), content=b"x")
        assert sent.text == "one"


async def test_nobody_chooses_whose_files_he_gets(street: Street) -> None:
    path = url(street.lab, "/_next/static/chunks/manifest.js")
    async with client(street.lab) as visitor:
        answer = await visitor.get(path, headers={HEADER: of_build("b-1")})
        assert answer.text == "of b-2"
        plain = await visitor.get(url(street.lab, "/plain"), headers={HEADER: of_build("b-1")})
        assert plain.text == "one"


async def test_a_page_of_an_older_build_gets_the_files_of_its_build(street: Street) -> None:
    await street.apply(replace(SITE, pins=(Pin("abc123", "r-2", of_build("b-1")),)))
    path = url(street.lab, "/_next/static/chunks/manifest.js")
    async with client(street.lab) as visitor:
        assert (await visitor.get(f"{path}?dpl=abc123")).text == "of b-1"
        assert (await visitor.get(f"{path}?dpl=other")).text == "of b-2"
        own = await visitor.get(url(street.lab, "/_next/static/own.js?dpl=abc123"))
        assert own.text == "two"


async def test_in_a_canary_the_instance_that_is_asked_is_the_visitors(street: Street) -> None:
    canary = Canary("ro-1", "r-2", 50, b"0123456789abcdef", buckets=2)
    await street.apply(replace(SITE, canary=canary))
    path = url(street.lab, "/_next/static/own.js")
    async with client(street.lab) as visitor:
        for bucket, expected in ((0, "two"), (1, "one")):
            cookie = {"cookie": f"{COOKIE}={token(canary, bucket)}"}
            assert (await visitor.get(path, headers=cookie)).text == expected
        nobody = await visitor.get(path)
        assert nobody.text == "one"
        assert "set-cookie" not in nobody.headers


async def test_a_store_that_dies_is_not_noticed(street: Street) -> None:
    statuses = []
    async with client(street.lab) as visitor:

        async def ask() -> None:
            for _ in range(150):
                answer = await visitor.get(url(street.lab, "/_next/static/own.js"))
                statuses.append((answer.status_code, answer.text))

        asking = asyncio.gather(ask(), ask())
        await asyncio.sleep(0.1)
        await street.lab.runtime.signal(PROCESS, kill=True)
        await asking
        assert set(statuses) == {(200, "one")}
        async with asyncio.timeout(DEADLINE_S):
            answer = await visitor.get(url(street.lab, PATH))
            while answer.headers["x-gantry-release"] != ASSETS:
                await street.store.revive()
                answer = await visitor.get(url(street.lab, PATH))


async def test_conditions_and_ranges_pass_through_the_edge(street: Street) -> None:
    async with client(street.lab) as visitor:
        path = url(street.lab, PATH)
        for encoding in ("br", "gzip", "identity"):
            accepted = {"accept-encoding": encoding}
            whole = await visitor.get(path, headers=accepted)
            tag = whole.headers["etag"]
            again = await visitor.get(path, headers={**accepted, "if-none-match": tag})
            assert (again.status_code, again.content) == (304, b"")
        part = await visitor.get(path, headers={"accept-encoding": "identity", "range": "bytes=-5"})
        assert (part.status_code, part.content) == (206, SCRIPT[-5:])
        async with visitor.stream(
            "GET", path, headers={"accept-encoding": "gzip", "range": "bytes=0-99999"}
        ) as packed:
            body = b"".join([chunk async for chunk in packed.aiter_raw()])
        assert packed.status_code == 206
        assert gzip.decompress(body) == SCRIPT
        length = int(packed.headers["content-range"].rpartition("/")[2])
        assert length == len(body)


async def test_a_part_of_an_uncompressed_file_is_not_compressed(
    street: Street, tmp_path: Path
) -> None:
    """Bytes of a range count in what was asked for; a compressor on the way would make them others."""
    static = tmp_path / "b-3" / "static"
    static.mkdir(parents=True)
    # Too small a gain for a variant of its own, large enough for the edge's compressor.
    content = b"".join(bytes([value % 251]) for value in range(120)) + SCRIPT
    (static / "mixed-0a1b2c3d.svg").write_bytes(content)
    await street.store.publish("b-3", tmp_path / "b-3", {"/_next/static": "static"})
    await street.store.arrange("shop", ["b-3"])
    async with client(street.lab) as visitor, asyncio.timeout(20):
        async with visitor.stream(
            "GET",
            url(street.lab, "/_next/static/mixed-0a1b2c3d.svg"),
            headers={"accept-encoding": "deflate", "range": "bytes=0-1999"},
        ) as part:
            body = b"".join([chunk async for chunk in part.aiter_raw()])
        assert (part.status_code, body) == (206, content[:2000])
