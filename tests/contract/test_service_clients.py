"""The programs that talk to a database and to a cache, against the real ones, as somebody's terminal or pipe would."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gantry.config.paths import Paths
from gantry.engines.postgres.client import client as postgres_client
from gantry.engines.postgres.protocol import DatabaseGrant
from gantry.engines.postgres.server import DATA, PostgresServer
from gantry.engines.redis.client import client as redis_client
from gantry.engines.redis.protocol import CacheGrant
from gantry.engines.redis.server import RedisServers
from gantry.engines.runtime.process import ProcessRuntime
from gantry.engines.runtime.protocol import Client, Output, ProcessSpec, Sandbox, Window
from gantry.kernel.clock import SystemClock
from gantry.kernel.errors import UserError
from gantry.kernel.ids import SystemIds
from tests.support.runtime import DEADLINE_S, ended

PATH = "/usr/local/bin:/usr/bin:/bin"
real = pytest.mark.real


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[ProcessRuntime]:
    tmp_path.chmod(0o700)
    runtime = ProcessRuntime(Paths(tmp_path), SystemClock())
    yield runtime
    for process_id in await runtime.statuses():
        await runtime.remove(process_id)
    await runtime.aclose()


async def said(
    runtime: ProcessRuntime,
    client: Client,
    *arguments: str,
    typed: bytes = b"",
    window: Window | None = None,
) -> tuple[int | None, str, str]:
    """Exit code, output and errors of one run."""
    spec = ProcessSpec(
        "client",
        (*client.argv, *arguments),
        {"PATH": PATH, "HOME": "/tmp", "LANG": "C.UTF-8", "TERM": "dumb", **client.env},
        "/tmp",
        sandbox=Sandbox(client.mounts),
    )
    held = await runtime.start_attached(spec, window)
    await held.write(typed)
    if window is None:
        held.end_input()
    found = {Output.OUT: b"", Output.ERR: b""}
    async with asyncio.timeout(DEADLINE_S):
        while (piece := await held.read()) is not None:
            found[piece[0]] += piece[1]
    held.close()
    status = await ended(runtime, "client")
    return status.exit_code, found[Output.OUT].decode(), found[Output.ERR].decode()


@real
async def test_psql_talks_to_one_database_with_its_password_out_of_sight(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    server = PostgresServer(
        DATA, paths=Paths(tmp_path), runtime=runtime, clock=SystemClock(), ids=SystemIds()
    )
    await server.start()
    url = await server.ensure(DatabaseGrant("shop", "shop", "pass/word with space"))
    plain = server.client(url, read_only=False, interactive=False)
    assert not any("word" in argument for argument in plain.argv)
    code, out, err = await said(runtime, plain, "-Atc", "create table t(a int); select 1")
    assert (code, out, err) == (0, "CREATE TABLE\n1\n", "")
    code, out, _ = await said(runtime, plain, "-At", typed=b"insert into t values (2);\ntable t;\n")
    assert (code, out) == (0, "INSERT 0 1\n2\n")
    code, _, err = await said(
        runtime,
        server.client(url, read_only=True, interactive=False),
        "-c",
        "insert into t values (3)",
    )
    assert code == 1
    assert "read-only transaction" in err
    code, out, _ = await said(runtime, plain, typed=b"select 40 + 2;\n\\q\n", window=Window())
    assert code == 0
    assert "shop=>" in out
    assert "42" in out
    await server.stop()


@real
async def test_the_prompt_of_a_cache_in_a_pipe_and_at_a_terminal(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    servers = RedisServers(paths=Paths(tmp_path), runtime=runtime, clock=SystemClock())
    prompt = servers.client(await servers.ensure(CacheGrant("shop", "password-1")))
    assert not any("password" in argument for argument in prompt.argv)
    assert (await said(runtime, prompt, "SET", "a", "b c"))[:2] == (0, "OK\n")
    code, out, _ = await said(
        runtime, prompt, typed=b"get a\nlpush l 1 2\nlrange l 0 -1\nget none\n"
    )
    assert (code, out) == (0, "b c\n2\n2\n1\n\n")
    code, out, _ = await said(
        runtime, prompt, typed=b"get a\rlrange l 0 -1\rnope\rquit\r", window=Window()
    )
    assert '"b c"' in out
    assert '1) "2"' in out
    assert "(error) ERR unknown command" in out
    wrong = redis_client(f"redis://:wrong@127.0.0.1:{_port(prompt)}/0")
    _, out, err = await said(runtime, wrong, "PING")
    assert "WRONGPASS" in out + err


def _port(prompt: Client) -> str:
    if "REDIS_PORT" in prompt.env:
        return prompt.env["REDIS_PORT"]
    return prompt.argv[prompt.argv.index("-p") + 1]


@pytest.mark.parametrize("url", ["mysql://u@h/x", "postgres://[bad", "host=a bogus=1"])
def test_an_address_that_is_none_of_postgres_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(UserError) as refused:
        postgres_client(url, read_only=False, interactive=False)
    assert refused.value.code == "database.bad-url"
    assert url not in refused.value.message + refused.value.hint


@pytest.mark.parametrize("url", ["http://h", "redis://", "redis://h:port/0", "redis://h/x"])
def test_an_address_that_is_none_of_redis_is_refused(url: str) -> None:
    with pytest.raises(UserError) as refused:
        redis_client(url)
    assert refused.value.code == "cache.bad-url"


@pytest.mark.parametrize(
    ("url", "secure"), [("redis://h", ""), ("rediss://h", "1"), ("valkeys://:p@h:1/2", "1")]
)
def test_tls_is_asked_for_where_the_address_says_so(url: str, secure: str) -> None:
    client = redis_client(url)
    assert client.env.get("REDIS_TLS", "1" if "--tls" in client.argv else "") == secure
