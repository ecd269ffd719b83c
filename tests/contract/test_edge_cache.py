"""The edge's cache: one suite for the fake and the process, and what visitors get from the process."""

import asyncio
import gzip
import json
import sys
from dataclasses import asdict
from pathlib import Path

import httpx
import pytest

from gantry.cache.policy import Lifetime
from gantry.cache.serve import CacheConfig
from gantry.cache.store import Key, StoredAnswer
from gantry.engines.edge_cache.process import PROCESS, EdgeCacheProcess
from gantry.engines.edge_cache.protocol import CacheNumbers, EdgeCache, Purge
from gantry.engines.runtime.process import ProcessRuntime
from gantry.kernel.edge_names import BACKEND_HEADER
from gantry.kernel.errors import GantryError
from tests.fakes.edge_cache import FakeEdgeCache
from tests.support.edge_cache import (
    DEADLINE_S,
    LIMIT_BYTES,
    Product,
    ask,
    home,
    how,
    made,
    product,
    real,
    runtime,
    until,
    visitor,
)

__all__ = ["home", "product", "real", "runtime"]


@pytest.fixture(params=["fake", pytest.param("process", marks=pytest.mark.real)])
def cache(request: pytest.FixtureRequest, home: Path, runtime: ProcessRuntime) -> EdgeCache:
    return FakeEdgeCache(LIMIT_BYTES) if request.param == "fake" else made(home, runtime)


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
    if isinstance(cache, FakeEdgeCache):
        cache.visit(
            Key(backend, "shop", path), StoredAnswer(200, (), body, Lifetime(60), made_s=0.0)
        )
    elif isinstance(cache, EdgeCacheProcess):
        await ask(cache, path, **{BACKEND_HEADER: backend})


async def test_it_counts_for_each_release(cache: EdgeCache, product: Product) -> None:
    await cache.start()
    for backend, path in (("r-1", "/"), ("r-1", "/"), ("r-1", "/a"), ("r-2+r-1", "/")):
        await visit(cache, backend, path)
    status = await cache.status()
    assert (status.total.entries, status.total.hits, status.total.misses) == (3, 1, 3)
    assert (
        status.total.size_bytes == sum(numbers.size_bytes for numbers in status.lately.values()) > 0
    )
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
async def test_what_is_marked_is_asked_for_once(real: EdgeCacheProcess, product: Product) -> None:
    answers = [await ask(real) for _ in range(3)]
    assert [how(answer) for answer in answers] == ["miss", "hit", "hit"]
    assert {answer.text for answer in answers} == {"page"}
    assert len(product.asked) == 1
    assert answers[1].headers["age"] == "0"
    assert answers[1].headers["cache-control"] == "public, max-age=0, must-revalidate"
    assert answers[1].headers["content-length"] == "4"
    other = [await ask(real, "/other"), await ask(real, "/?q=1")]
    other += [await ask(real, host="blog"), await ask(real, host="SHOP")]
    assert [how(answer) for answer in other] == ["miss"] * 4
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
    real: EdgeCacheProcess, product: Product, headers: str
) -> None:
    product.headers = headers
    answers = [await ask(real, range="bytes=0-1") for _ in range(2)]
    answers += [await ask(real) for _ in range(3)]
    assert [answer.text for answer in answers] == ["page"] * 5
    assert len(product.asked) == 5
    assert (await real.status()).total.entries == 0
    # As it was said, once it is known that nothing is kept: also what the visitor wants compared.
    assert "accept-encoding: gzip" in product.asked[-1].lower()
    assert answers[-1].headers.get("cache-control") == (
        headers.partition("\r\n")[0].removeprefix("cache-control: ") or None
    )


@pytest.mark.real
async def test_many_visitors_are_one_question(real: EdgeCacheProcess, product: Product) -> None:
    product.gate.clear()
    async with visitor(real) as client:
        asking = [asyncio.ensure_future(client.get("/")) for _ in range(60)]
        await until(lambda: product.asked)
        await asyncio.sleep(0.2)
        product.gate.set()
        answers = await asyncio.gather(*asking)
    assert {answer.text for answer in answers} == {"page"}
    assert len(product.asked) == 1
    assert sorted(map(how, answers)) == ["hit"] * 59 + ["miss"]


@pytest.mark.real
async def test_nobody_waits_for_what_is_not_kept(real: EdgeCacheProcess, product: Product) -> None:
    product.endless, product.headers = True, "content-type: text/event-stream\r\n"
    async with visitor(real) as client, visitor(real) as other:
        async with asyncio.timeout(DEADLINE_S):
            async with client.stream("GET", "/"), other.stream("GET", "/") as second:
                assert (await anext(second.aiter_raw())).startswith(b"abc")
        # Those who leave end what was made for them.
        await asyncio.wait_for(product.left.wait(), DEADLINE_S)


@pytest.mark.real
async def test_stale_answers_are_given_while_one_new_one_is_fetched(
    real: EdgeCacheProcess, product: Product
) -> None:
    product.headers = "cache-control: s-maxage=0, stale-while-revalidate=60\r\n"
    await ask(real)
    product.body = b"new page"
    product.gate.clear()
    answers = await asyncio.gather(*(ask(real) for _ in range(20)))
    assert {(how(answer), answer.text) for answer in answers} == {("stale", "page")}
    await until(lambda: len(product.asked) == 2)
    product.gate.set()
    async with asyncio.timeout(DEADLINE_S):
        while (await ask(real)).text != "new page":
            await asyncio.sleep(0.01)


@pytest.mark.real
async def test_an_unchanged_answer_lives_again(real: EdgeCacheProcess, product: Product) -> None:
    product.headers = 'cache-control: s-maxage=0, stale-while-revalidate=60\r\netag: "v1"\r\n'
    await ask(real)
    product.headers = 'cache-control: s-maxage=60\r\netag: "v1"\r\n'
    assert how(await ask(real)) == "stale"
    async with asyncio.timeout(DEADLINE_S):
        while how(answer := await ask(real)) != "hit":
            await asyncio.sleep(0.01)
    assert answer.text == "page"
    assert 'if-none-match: "v1"' in product.asked[1].lower()
    assert len(product.asked) == 2


@pytest.mark.real
@pytest.mark.parametrize("trouble", ["fails", "gone"])
async def test_a_product_in_trouble_is_covered_for(
    real: EdgeCacheProcess, product: Product, trouble: str
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
    real: EdgeCacheProcess, product: Product
) -> None:
    product.cut, product.body = True, b"x" * 200_000
    with pytest.raises(httpx.RemoteProtocolError):
        await ask(real)
    product.cut = False
    answer = await ask(real)
    assert (how(answer), len(answer.content)) == ("miss", 200_000)


@pytest.mark.real
async def test_half_of_a_short_answer_is_none(real: EdgeCacheProcess, product: Product) -> None:
    product.cut = True
    assert (await ask(real)).status_code == 502
    product.cut, product.headers = False, "cache-control: s-maxage=0, stale-if-error=60\r\n"
    assert how(await ask(real)) == "miss"
    product.cut, product.body = True, b"new page"
    answer = await ask(real)
    assert (how(answer), answer.status_code, answer.text) == ("stale", 200, "page")


@pytest.mark.real
async def test_a_short_answer_is_said_when_it_is_whole(
    real: EdgeCacheProcess, product: Product
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
async def test_nobody_there(real: EdgeCacheProcess, product: Product) -> None:
    await product.stop()
    answer = await ask(real)
    assert answer.status_code == 502


@pytest.mark.real
async def test_conditions_ranges_and_heads_of_what_is_kept(
    real: EdgeCacheProcess, product: Product
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
    real: EdgeCacheProcess, product: Product
) -> None:
    product.status, product.body = 204, b""
    answers = [await ask(real, "/none") for _ in range(2)]
    assert [(answer.status_code, how(answer)) for answer in answers] == [
        (204, "miss"),
        (204, "hit"),
    ]
    assert "content-length" not in answers[1].headers


@pytest.mark.real
async def test_compressed_answers_are_for_those_who_take_them(
    real: EdgeCacheProcess, product: Product
) -> None:
    product.headers = "cache-control: s-maxage=60\r\ncontent-encoding: gzip\r\n"
    product.body = gzip.compress(b"page")
    assert [how(await ask(real)) for _ in range(2)] == ["miss", "hit"]
    product.headers, product.body = "cache-control: s-maxage=60\r\n", b"page"
    plain = await ask(real, accept_encoding="identity")
    assert (how(plain), plain.text) == ("miss", "page")
    assert (await ask(real)).text == "page"


@pytest.mark.real
async def test_purging(real: EdgeCacheProcess, product: Product) -> None:
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
    real: EdgeCacheProcess, product: Product
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
async def test_its_size_is_bounded(real: EdgeCacheProcess, product: Product) -> None:
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
    real: EdgeCacheProcess, product: Product
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
    real: EdgeCacheProcess, runtime: ProcessRuntime, product: Product
) -> None:
    await ask(real)
    await runtime.signal(PROCESS, kill=True)
    async with asyncio.timeout(DEADLINE_S):
        while (await real.status()).running:
            await asyncio.sleep(0.01)
        while not (await real.status()).running:
            await real.revive()
            await asyncio.sleep(0.01)
    assert how(await ask(real)) == "miss"


@pytest.mark.real
async def test_another_size_is_another_process(
    real: EdgeCacheProcess, home: Path, runtime: ProcessRuntime
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


# -- its waits end early ---------------------------------------------------------------------

# The process waits for answers on their way when it is to end, and for no more than this.
_SHUTDOWN_TIMEOUT_S = 3.0


@pytest.mark.real
async def test_a_stop_does_not_wait_for_connections_that_are_only_kept(
    real: EdgeCacheProcess, product: Product
) -> None:
    async with visitor(real) as client:
        await asyncio.gather(*(client.get(f"/{number}") for number in range(20)))
        async with asyncio.timeout(_SHUTDOWN_TIMEOUT_S):
            await real.stop()


@pytest.mark.real
async def test_a_stop_ends_with_the_last_answer_on_its_way(
    real: EdgeCacheProcess, product: Product
) -> None:
    product.gate.clear()
    asking = asyncio.ensure_future(ask(real))
    await until(lambda: product.asked)
    async with asyncio.timeout(_SHUTDOWN_TIMEOUT_S):
        stopping = asyncio.ensure_future(real.stop())
        while (await real.status()).running:
            await asyncio.sleep(0.01)
        # uvicorn looks for answers on their way only after 0.1 s: before that it would not wait for this one.
        loop = asyncio.get_running_loop()
        closed_s = loop.time()
        await until(lambda: loop.time() > closed_s + 0.5)
        assert not stopping.done()
        product.gate.set()
        assert (await asking).text == "page"
        await stopping


# The next try is due in a second, too near to the time that a process takes to end: here it is due in a minute.
_PATIENT = """
import sys, pathlib
from gantry.cache import exchange, serve
assert exchange._INTERVAL_RETRY_S == 1.0
exchange._INTERVAL_RETRY_S = 60.0
serve.main(pathlib.Path(sys.argv[1]))
"""


@pytest.mark.real
async def test_a_process_that_ends_does_not_wait_for_the_next_try_in_the_background(
    home: Path, runtime: ProcessRuntime, product: Product
) -> None:
    cache = made(home, runtime)
    cache.socket.parent.mkdir(parents=True)
    config = home / "config.json"
    config.write_text(
        json.dumps(
            asdict(CacheConfig(str(cache.socket), str(product.socket), LIMIT_BYTES, 500_000))
        )
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", _PATIENT, str(config)
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not (await cache.status()).running:
                await asyncio.sleep(0.01)
        product.headers = "cache-control: s-maxage=0, stale-while-revalidate=60\r\n"
        await ask(cache)
        product.status = 500
        assert how(await ask(cache)) == "stale"
        await until(lambda: len(product.asked) == 2)
        assert how(await ask(cache, "/other")) == "miss"
        assert how(await ask(cache)) == "stale"
        assert len(product.asked) == 3, "the next try is not yet due"
        process.terminate()
        async with asyncio.timeout(_SHUTDOWN_TIMEOUT_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.real
async def test_a_start_that_cannot_succeed_ends_with_its_process(
    home: Path, runtime: ProcessRuntime
) -> None:
    cache = made(home, runtime)
    cache.socket.mkdir(parents=True)
    async with asyncio.timeout(DEADLINE_S / 2):
        with pytest.raises(GantryError) as caught:
            await cache.start()
    assert caught.value.code == "cache.start-failed"
    assert str(cache.socket) in str(caught.value)
