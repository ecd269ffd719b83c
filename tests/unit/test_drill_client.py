"""The strict client against servers that answer, answer badly, and do not answer."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import certifi
import pytest

from gantry.drill import client
from gantry.drill.exchange import Connection, Target, is_answered, request

WHOLE = b"HTTP/1.1 200 OK\r\nx-gantry-release: r-1\r\ncontent-length: 2\r\n\r\nok"
IN_CHUNKS = (
    b"HTTP/1.1 200 OK\r\nset-cookie: a=1; Path=/\r\nset-cookie: b=2\r\n"
    b"transfer-encoding: chunked\r\n\r\n3\r\nwho\r\n2;x\r\nle\r\n0\r\n\r\n"
)


@asynccontextmanager
async def server(*replies: bytes) -> AsyncIterator[Target]:
    """Answers each request of a connection with the next of `replies`, and hangs up after the last; without any, it
    says nothing at all."""
    serving = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            for reply in replies:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(reply)
            if not replies:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Target("a.localhost", listening.sockets[0].getsockname()[1])
    finally:
        listening.close()
        await asyncio.gather(*(task for task in serving if task is not None))


def after(times: int) -> Callable[[], bool]:
    """Says that it is time to stop when it was asked so often."""
    count = itertools.count()
    return lambda: next(count) >= times


async def test_a_whole_answer_is_read_with_its_headers_and_cookies() -> None:
    async with server(WHOLE, IN_CHUNKS) as target:
        connection = await Connection.open(target, None)
        first = await connection.exchange(request(target))
        second = await connection.exchange(request(target, "POST", [("x-order", "7")], b"body"))
        connection.close()
    assert (first.status, first.release, first.body) == (200, "r-1", b"ok")
    assert first.keeps_alive
    assert (second.body, second.cookies) == (b"whole", ("a=1", "b=2"))


def test_a_request_says_how_long_its_body_is() -> None:
    sent = request(Target("a.localhost", 8443, "/shop"), "POST", [("x-order", "7")], b"body")
    assert sent.startswith(b"POST /shop HTTP/1.1\r\nHost: a.localhost:8443\r\n")
    assert sent.endswith(b"x-order: 7\r\nContent-Length: 4\r\n\r\nbody")


@pytest.mark.parametrize(
    ("reply", "reasons"),
    [
        (WHOLE.replace(b": 2", b": 3"), {"IncompleteReadError"}),
        (WHOLE.replace(b"200", b"503"), {"status 503"}),
        (b"what?\r\n\r\n", {"ValueError"}),
        (b"", {"IncompleteReadError"}),
    ],
)
async def test_a_bad_answer_is_a_failure(reply: bytes, reasons: set[str]) -> None:
    async with server(reply) as target:
        tally = await client.load(target, 1, after(3))
    assert tally.failures >= 1
    assert set(tally.reasons) & reasons, tally


async def test_the_server_may_say_that_a_connection_ends() -> None:
    last = WHOLE.replace(b"content", b"connection: close\r\ncontent")
    async with server(WHOLE, last) as target:
        tally = await client.load(target, 1, after(5))
    assert (tally.failures, tally.reconnects) == (0, 1)
    assert tally.releases == {"r-1": 3}


@pytest.mark.parametrize("root_file", ["", certifi.where()])
async def test_silence_ends_with_the_timeout_also_while_it_connects(root_file: str) -> None:
    """Without TLS the connection is there and the answer is not; with TLS nobody shakes hands."""
    async with server() as target:
        silent = replace(target, root_file=root_file)
        tally = await client.load(silent, 1, after(2), timeout_s=0.05)
        assert not await is_answered(silent, silent.context(), within_s=0.05)
    assert set(tally.reasons) == {("connect: " if root_file else "") + "TimeoutError"}


async def test_nobody_there_is_a_failure_for_each_try() -> None:
    async with server() as target:
        pass
    tally = await client.load(target, 1, after(2))
    assert tally.reasons == {"connect: ConnectionRefusedError": 2}
    assert not await is_answered(target, None)


async def test_whoever_answers_is_there() -> None:
    async with server(WHOLE.replace(b"200", b"503")) as target:
        assert await is_answered(target, None)
