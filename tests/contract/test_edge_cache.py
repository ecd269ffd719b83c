"""The edge's cache: one suite for the fake and the process, and what visitors get from the process."""

import asyncio
import contextlib
import gzip
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from gantry.config.paths import Paths
from gantry.engines.cache.fake import FakeCache
from gantry.engines.cache.policy import Life
from gantry.engines.cache.process import PROCESS, CacheProcess
from gantry.engines.cache.protocol import BACKEND_HEADER, CacheNumbers, EdgeCache, Purge
from gantry.engines.cache.store import Entry, Key
from gantry.engines.runtime.process import ProcessRuntime
from gantry.kernel.clock import SystemClock
from gantry.kernel.errors import GantryError

_CLOCK = SystemClock()
_DEADLINE_S = 20.0
LIMIT_BYTES = 2_000_000


@dataclass
class Product:
    """What the cache asks: a server that answers what the test says, and counts."""

    socket: Path
    headers: str = "cache-control: s-maxage=60\r\n"
    status: int = 200
    body: bytes = b"page"
    cut: bool = False
    endless: bool = False
    piece: bytes = b"abc"
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    rest: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    server: asyncio.Server | None = None
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def start(self) -> None:
        self.gate.set()
        self.rest.set()
        self.server = await asyncio.start_unix_server(
            self._converse, self.socket, limit=1_000_000, backlog=1_024
        )

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            for writer in self.writers:
                writer.transport.abort()
            self.socket.unlink(missing_ok=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
                await self.gate.wait()
                if self.endless:
                    await self._flow(writer)
                    return
                unchanged = "if-none-match" in self.asked[-1].lower()
                status, body = (304, b"") if unchanged else (self.status, self.body)
                head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{self.headers}\r\n"
                writer.write(head.encode())
                await self.rest.wait()
                writer.write(body[: len(body) // 2] if self.cut else body)
                await writer.drain()
                if self.cut:
                    break
        writer.close()

    async def _flow(self, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 X\r\n{self.headers}transfer-encoding: chunked\r\n\r\n".encode())
        try:
            while True:
                writer.write(b"%x\r\n%s\r\n" % (len(self.piece), self.piece))
                await writer.drain()
                await asyncio.sleep(0.02)
        finally:
            self.left.set()


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="gc-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def product(home: Path) -> AsyncIterator[Product]:
    one = Product(home / "inner.sock")
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def runtime(home: Path) -> AsyncIterator[ProcessRuntime]:
    runtime = ProcessRuntime(Paths(home), _CLOCK)
    yield runtime
    for process_id in await runtime.statuses():
        await runtime.remove(process_id)
    await runtime.aclose()


def made(home: Path, runtime: ProcessRuntime, limit_bytes: int = LIMIT_BYTES) -> CacheProcess:
    return CacheProcess(
        paths=Paths(home),
        runtime=runtime,
        clock=_CLOCK,
        upstream=home / "inner.sock",
        limit_bytes=limit_bytes,
    )


@pytest.fixture(params=["fake", pytest.param("process", marks=pytest.mark.real)])
def cache(request: pytest.FixtureRequest, home: Path, runtime: ProcessRuntime) -> EdgeCache:
    return FakeCache(LIMIT_BYTES) if request.param == "fake" else made(home, runtime)


@pytest.fixture
async def real(
    home: Path, runtime: ProcessRuntime, product: Product
) -> AsyncIterator[CacheProcess]:
    one = made(home, runtime)
    await one.start()
    yield one
    await one.stop()


@contextlib.asynccontextmanager
async def visitor(cache: CacheProcess, most: int = 100) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=most)
    transport = httpx.AsyncHTTPTransport(uds=str(cache.socket), limits=limits)
    headers = {BACKEND_HEADER: "r-1", "accept-encoding": "gzip"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://shop", headers=headers, timeout=_DEADLINE_S
    ) as client:
        yield client


async def ask(cache: CacheProcess, path: str = "/", **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with visitor(cache) as client:
        return await client.get(path, headers=sent)


def how(answer: httpx.Response) -> str:
    return answer.headers["x-gantry-cache"]


async def until(condition: object) -> None:
    async with asyncio.timeout(_DEADLINE_S):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


# -- the contract ----------------------------------------------------------------------------


async def test_it_starts_stops_and_starts_again(cache: EdgeCache) -> None:
    assert not (await cache.status()).running
    await cache.start()
    await cache.start()
    status = await cache.status()
    assert (status.running, status.total, dict(status.lately)) == (True, CacheNumbers(), {})
    assert status.limit_bytes == LIMIT_BYTES
    assert await cache.purge(Purge(("r-1",))) == 0
    await cache.stop()
    assert not (await cache.status()).running
    with pytest.raises(GantryError) as caught:
        await cache.purge(Purge(("r-1",)))
    assert caught.value.code == "cache.unreachable"


async def visit(cache: EdgeCache, backend: str, path: str, body: bytes = b"page") -> None:
    """Ask for what lives for a minute."""
    if isinstance(cache, FakeCache):
        cache.visit(Key(backend, "shop", path), Entry(200, (), body, Life(60), made_s=0.0))
    elif isinstance(cache, CacheProcess):
        await ask(cache, path, **{BACKEND_HEADER: backend})


async def test_it_counts_for_each_release(cache: EdgeCache, product: Product) -> None:
    await cache.start()
    for backend, path in (("r-1", "/"), ("r-1", "/"), ("r-1", "/a"), ("r-2+r-1", "/")):
        await visit(cache, backend, path)
    status = await cache.status()
    assert (status.total.entries, status.total.hits, status.total.misses) == (3, 1, 3)
    assert status.total.size_bytes == sum(one.size_bytes for one in status.lately.values()) > 0
    assert status.of(["r-1"]) == status.of(["r-1", "r-2"]) == status.total
    candidate = status.of(["r-2"])
    assert (candidate.entries, candidate.hits, candidate.misses) == (1, 0, 1)
    assert status.of(["r-3"]) == CacheNumbers()

    assert await cache.purge(Purge(("r-1",), ("/a",))) == 1
    left = (await cache.status()).of(["r-1"])
    assert (left.entries, left.hits, left.misses, left.evicted) == (2, 1, 3, 0)
    assert left.size_bytes < status.total.size_bytes
    await cache.stop()
    await cache.start()
    assert (await cache.status()).total == CacheNumbers()
    await cache.stop()


async def test_it_says_when_there_is_too_little_room(cache: EdgeCache, product: Product) -> None:
    await cache.start()
    product.body = b"x" * 400_000
    for number in range(6):
        await visit(cache, "r-1" if number else "r-2", f"/{number}", product.body)
    status = await cache.status()
    assert status.total.size_bytes <= status.limit_bytes
    assert (status.of(["r-2"]).evicted, status.of(["r-2"]).entries) == (1, 0)
    assert (status.of(["r-1"]).evicted, status.of(["r-1"]).entries) == (1, 4)
    assert status.total.evicted == 2
    await cache.stop()


# -- the process -----------------------------------------------------------------------------


@pytest.mark.real
async def test_what_is_marked_is_asked_for_once(real: CacheProcess, product: Product) -> None:
    answers = [await ask(real) for _ in range(3)]
    assert [how(one) for one in answers] == ["miss", "hit", "hit"]
    assert {one.text for one in answers} == {"page"}
    assert len(product.asked) == 1
    assert answers[1].headers["age"] == "0"
    assert answers[1].headers["cache-control"] == "public, max-age=0, must-revalidate"
    assert answers[1].headers["content-length"] == "4"
    other = [await ask(real, "/other"), await ask(real, "/?q=1")]
    other += [await ask(real, host="blog"), await ask(real, host="SHOP")]
    assert [how(one) for one in other] == ["miss"] * 4
    release = await ask(real, "/", **{BACKEND_HEADER: "r-2"})
    assert how(release) == "miss"
    total = (await real.status()).total
    assert (total.entries, total.hits, total.misses) == (6, 2, 6)


@pytest.mark.real
@pytest.mark.parametrize(
    "headers",
    [
        "",
        "cache-control: private, max-age=60\r\n",
        "cache-control: max-age=60\r\n",
        "cache-control: s-maxage=60\r\nset-cookie: a=b\r\n",
        "cache-control: s-maxage=60\r\nvary: *\r\n",
    ],
)
async def test_what_is_not_marked_is_asked_for_each_time(
    real: CacheProcess, product: Product, headers: str
) -> None:
    product.headers = headers
    answers = [await ask(real, range="bytes=0-1") for _ in range(2)]
    answers += [await ask(real) for _ in range(3)]
    assert [one.text for one in answers] == ["page"] * 5
    assert len(product.asked) == 5
    assert (await real.status()).total.entries == 0
    # As it was said, once it is known that nothing is kept: also what the visitor wants compared.
    assert "accept-encoding: gzip" in product.asked[-1].lower()
    assert answers[-1].headers.get("cache-control") == (
        headers.partition("\r\n")[0].removeprefix("cache-control: ") or None
    )


@pytest.mark.real
async def test_many_visitors_are_one_question(real: CacheProcess, product: Product) -> None:
    product.gate.clear()
    async with visitor(real) as client:
        asking = [asyncio.ensure_future(client.get("/")) for _ in range(60)]
        await until(lambda: product.asked)
        await asyncio.sleep(0.2)
        product.gate.set()
        answers = await asyncio.gather(*asking)
    assert {one.text for one in answers} == {"page"}
    assert len(product.asked) == 1
    assert sorted(map(how, answers)) == ["hit"] * 59 + ["miss"]


@pytest.mark.real
async def test_nobody_waits_for_what_is_not_kept(real: CacheProcess, product: Product) -> None:
    product.endless, product.headers = True, "content-type: text/event-stream\r\n"
    async with visitor(real) as one, visitor(real) as two:
        async with asyncio.timeout(_DEADLINE_S):
            async with one.stream("GET", "/"), two.stream("GET", "/") as second:
                assert (await anext(second.aiter_raw())).startswith(b"abc")
        # Those who leave end what was made for them.
        await asyncio.wait_for(product.left.wait(), _DEADLINE_S)


@pytest.mark.real
async def test_stale_answers_are_given_while_one_new_one_is_fetched(
    real: CacheProcess, product: Product
) -> None:
    product.headers = "cache-control: s-maxage=0, stale-while-revalidate=60\r\n"
    await ask(real)
    product.body = b"new page"
    product.gate.clear()
    answers = await asyncio.gather(*(ask(real) for _ in range(20)))
    assert {(how(one), one.text) for one in answers} == {("stale", "page")}
    await until(lambda: len(product.asked) == 2)
    product.gate.set()
    async with asyncio.timeout(_DEADLINE_S):
        while (await ask(real)).text != "new page":
            await asyncio.sleep(0.01)


@pytest.mark.real
async def test_an_unchanged_answer_lives_again(real: CacheProcess, product: Product) -> None:
    product.headers = 'cache-control: s-maxage=0, stale-while-revalidate=60\r\netag: "v1"\r\n'
    await ask(real)
    product.headers = 'cache-control: s-maxage=60\r\netag: "v1"\r\n'
    assert how(await ask(real)) == "stale"
    async with asyncio.timeout(_DEADLINE_S):
        while how(answer := await ask(real)) != "hit":
            await asyncio.sleep(0.01)
    assert answer.text == "page"
    assert 'if-none-match: "v1"' in product.asked[1].lower()
    assert len(product.asked) == 2


@pytest.mark.real
@pytest.mark.parametrize("trouble", ["fails", "gone"])
async def test_a_product_in_trouble_is_covered_for(
    real: CacheProcess, product: Product, trouble: str
) -> None:
    product.headers = "cache-control: s-maxage=0, stale-if-error=60\r\n"
    assert how(await ask(real)) == "miss"
    if trouble == "fails":
        product.status, product.headers = 500, ""
    else:
        await product.stop()
    answer = await ask(real)
    assert (how(answer), answer.text) == ("stale", "page")


@pytest.mark.real
async def test_half_an_answer_is_never_taken_for_a_whole_one(
    real: CacheProcess, product: Product
) -> None:
    product.cut, product.body = True, b"x" * 200_000
    with pytest.raises(httpx.RemoteProtocolError):
        await ask(real)
    product.cut = False
    answer = await ask(real)
    assert (how(answer), len(answer.content)) == ("miss", 200_000)


@pytest.mark.real
async def test_half_of_a_short_answer_is_none(real: CacheProcess, product: Product) -> None:
    product.cut = True
    assert (await ask(real)).status_code == 502
    product.cut, product.headers = False, "cache-control: s-maxage=0, stale-if-error=60\r\n"
    assert how(await ask(real)) == "miss"
    product.cut, product.body = True, b"new page"
    answer = await ask(real)
    assert (how(answer), answer.status_code, answer.text) == ("stale", 200, "page")


@pytest.mark.real
async def test_a_short_answer_is_said_when_it_is_whole(
    real: CacheProcess, product: Product
) -> None:
    product.rest.clear()
    async with visitor(real) as client:
        short = asyncio.create_task(client.get("/"))
        await until(lambda: product.asked)
        product.endless = True
        async with client.stream("GET", "/stream") as streamed:  # of this one nobody knows the end
            assert streamed.status_code == 200
        assert not short.done()
        await product.stop()
        answer = await short
        assert (answer.status_code, how(answer)) == (502, "away")


@pytest.mark.real
async def test_nobody_there(real: CacheProcess, product: Product) -> None:
    await product.stop()
    answer = await ask(real)
    assert answer.status_code == 502


@pytest.mark.real
async def test_conditions_ranges_and_heads_of_what_is_kept(
    real: CacheProcess, product: Product
) -> None:
    product.headers = 'cache-control: s-maxage=60\r\netag: "v1"\r\ncontent-type: text/plain\r\n'
    product.body = b"0123456789"
    first = await ask(real, if_none_match='"other"', range="")
    assert first.text == "0123456789"
    unchanged = await ask(real, if_none_match='W/"v1"')
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == '"v1"'
    part = await ask(real, range="bytes=2-4")
    assert (part.status_code, part.text) == (206, "234")
    assert part.headers["content-range"] == "bytes 2-4/10"
    beyond = await ask(real, range="bytes=10-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */10")
    async with visitor(real) as client:
        head = await client.head("/")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "10")
    assert how(head) == "hit"
    async with visitor(real) as client:
        head = await client.head("/", headers={"range": "bytes=2-4"})
    assert (head.status_code, head.headers["content-length"]) == (200, "10"), "RFC 9110, 14.2"
    assert len(product.asked) == 1


@pytest.mark.real
async def test_nothing_is_said_of_the_length_of_no_content(
    real: CacheProcess, product: Product
) -> None:
    product.status, product.body = 204, b""
    answers = [await ask(real, "/none") for _ in range(2)]
    assert [(one.status_code, how(one)) for one in answers] == [(204, "miss"), (204, "hit")]
    assert "content-length" not in answers[1].headers


@pytest.mark.real
async def test_compressed_answers_are_for_those_who_take_them(
    real: CacheProcess, product: Product
) -> None:
    product.headers = "cache-control: s-maxage=60\r\ncontent-encoding: gzip\r\n"
    product.body = gzip.compress(b"page")
    assert [how(await ask(real)) for _ in range(2)] == ["miss", "hit"]
    product.headers, product.body = "cache-control: s-maxage=60\r\n", b"page"
    plain = await ask(real, accept_encoding="identity")
    assert (how(plain), plain.text) == ("miss", "page")
    assert (await ask(real)).text == "page"


@pytest.mark.real
async def test_purging(real: CacheProcess, product: Product) -> None:
    product.headers = "cache-control: s-maxage=60\r\ncache-tag: news, all\r\n"
    for path in ("/news/1", "/news/2", "/about"):
        answer = await ask(real, path)
        assert "cache-tag" not in answer.headers
    assert await real.purge(Purge(("r-1",), ("/news/*",))) == 2
    assert how(await ask(real, "/about")) == "hit"
    assert how(await ask(real, "/news/1")) == "miss"
    assert await real.purge(Purge(("r-1",), (), ("all",))) == 2
    assert await real.purge(Purge(("r-1",), (), ("all",))) == 0


@pytest.mark.real
async def test_what_is_on_its_way_when_it_is_purged_is_not_kept(
    real: CacheProcess, product: Product
) -> None:
    product.gate.clear()
    asking = asyncio.ensure_future(ask(real))
    await until(lambda: product.asked)
    # The product has begun an answer from before; the answer is not yet here.
    await asyncio.sleep(0.05)
    await real.purge(Purge(("r-1",), ("/",)))
    product.gate.set()
    assert (await asking).text == "page"
    product.body = b"after"
    again = await ask(real)
    assert (how(again), again.text) == ("miss", "after")


@pytest.mark.real
async def test_its_size_is_bounded(real: CacheProcess, product: Product) -> None:
    product.body = b"x" * 400_000
    for number in range(12):
        await ask(real, f"/{number}")
    status = await real.status()
    assert 0 < status.total.entries <= 5
    assert status.total.size_bytes <= status.limit_bytes == LIMIT_BYTES
    product.body = b"x" * 600_000  # more than a quarter of all
    for _ in range(2):
        large = await ask(real, "/large")
        assert (len(large.content), how(large) in ("miss", "bypass")) == (600_000, True)


@pytest.mark.real
async def test_a_forgotten_backend_is_refused_and_visitors_cannot_purge(
    real: CacheProcess, product: Product
) -> None:
    await ask(real)
    async with visitor(real) as client:
        nothing = await client.get("/", headers={BACKEND_HEADER: ""})
        assert nothing.status_code == 400
        for path in ("/purge", "/status"):
            answer = await client.post(path, json={"backends": ["r-1"]})
            assert answer.text == "page"
    assert how(await ask(real)) == "hit"


@pytest.mark.real
async def test_one_that_is_killed_is_back_and_empty(
    real: CacheProcess, runtime: ProcessRuntime, product: Product
) -> None:
    await ask(real)
    await runtime.signal(PROCESS, kill=True)
    async with asyncio.timeout(_DEADLINE_S):
        while (await real.status()).running:
            await asyncio.sleep(0.01)
        while not (await real.status()).running:
            await real.revive()
            await asyncio.sleep(0.01)
    assert how(await ask(real)) == "miss"


@pytest.mark.real
async def test_another_size_is_another_process(
    real: CacheProcess, home: Path, runtime: ProcessRuntime
) -> None:
    larger = made(home, runtime, limit_bytes=3_000_000)
    await larger.start()
    assert (await real.status()).limit_bytes == 3_000_000


@pytest.mark.real
async def test_one_of_another_version_is_replaced(
    home: Path, runtime: ProcessRuntime, product: Product
) -> None:
    cache = made(home, runtime)
    cache.socket.parent.mkdir(parents=True)
    other = Product(cache.socket, body=b'{"running": true, "entries": 0}')
    await other.start()
    assert not (await cache.status()).running
    await cache.start()
    assert (await cache.status()).running
    await cache.stop()
    await other.stop()
