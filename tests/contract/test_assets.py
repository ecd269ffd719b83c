"""The asset store: one suite for the fake and for the real store with Caddy."""

import asyncio
import fcntl
import gzip
import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import brotli
import httpx
import pytest
import zstandard

from gantry.config.paths import Paths
from gantry.engines.assets.protocol import HEADER, AssetServer, of_build, of_scope
from gantry.engines.assets.server import PROCESS, CaddyAssets
from gantry.engines.runtime.process import ProcessRuntime
from gantry.kernel.clock import ManualClock, SystemClock
from gantry.kernel.errors import GantryError
from tests.fakes.assets import FakeAssets
from tests.fakes.machine import Machine

_CLOCK = SystemClock()
_STATIC = {"/_next/static": ".next/static"}
_SCRIPT = ("/* a script */ const words = ['alpha', 'beta'];\n" * 400).encode()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "home")


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
async def assets(request: pytest.FixtureRequest, paths: Paths) -> AsyncIterator[AssetServer]:
    if request.param == "fake":
        yield FakeAssets(Machine(ManualClock()))
        return
    runtime = ProcessRuntime(paths, _CLOCK)
    server = CaddyAssets(paths=paths, runtime=runtime, clock=_CLOCK)
    yield server
    await server.stop()
    await runtime.aclose()


@pytest.fixture
async def real(paths: Paths) -> AsyncIterator[CaddyAssets]:
    runtime = ProcessRuntime(paths, _CLOCK)
    server = CaddyAssets(paths=paths, runtime=runtime, clock=_CLOCK)
    await server.start()
    yield server
    await server.stop()
    await runtime.aclose()


def artifact(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        place = folder / ".next" / "static" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return folder


async def ask(
    server: AssetServer,
    path: str,
    whose: str = of_scope("shop"),
    method: str = "GET",
    **headers: str,
) -> httpx.Response:
    transport = httpx.AsyncHTTPTransport(uds=str(server.socket))
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent.setdefault("accept-encoding", "identity")
    async with httpx.AsyncClient(transport=transport) as client:
        request = client.build_request(method, "http://assets", headers={HEADER: whose, **sent})
        # As it stands: httpx would put dots and percent signs in order.
        request.url = request.url.copy_with(raw_path=path.encode())
        response = await client.send(request, stream=True)
        try:
            # As it travelled: httpx would take the encoding away.
            body = b"".join([part async for part in response.aiter_raw()])
        finally:
            await response.aclose()
    plain = [(k, v) for k, v in response.headers.raw if k.lower() != b"content-encoding"]
    answer = httpx.Response(response.status_code, headers=plain, content=body)
    answer.extensions["encoding"] = response.headers.get("content-encoding", "")
    return answer


async def packed(server: AssetServer, paths: Paths) -> None:
    """Every variant is made and served: the process that makes them, for which any other goes before, is through."""
    async with asyncio.timeout(90):
        while (await server.status()).unpacked or not await asyncio.to_thread(_is_through, paths):
            await asyncio.sleep(0.05)


def _is_through(paths: Paths) -> bool:
    with (paths.assets / "packing").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


class TestContract:
    async def test_builds_and_scopes(self, assets: AssetServer, tmp_path: Path) -> None:
        await assets.start()
        await assets.start()
        root = artifact(tmp_path / "a", {"chunks/main.js": b"1"})
        await assets.publish("build-1", root, _STATIC)
        await assets.publish("build-1", root, _STATIC)
        await assets.publish("build-2", root, _STATIC)
        await assets.arrange("shop", ["build-2", "build-1", "unknown"])
        status = await assets.status()
        assert status.running
        assert status.builds == {"build-1", "build-2"}
        assert status.scopes == {"shop": ("build-2", "build-1")}

    async def test_retain_forgets_the_rest(self, assets: AssetServer, tmp_path: Path) -> None:
        await assets.start()
        root = artifact(tmp_path / "a", {"main.js": b"1"})
        for build in ("build-1", "build-2"):
            await assets.publish(build, root, _STATIC)
        await assets.arrange("shop", ["build-1"])
        await assets.arrange("club", ["build-2", "build-1"])
        await assets.retain(["build-2"])
        status = await assets.status()
        assert status.builds == {"build-2"}
        assert status.scopes == {"club": ("build-2",)}

    async def test_bad_names_and_prefixes(self, assets: AssetServer, tmp_path: Path) -> None:
        await assets.start()
        for build, prefixes in (
            ("../x", _STATIC),
            ("Shop", _STATIC),
            ("b", {"_next": "a"}),
            ("b", {"/": "a"}),
            ("b", {"/a/../b": "a"}),
            ("b", {"/a": "/etc"}),
            ("b", {"/a": "x/../.."}),
        ):
            with pytest.raises(GantryError) as caught:
                await assets.publish(build, tmp_path, prefixes)
            assert caught.value.code in ("assets.bad-name", "assets.bad-prefix")
        assert (await assets.status()).builds == frozenset()

    async def test_stopped_and_started_it_knows_what_it_had(
        self, assets: AssetServer, tmp_path: Path
    ) -> None:
        await assets.start()
        await assets.publish("build-1", artifact(tmp_path / "a", {"m.js": b"1"}), _STATIC)
        await assets.stop()
        assert not (await assets.status()).running
        await assets.revive()
        await assets.start()
        status = await assets.status()
        assert status.running
        assert status.builds == {"build-1"}


@pytest.mark.real
class TestServed:
    @pytest.fixture(autouse=True)
    async def published(self, real: CaddyAssets, paths: Paths, tmp_path: Path) -> None:
        files = {
            "chunks/main-1a2b3c4d.js": _SCRIPT,
            "chunks/[slug]-0a1b2c3d.js": _SCRIPT + b"//slug",
            "chunks/app/(group)/päge 1~x-0a1b2c3d.js": b"odd",
            "media/font-0a1b2c3d.woff2": random.Random(1).randbytes(3000),
            "css/a-0a1b2c3d.css": b"p { color: red }\n" * 100,
        }
        await real.publish("build-1", artifact(tmp_path / "a", files), _STATIC)
        await real.arrange("shop", ["build-1"])
        await packed(real, paths)

    async def test_headers(self, real: CaddyAssets) -> None:
        answer = await ask(real, "/_next/static/chunks/main-1a2b3c4d.js")
        assert answer.status_code == 200
        assert answer.content == _SCRIPT
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["accept-ranges"] == "bytes"
        assert "accept-encoding" in answer.headers["vary"].lower()
        assert answer.headers["etag"].startswith('"')
        assert "server" not in answer.headers
        assert "last-modified" not in answer.headers
        font = await ask(real, "/_next/static/media/font-0a1b2c3d.woff2")
        assert font.headers["content-type"] == "font/woff2"

    @pytest.mark.parametrize(
        ("accepted", "encoding"),
        [
            ("gzip, deflate, br, zstd", "br"),
            ("gzip, zstd", "zstd"),
            ("gzip", "gzip"),
            ("br;q=0, gzip", "gzip"),
            ("identity", ""),
            ("", ""),
        ],
    )
    async def test_encodings(self, real: CaddyAssets, accepted: str, encoding: str) -> None:
        answer = await ask(real, "/_next/static/chunks/main-1a2b3c4d.js", accept_encoding=accepted)
        decode = {
            "br": brotli.decompress,
            "zstd": lambda body: zstandard.ZstdDecompressor().decompress(body),
            "gzip": gzip.decompress,
            "": bytes,
        }
        assert answer.extensions["encoding"] == encoding
        assert decode[encoding](answer.content) == _SCRIPT
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert not encoding or len(answer.content) < len(_SCRIPT) / 5

    async def test_each_variant_has_an_etag_of_its_own(self, real: CaddyAssets) -> None:
        path = "/_next/static/chunks/main-1a2b3c4d.js"
        tags = {
            one: (await ask(real, path, accept_encoding=one)).headers["etag"]
            for one in ("br", "zstd", "gzip", "identity")
        }
        assert len(set(tags.values())) == 4
        for one, tag in tags.items():
            again = await ask(real, path, accept_encoding=one, if_none_match=tag)
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["cache-control"] == "public, max-age=31536000, immutable"
            other = await ask(real, path, accept_encoding=one, if_none_match='"other"')
            assert other.status_code == 200

    async def test_ranges(self, real: CaddyAssets) -> None:
        path, size = "/_next/static/chunks/main-1a2b3c4d.js", len(_SCRIPT)
        for asked, begin, end in (
            ("bytes=0-9", 0, 10),
            (f"bytes=5-{size + 999}", 5, size),
            ("bytes=-7", size - 7, size),
            ("bytes=100-", 100, size),
        ):
            answer = await ask(real, path, range=asked)
            assert answer.status_code == 206
            assert answer.content == _SCRIPT[begin:end]
            assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/{size}"
        many = await ask(real, path, range="bytes=0-1,5-6")
        assert many.status_code == 206
        assert many.headers["content-type"].startswith("multipart/byteranges")
        beyond = await ask(real, path, range=f"bytes={size}-")
        assert beyond.status_code == 416
        assert beyond.headers["content-range"] == f"bytes */{size}"

    async def test_a_range_of_what_has_changed_is_the_whole(self, real: CaddyAssets) -> None:
        path = "/_next/static/chunks/main-1a2b3c4d.js"
        tag = (await ask(real, path)).headers["etag"]
        same = await ask(real, path, range="bytes=0-3", if_range=tag)
        other = await ask(real, path, range="bytes=0-3", if_range='"older"')
        assert (same.status_code, other.status_code) == (206, 200)

    async def test_head(self, real: CaddyAssets) -> None:
        answer = await ask(real, "/_next/static/chunks/main-1a2b3c4d.js", method="HEAD")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-length"] == str(len(_SCRIPT))

    @pytest.mark.parametrize(
        "path",
        [
            "/_next/static/chunks/%5Bslug%5D-0a1b2c3d.js",
            "/_next/static/chunks/[slug]-0a1b2c3d.js",
            "/_next/static/chunks/app/(group)/p%C3%A4ge%201~x-0a1b2c3d.js",
            "/_next/static/chunks/main-1a2b3c4d.js?dpl=abcdef&v=../..",
        ],
    )
    async def test_odd_names_and_queries(self, real: CaddyAssets, path: str) -> None:
        assert (await ask(real, path)).status_code == 200

    @pytest.mark.parametrize(
        "path",
        [
            "/_next/static/chunks/none.js",
            "/_next/static/chunks/*.js",
            "/_next/static/chunks/main-1a2b3c4d.js.br",
            "/_next/static/chunks/",
            "/_next/static/chunks",
            "/",
            "/_next/static/../../../../../../etc/passwd",
            "/_next/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
            "/_next/static/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
            "/_next/static/..%5c..%5cetc",
            "/_next/static/chunks/main-1a2b3c4d.js/",
            "/_next/static/%00",
        ],
    )
    async def test_what_is_not_there_is_missing(self, real: CaddyAssets, path: str) -> None:
        answer = await ask(real, path)
        assert answer.status_code in (400, 404)
        assert answer.status_code == 400 or answer.headers[HEADER] == "missing"
        assert answer.headers["cache-control"] == "no-store"
        assert b"root:" not in answer.content

    @pytest.mark.parametrize(
        "whose", ["", "scopes/none", "scopes/../builds/build-1", "contents", "/"]
    )
    async def test_unknown_owners(self, real: CaddyAssets, whose: str) -> None:
        answer = await ask(real, "/_next/static/chunks/main-1a2b3c4d.js", whose)
        assert (answer.status_code, answer.headers[HEADER]) == (404, "missing")


@pytest.mark.real
async def test_all_kept_builds_are_served_and_the_first_wins(
    real: CaddyAssets, tmp_path: Path
) -> None:
    old = artifact(tmp_path / "old", {"app-0a1b2c3d.js": b"old app", "same.js": b"old"})
    new = artifact(tmp_path / "new", {"app-99aabbcc.js": b"new app", "same.js": b"new"})
    await real.publish("build-1", old, _STATIC)
    await real.publish("build-2", new, _STATIC)
    await real.arrange("shop", ["build-2", "build-1"])
    assert (await ask(real, "/_next/static/app-0a1b2c3d.js")).content == b"old app"
    assert (await ask(real, "/_next/static/app-99aabbcc.js")).content == b"new app"
    assert (await ask(real, "/_next/static/same.js")).content == b"new"
    assert (await ask(real, "/_next/static/same.js", of_build("build-1"))).content == b"old"
    await real.arrange("shop", ["build-1"])
    assert (await ask(real, "/_next/static/same.js")).content == b"old"
    assert (await ask(real, "/_next/static/app-99aabbcc.js")).status_code == 404


@pytest.mark.real
async def test_a_name_without_its_content_in_it_is_asked_for_anew(
    real: CaddyAssets, tmp_path: Path
) -> None:
    root = tmp_path / "site"
    (root / "dist" / "assets").mkdir(parents=True)
    (root / "dist" / "assets" / "logo.svg").write_text("<svg/>")
    (root / "dist" / "assets" / "index-BhX2k3_a.js").write_text("1")
    await real.publish("build-1", root, {"/assets": "dist/assets"})
    await real.arrange("shop", ["build-1"])
    logo = await ask(real, "/assets/logo.svg")
    assert logo.headers["cache-control"] == "public, max-age=0, must-revalidate"
    assert logo.headers["content-type"] == "image/svg+xml"
    hashed = await ask(real, "/assets/index-BhX2k3_a.js")
    assert hashed.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.real
async def test_links_are_never_followed(real: CaddyAssets, tmp_path: Path) -> None:
    root = artifact(tmp_path / "a", {"good.js": b"1"})
    secret = tmp_path / "secret"
    secret.write_text("root:x")
    (root / ".next" / "static" / "bad.js").symlink_to(secret)
    (root / ".next" / "static" / "folder").symlink_to(tmp_path)
    await real.publish("build-1", root, _STATIC)
    await real.publish("build-2", root, {"/x": ".next/static/folder"})
    for build, path in (
        ("build-1", "/_next/static/bad.js"),
        ("build-1", "/_next/static/folder/secret"),
        ("build-2", "/x/secret"),
    ):
        assert (await ask(real, path, of_build(build))).status_code == 404
    assert (await ask(real, "/_next/static/good.js", of_build("build-1"))).status_code == 200


@pytest.mark.real
async def test_it_serves_on_while_nobody_watches_and_comes_back_when_killed(
    real: CaddyAssets, paths: Paths, tmp_path: Path
) -> None:
    await real.publish("build-1", artifact(tmp_path / "a", {"m.js": b"1"}), _STATIC)
    await real.arrange("shop", ["build-1"])
    runtime = ProcessRuntime(paths, _CLOCK)
    next_one = CaddyAssets(paths=paths, runtime=runtime, clock=_CLOCK)
    before = (await runtime.statuses())[PROCESS].pid
    await next_one.start()
    assert (await runtime.statuses())[PROCESS].pid == before
    await runtime.signal(PROCESS, kill=True)
    async with asyncio.timeout(10):
        while (await next_one.status()).running:
            await asyncio.sleep(0.02)
        while not (await next_one.status()).running:
            await next_one.revive()
            await asyncio.sleep(0.02)
    assert (await ask(next_one, "/_next/static/m.js")).content == b"1"
    await runtime.aclose()


@pytest.mark.real
async def test_what_was_interrupted_is_finished(
    real: CaddyAssets, paths: Paths, tmp_path: Path
) -> None:
    files = {f"c-{number:08x}.js": _SCRIPT + bytes(str(number), "ascii") for number in range(5)}
    await real.publish("build-1", artifact(tmp_path / "a", files), _STATIC)
    await real.arrange("shop", ["build-1"])
    await packed(real, paths)
    await real.stop()
    # As if it had been killed in the middle: a half written file, a lost content, lost links.
    folder = paths.assets
    (folder / "new" / "3").write_bytes(b"half")
    lost = hashlib.sha256(files["c-00000000.js"]).hexdigest()
    (folder / "contents" / lost[:2] / lost).unlink()
    (folder / "www" / "kept" / "scopes" / "shop" / "_next" / "static" / "c-00000001.js").unlink()
    (folder / "www" / "kept" / "builds" / "gone").mkdir()
    await real.start()
    assert (await ask(real, "/_next/static/c-00000001.js")).status_code == 200
    # A file without its content is not served, not even its variants, until the build is published again.
    assert (await ask(real, "/_next/static/c-00000000.js", accept_encoding="br")).status_code == 404
    await real.publish("build-1", tmp_path / "a", _STATIC)
    await real.arrange("shop", ["build-1"])
    assert (await ask(real, "/_next/static/c-00000000.js")).content == files["c-00000000.js"]
    assert list((folder / "new").iterdir()) == []
    assert not (folder / "www" / "kept" / "builds" / "gone").exists()


@pytest.mark.real
async def test_contents_are_kept_once_and_go_with_their_last_build(
    real: CaddyAssets, paths: Paths, tmp_path: Path
) -> None:
    root = artifact(tmp_path / "a", {"a.js": _SCRIPT, "b.js": _SCRIPT, "c.bin": b"c"})
    await real.publish("build-1", root, _STATIC)
    (root / ".next" / "static" / "c.bin").unlink()
    await real.publish("build-2", root, _STATIC)
    await packed(real, paths)
    assert (await real.status()).files == 2
    await real.retain(["build-2"])
    assert (await real.status()).files == 1
    await real.retain([])
    status = await real.status()
    assert (status.files, status.size_bytes) == (0, 0)


@pytest.mark.real
async def test_a_program_that_is_none_says_so(paths: Paths) -> None:
    runtime = ProcessRuntime(paths, _CLOCK)
    server = CaddyAssets(
        paths=paths, runtime=runtime, clock=_CLOCK, program=lambda: Path("/bin/false")
    )
    with pytest.raises(GantryError) as caught:
        await server.start()
    assert caught.value.code == "assets.start-failed"
    await runtime.aclose()
