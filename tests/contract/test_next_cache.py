"""Instances of one Next.js release share what was made anew: real builds, real Redis."""

import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from gantry.config.paths import Paths
from gantry.engines.builders.next_cache import NOT_SHARED
from gantry.engines.builders.protocol import Artifact
from gantry.engines.redis.protocol import CacheGrant
from gantry.engines.redis.server import RedisServers
from gantry.engines.runtime.process import ProcessRuntime
from gantry.kernel.clock import SystemClock
from tests.support.builders import a_request, a_workshop, fetch, run_task, running
from tests.support.next_cache import PAGES, USE_CACHE_PAGES, next_product
from tests.support.platform import wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(500)]

_GRANT = CacheGrant("shop", "a-password-of-its-own", memory_bytes=64_000_000)


async def _built(folder: Path, pages: dict[str, str], config: str = "{}") -> Artifact:
    workshop = a_workshop(folder / "home")
    spec = await workshop.build_task(a_request(next_product(folder / "product", pages, config)))
    _, log = await run_task(spec)
    outcome = await workshop.outcome(spec.id)
    assert outcome is not None, log
    assert outcome.artifact is not None, log
    assert NOT_SHARED not in outcome.artifact.reasons
    return outcome.artifact


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[ProcessRuntime]:
    runtime = ProcessRuntime(Paths(tmp_path / "platform"), SystemClock())
    yield runtime
    for process_id in await runtime.statuses():
        await runtime.remove(process_id)
    await runtime.aclose()


@pytest.fixture
def caches(tmp_path: Path, runtime: ProcessRuntime) -> RedisServers:
    return RedisServers(paths=Paths(tmp_path / "platform"), runtime=runtime, clock=SystemClock())


def _of_release(artifact: Artifact, url: str, release: str) -> Artifact:
    return replace(
        artifact, env={**artifact.env, "GANTRY_REDIS_URL": url, "GANTRY_RELEASE": release}
    )


def _made(port: int, path: str) -> str:
    status, _, body = fetch(port, path)
    assert status == 200, (path, status)
    found = re.search(r"made=(?:<!-- -->)?([\d-]+)", body.decode())
    assert found is not None, body[:2000]
    return found[1]


def _again(port: int, **what: str) -> None:
    query = "&".join(f"{name}={value}" for name, value in what.items())
    assert fetch(port, f"/again?{query}")[2] == b"done"


async def test_what_one_instance_makes_anew_all_of_them_show(
    tmp_path: Path, caches: RedisServers, runtime: ProcessRuntime
) -> None:
    built = await _built(tmp_path, PAGES)
    shop = _of_release(built, await caches.ensure(_GRANT), "rel-1")
    first_values = {}
    with ExitStack() as stack:
        ports = [stack.enter_context(running(shop, tmp_path)) for _ in range(2)]
        third = stack.enter_context(ExitStack())
        ports.append(third.enter_context(running(shop, tmp_path)))
        for path in ("/", "/fixed", "/feed", "/post/first", "/large"):
            values = {_made(port, path) for port in ports}
            assert len(values) == 1, f"{path} is that of the build"
            first_values[path] = values.pop()
            _again(ports[0], path=path)
            if (
                path == "/large"
            ):  # too large to share: made for whoever asks, and never that of the build
                assert first_values[path] not in {_made(port, path) for port in ports}
                continue
            values = {_made(port, path) for port in ports for _ in range(3)}
            assert len(values) == 1, f"{path}: old and new in turns"
            assert first_values[path] not in values
            first_values[path] = values.pop()
        assert len({_made(port, "/post/never-built") for port in ports}) == 1
        assert len({_made(port, "/data") for port in ports}) == 1
        before = _made(ports[0], "/data")
        _again(ports[1], tag="news")
        assert {_made(port, "/data") for port in ports} != {before}
        assert len({_made(port, "/data") for port in ports}) == 1
        # Twice: Next.js 15 takes no second revalidation of a tag by itself.
        _again(ports[2], path="/")
        first_values["/"] = _made(ports[0], "/")
        assert {_made(port, "/") for port in ports} == {first_values["/"]}

        third.close()  # SIGKILL
        ports[2] = stack.enter_context(running(shop, tmp_path))
        for path in ("/", "/fixed", "/feed", "/post/first"):
            assert _made(ports[2], path) == first_values[path], "no page of the build comes back"

        other = stack.enter_context(
            running(_of_release(built, shop.env["GANTRY_REDIS_URL"], "rel-2"), tmp_path)
        )
        assert _made(other, "/") != first_values["/"], "another release begins with its build"

        # Without Redis every instance serves what it knows, and goes on by itself.
        await caches.stop()
        for port in ports:
            assert _made(port, "/") == first_values["/"]
            assert _made(port, "/data")
            assert _made(port, "/post/made-while-away")
        _again(ports[0], path="/")
        anew = _made(ports[0], "/")
        assert anew != first_values["/"]
        assert _made(ports[1], "/") == first_values["/"], "it cannot know"

        # Redis begins empty; what was revalidated while it was away is said when it is back.
        assert await caches.ensure(_GRANT) == shop.env["GANTRY_REDIS_URL"]
        wait_until(
            lambda: len({_made(port, "/") for port in ports}) == 1,
            what="one page for all instances",
        )
        assert _made(ports[1], "/") not in (first_values["/"],)
        assert _made(ports[2], "/fixed") == first_values["/fixed"]


async def test_a_cache_that_hangs_costs_no_page(
    tmp_path: Path, caches: RedisServers, runtime: ProcessRuntime
) -> None:
    artifact = await _built(tmp_path, USE_CACHE_PAGES, "{ cacheComponents: true }")
    shop = _of_release(artifact, await caches.ensure(_GRANT), "rel-1")
    with running(shop, tmp_path) as one, running(shop, tmp_path) as two:
        made = _made(one, "/cached")
        assert {_made(port, "/cached") for port in (one, two, one, two)} == {made}
        _again(two, tag="made")
        anew = _made(one, "/cached")
        assert anew != made
        assert {_made(port, "/cached") for port in (one, two, one, two)} == {anew}
        status = (await runtime.statuses())["redis-shop"]
        assert status.pid is not None
        os.kill(status.pid, signal.SIGSTOP)
        try:
            since_s = time.monotonic()
            for _ in range(10):
                assert _made(two, "/cached")
            assert time.monotonic() - since_s < 5, "one request waits for it, the others do not"
        finally:
            os.kill(status.pid, signal.SIGCONT)
