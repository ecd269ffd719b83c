"""How the edge's cache is started, asked and ended: on a runtime without processes."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gantry.cache.policy import Lifetime
from gantry.cache.store import Key, Store, StoredAnswer, size_of
from gantry.cache.tally import Tally, status_of
from gantry.config.paths import Paths
from gantry.engines.edge_cache.process import EdgeCacheProcess, read_status
from gantry.engines.edge_cache.protocol import CacheNumbers, CacheStatus, Purge
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import TransientError
from tests.fakes.machine import Machine
from tests.fakes.programs import Script
from tests.fakes.runtime import FakeRuntime

# Of the machine's time; far below what the client waits at most.
_EARLY_S = 2.0
# Of the test's clock: what a start waits at most.
_START_TIMEOUT_S = 20.0
_STATUS = b'{"running": true, "limit_bytes": 1000000, "total": {}, "lately": {}}'


@pytest.fixture
def home() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="gp-"))
    (directory / "run" / "cache").mkdir(parents=True)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def made(home: Path, clock: ManualClock, script: Script | None = None) -> EdgeCacheProcess:
    return EdgeCacheProcess(
        paths=Paths(home),
        runtime=FakeRuntime(Machine(clock, scripts=lambda _: script or Script())),
        clock=clock,
        upstream=home / "inner.sock",
        limit_bytes=1_000_000,
    )


@asynccontextmanager
async def answering(cache: EdgeCacheProcess, content: bytes | None) -> AsyncIterator[None]:
    """Something that answers on the cache's socket; with `None` it ends without an answer."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            if content is not None:
                head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(content)}\r\n\r\n"
                writer.write(head.encode() + content)
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(converse, cache.socket)
    try:
        yield
    finally:
        server.close()


def test_the_process_is_understood() -> None:
    store, tally = Store(1_000_000), Tally(lambda: 0.0)
    key, kept = Key("r-1", "a", "/"), StoredAnswer(200, (), b"x" * 100, Lifetime(60), made_s=0.0)
    store.put(key, kept)
    size_bytes = size_of(key, kept)
    tally.count("r-1", "misses")
    tally.count("r-2", "bypassed")
    content = {
        "running": True,
        "limit_bytes": 1_000_000,
        "total": {"entries": 1, "size_bytes": size_bytes, "misses": 1, "bypassed": 1},
        "lately": {
            "r-1": {"entries": 1, "size_bytes": size_bytes, "misses": 1},
            "r-2": {"bypassed": 1},
        },
    }
    expected = CacheStatus(
        running=True,
        limit_bytes=1_000_000,
        total=CacheNumbers(entries=1, size_bytes=size_bytes, misses=1, bypassed=1),
        lately={
            "r-1": CacheNumbers(entries=1, size_bytes=size_bytes, misses=1),
            "r-2": CacheNumbers(bypassed=1),
        },
    )
    assert read_status(status_of(store, tally)) == read_status(content) == expected
    assert expected.of(["r-1", "r-2"]) == expected.total


@pytest.mark.parametrize("content", [b"not JSON", b"[]", b"null", b'{"running": true}'])
async def test_what_speaks_otherwise_does_not_run(home: Path, content: bytes) -> None:
    cache = made(home, ManualClock())
    async with answering(cache, content):
        assert await cache.status() == CacheStatus(running=False)
        with pytest.raises(TransientError) as caught:
            await cache.purge(Purge(("r-1",)))
    assert caught.value.code == "cache.unreachable"


# -- its waits end early ---------------------------------------------------------------------


async def test_a_start_ends_when_the_process_answers(home: Path) -> None:
    clock = ManualClock()
    cache = made(home, clock)
    async with asyncio.timeout(_EARLY_S):
        starting = asyncio.ensure_future(cache.start())
        while not clock.monotonic_s():
            await asyncio.sleep(0)
        async with answering(cache, _STATUS):
            await starting
            answered_s = clock.monotonic_s()
            assert (await cache.status()).running
    assert answered_s < _START_TIMEOUT_S / 4


async def test_a_start_ends_when_the_process_does(home: Path) -> None:
    clock = ManualClock()
    cache = made(home, clock, Script(exits_after_s=0.1, exit_code=1, output="no such socket\n"))
    with pytest.raises(TransientError) as caught:
        await cache.start()
    assert (caught.value.code, "no such socket" in str(caught.value)) == (
        "cache.start-failed",
        True,
    )
    assert 0.1 <= clock.monotonic_s() < 0.2


async def test_a_start_waits_for_another_no_longer_than_it_takes(home: Path) -> None:
    clock = ManualClock()
    cache = made(home, clock, Script(exits_after_s=0.1, exit_code=1))
    starts = await asyncio.gather(cache.start(), cache.start(), return_exceptions=True)
    assert [type(error) for error in starts] == [TransientError, TransientError]
    assert 0.2 <= clock.monotonic_s() < 0.4


@pytest.mark.parametrize(("stops_after_s", "expected_s"), [(0.0, 0.0), (0.25, 0.25), (None, 5.0)])
async def test_a_stop_ends_with_the_process(
    home: Path, stops_after_s: float | None, expected_s: float
) -> None:
    clock = ManualClock()
    cache = made(home, clock, Script(stops_after_s=stops_after_s))
    async with answering(cache, _STATUS):
        await cache.stop()
        assert clock.monotonic_s() == 0, "there was nothing to stop"
    starting = asyncio.ensure_future(cache.start())
    while not clock.monotonic_s():
        await asyncio.sleep(0)
    async with answering(cache, _STATUS):
        await starting
    before_s = clock.monotonic_s()
    await cache.stop()
    assert expected_s <= clock.monotonic_s() - before_s < expected_s + 0.3


async def test_a_question_ends_when_nobody_answers(home: Path) -> None:
    cache = made(home, ManualClock())
    async with asyncio.timeout(_EARLY_S):
        assert not (await cache.status()).running
        with pytest.raises(TransientError):
            await cache.purge(Purge(("r-1",)))


async def test_a_question_ends_when_the_process_does(home: Path) -> None:
    cache = made(home, ManualClock())
    async with asyncio.timeout(_EARLY_S), answering(cache, None):
        assert not (await cache.status()).running
        with pytest.raises(TransientError):
            await cache.purge(Purge(("r-1",)))
