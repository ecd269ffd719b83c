"""What every kind of cache servers promises."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gantry.config.paths import Paths
from gantry.engines.redis.protocol import CacheGrant, CacheServers
from gantry.engines.redis.server import RedisServers, find_program
from gantry.engines.runtime.process import ProcessRuntime
from gantry.engines.runtime.protocol import ProcessState
from gantry.kernel.clock import ManualClock, SystemClock
from gantry.kernel.errors import TransientError, UserError
from tests.fakes.machine import Machine
from tests.fakes.redis import FakeRedis

SHOP = CacheGrant("shop-production", "password-1", 8_000_000)
BLOG = CacheGrant("blog-production", "password-2")
real = pytest.mark.real
_EARLY_S = 10.0  # the deadline of a start is 20 s


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[ProcessRuntime]:
    tmp_path.chmod(0o700)
    runtime = ProcessRuntime(Paths(tmp_path), SystemClock())
    yield runtime
    for process_id in await runtime.statuses():
        await runtime.remove(process_id)
    await runtime.aclose()


@pytest.fixture
def redis(runtime: ProcessRuntime, tmp_path: Path) -> RedisServers:
    return RedisServers(paths=Paths(tmp_path), runtime=runtime, clock=SystemClock())


@pytest.fixture(params=["fake", pytest.param("redis", marks=real)])
def servers(request: pytest.FixtureRequest, redis: RedisServers) -> CacheServers:
    return FakeRedis(Machine(ManualClock())) if request.param == "fake" else redis


async def test_a_server_keeps_its_url(servers: CacheServers) -> None:
    first, other = await asyncio.gather(servers.ensure(SHOP), servers.ensure(BLOG))
    assert first != other
    assert await servers.ensure(SHOP) == first
    await servers.stop()
    assert await servers.ensure(SHOP) == first


async def test_dropping_twice_and_unknown_names_is_harmless(servers: CacheServers) -> None:
    await servers.ensure(SHOP)
    await servers.drop(SHOP.name)
    await servers.drop(SHOP.name)
    await servers.drop("../other")


async def test_servers_that_ended_are_revived_as_they_were(
    redis: RedisServers, runtime: ProcessRuntime
) -> None:
    await redis.revive()
    assert not await runtime.statuses()
    url = await redis.ensure(SHOP)
    await redis.ensure(BLOG)
    assert _ask(url, "CONFIG GET maxmemory")[0].startswith("-NOAUTH")
    await redis.stop()
    await redis.revive()
    states = [status.state for status in (await runtime.statuses()).values()]
    assert states == [ProcessState.RUNNING] * 2
    assert _ask(url, f"AUTH {SHOP.password}", "SET a 1") == ["+OK", "+OK"]
    await redis.drop(SHOP.name)
    await redis.revive()
    assert list(await runtime.statuses()) == ["redis-blog-production"]


async def test_a_bad_name_is_refused(servers: CacheServers) -> None:
    with pytest.raises(UserError) as caught:
        await servers.ensure(CacheGrant("../x", "password-1"))
    assert caught.value.code == "cache.bad-name"


def _ask(url: str, *lines: str) -> list[str]:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as connection:
        file = connection.makefile("rwb")
        answers = []
        for line in lines:
            file.write(line.encode() + b"\r\n")
            file.flush()
            answer = file.readline().decode().strip()
            if answer.startswith("$") and answer != "$-1":
                answer = file.read(int(answer[1:]) + 2).decode().strip()
            answers.append(answer)
        return answers


@real
async def test_it_answers_with_the_password_only(redis: RedisServers, tmp_path: Path) -> None:
    url = await redis.ensure(SHOP)
    assert _ask(url, "SET a 1")[0].startswith("-NOAUTH")
    assert _ask(url, f"AUTH {SHOP.password}", "SET a 1", "GET a") == ["+OK", "+OK", "1"]
    assert (tmp_path / "redis" / SHOP.name / "redis.conf").stat().st_mode & 0o777 == 0o600


@real
async def test_the_least_used_keys_are_evicted(redis: RedisServers) -> None:
    url = await redis.ensure(SHOP)
    sets = [f"SET k{number} {'x' * 40_000}" for number in range(400)]
    answers = _ask(url, f"AUTH {SHOP.password}", *sets, "DBSIZE", "EXISTS k399")
    assert set(answers[:-2]) == {"+OK"}
    assert 0 < int(answers[-2].removeprefix(":")) < 200, "8 MB hold fewer than 200 of 40 kB"
    assert answers[-1] == ":1"


@real
async def test_a_product_may_not_govern_its_server(redis: RedisServers) -> None:
    url = await redis.ensure(SHOP)
    forbidden = ("CONFIG SET maxmemory 0", "SHUTDOWN", "REPLICAOF 127.0.0.1 1", "ACL LIST")
    answers = _ask(url, f"AUTH {SHOP.password}", *forbidden, "EVAL return(7) 0")
    assert all(answer.startswith("-NOPERM") for answer in answers[1:-1])
    assert answers[-1] == ":7"


@real
async def test_a_new_password_replaces_the_old_one(redis: RedisServers) -> None:
    old = await redis.ensure(SHOP)
    new = await redis.ensure(CacheGrant(SHOP.name, "password-3"))
    assert urlsplit(old).port == urlsplit(new).port
    assert _ask(new, "AUTH password-3") == ["+OK"]
    assert _ask(new, f"AUTH {SHOP.password}")[0].startswith("-WRONGPASS")


@real
async def test_stopping_ends_every_server(redis: RedisServers, runtime: ProcessRuntime) -> None:
    await redis.ensure(SHOP)
    await redis.ensure(BLOG)
    await redis.stop()
    states = {status.state for status in (await runtime.statuses()).values()}
    assert states == {ProcessState.EXITED}


@real
async def test_a_machine_without_redis_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gantry.engines.redis.server.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError) as caught:
        find_program()
    assert caught.value.code == "cache.no-program"


@real
async def test_a_port_that_is_taken_is_said_at_once(redis: RedisServers, tmp_path: Path) -> None:
    url = await redis.ensure(SHOP)
    await redis.stop()
    with socket.create_server(("127.0.0.1", urlsplit(url).port or 0)):
        async with asyncio.timeout(_EARLY_S):
            with pytest.raises(TransientError) as caught:
                await redis.ensure(SHOP)
    assert caught.value.code == "cache.start-failed"
    assert "Address already in use" in str(caught.value)
    assert await redis.ensure(SHOP) == url, "once the port is free it starts"


@real
async def test_a_program_that_ends_at_once_is_not_started_again(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    clock = ManualClock()
    servers = RedisServers(
        paths=Paths(tmp_path), runtime=runtime, clock=clock, program=lambda: Path("/bin/false")
    )
    with pytest.raises(TransientError) as caught:
        await servers.ensure(SHOP)
    assert "it ended with exit code 1" in str(caught.value)
    assert clock.monotonic_s() < _EARLY_S
