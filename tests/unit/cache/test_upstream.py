"""How the edge's cache asks the edge: whole answers, cut ones, and connections that are used again."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gantry.cache.questions import Request, UpstreamError
from gantry.cache.upstream import InnerListener

_DEADLINE_S = 10.0
# Below what a connection or an answer is waited for at most.
_EARLY_S = 1.5
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nX-A: 1\r\n\r\npage"

Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@dataclass
class Server:
    """Says what it is told, for each request; `None` closes the connection instead."""

    says: list[bytes | None]
    asked: list[bytes] = field(default_factory=list)
    connections: int = 0

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            said = self.says.pop(0)
            if said is None:
                return
            writer.write(said)
            await writer.drain()


@pytest.fixture
def socket() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="gu-"))
    yield directory / "inner.sock"
    shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def asking(
    socket: Path, converse: Converse, silence_s: float = _DEADLINE_S
) -> AsyncIterator[InnerListener]:
    begun, ended = 0, asyncio.Semaphore(0)

    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal begun
        begun += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await converse(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        ended.release()

    server = await asyncio.start_unix_server(whole, socket)
    inner = InnerListener(str(socket), silence_s=silence_s)
    async with asyncio.timeout(_DEADLINE_S):
        yield inner
        inner.close()
        server.close()
        for _ in range(begun):
            await ended.acquire()


_HOST = ((b"host", b"shop"),)


async def ask(inner: InnerListener, method: str = "GET", target: str = "/a?b") -> tuple[int, bytes]:
    headers = ((b"host", b"shop"), (b"x-b", b"2"))
    async with inner.ask(Request(method, target, "shop", headers), headers) as answer:
        return answer.status, b"".join([part async for part in answer.body])


async def test_a_connection_is_used_again(socket: Path) -> None:
    server = Server([_OK, _OK, _OK])
    async with asking(socket, server.converse) as inner:
        assert [await ask(inner) for _ in range(3)] == [(200, b"page")] * 3
    assert server.connections == 1
    assert server.asked[0] == b"GET /a?b HTTP/1.1\r\nhost: shop\r\nx-b: 2\r\n\r\n"


async def test_names_are_in_lower_case(socket: Path) -> None:
    async with (
        asking(socket, Server([_OK]).converse) as inner,
        inner.ask(Request("GET", "/", "shop", _HOST), _HOST) as answer,
    ):
        assert answer.headers == ((b"content-length", b"4"), (b"x-a", b"1"))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (b"HTTP/1.1 304 X\r\ncontent-length: 9\r\n\r\n", (304, b"")),
        (
            b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            (200, b"abcde"),
        ),
        (b"HTTP/1.1 103 Early\r\nlink: </a>\r\n\r\n" + _OK, (200, b"page")),
    ],
)
async def test_answers_of_every_form(
    socket: Path, said: bytes, expected: tuple[int, bytes]
) -> None:
    """At once, and byte by byte."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await reader.readuntil(b"\r\n\r\n")
        for byte in said:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async with asking(socket, converse) as inner:
        assert [await ask(inner), await ask(inner)] == [expected, expected]


async def test_an_answer_to_head_has_no_body(socket: Path) -> None:
    server = Server([b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", _OK])
    async with asking(socket, server.converse) as inner:
        assert await ask(inner, "HEAD") == (200, b"")
        assert await ask(inner) == (200, b"page")
    assert server.connections == 1


@pytest.mark.parametrize(
    "said",
    [
        None,
        b"",
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        _OK[:-1],
        _OK[:20],
        b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nx",
        b"HTTP/1.1 200 X\r\n\r\nuntil the end",
    ],
)
async def test_half_an_answer_is_an_error(socket: Path, said: bytes | None) -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said or b"")

    async with asking(socket, converse) as inner:
        with pytest.raises(UpstreamError):
            await ask(inner)


async def test_nobody_there(socket: Path) -> None:
    async with asyncio.timeout(_EARLY_S):
        with pytest.raises(UpstreamError):
            await ask(InnerListener(str(socket)))


@pytest.mark.parametrize("said", [None, _OK[:20], _OK[:-1]])
async def test_silence_ends_with_the_connection(socket: Path, said: bytes | None) -> None:
    """A product may be silent for a minute; one that is gone is not waited for."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said or b"")

    async with asyncio.timeout(_EARLY_S), asking(socket, converse, silence_s=65.0) as inner:
        with pytest.raises(UpstreamError):
            await ask(inner)


async def test_a_connection_that_ends_when_it_is_used_again_is_no_error(socket: Path) -> None:
    server = Server([_OK, None, _OK])
    async with asking(socket, server.converse) as inner:
        assert [await ask(inner), await ask(inner)] == [(200, b"page")] * 2
    assert (server.connections, len(server.asked)) == (2, 3)


async def test_a_new_one_that_ends_is_an_error(socket: Path) -> None:
    server = Server([None, _OK])
    async with asking(socket, server.converse) as inner:
        with pytest.raises(UpstreamError):
            await ask(inner)
    assert len(server.asked) == 1


async def test_what_may_not_happen_twice_is_not_asked_twice(socket: Path) -> None:
    server = Server([_OK, None, _OK])
    async with asking(socket, server.converse) as inner:
        await ask(inner)
        with pytest.raises(UpstreamError):
            await ask(inner, "POST")
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\npage",
        _OK + b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother",
    ],
)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(
    socket: Path, said: bytes
) -> None:
    server = Server([said, _OK])
    async with asking(socket, server.converse) as inner:
        async with inner.ask(Request("GET", "/", "shop", _HOST), _HOST) as answer:
            assert answer.status == 200
        assert await ask(inner) == (200, b"page")
    assert server.connections == 2


async def test_who_is_silent_is_not_asked_again(socket: Path) -> None:
    server = Server([_OK, b"", _OK])
    async with asking(socket, server.converse, silence_s=0.2) as inner:
        await ask(inner)
        with pytest.raises(UpstreamError):
            await ask(inner)
        assert (server.connections, len(server.asked)) == (1, 2)
        assert await ask(inner) == (200, b"page")
    assert server.connections == 2


async def test_who_leaves_early_ends_the_connection(socket: Path) -> None:
    ended = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await reader.read()
        ended.set()

    async with asking(socket, converse) as inner:
        async with inner.ask(Request("GET", "/", "shop", _HOST), _HOST) as answer:
            assert await anext(answer.body) == b"abc"
        await ended.wait()


async def test_who_does_not_wait_ends_the_connection(socket: Path) -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        ended.set()

    async with asking(socket, converse) as inner:
        waiting = asyncio.ensure_future(ask(inner))
        await asked.wait()
        waiting.cancel()
        await ended.wait()


async def test_a_visitor_who_reads_slowly_holds_the_product_up(socket: Path) -> None:
    size, sent = 20_000_000, 0

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000
        await reader.read()

    async with (
        asking(socket, converse) as inner,
        inner.ask(Request("GET", "/", "shop", _HOST), _HOST) as answer,
    ):
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 5_000_000
        assert sum([len(part) async for part in answer.body]) == size


async def test_a_line_break_never_becomes_another_request(socket: Path) -> None:
    async with asking(socket, Server([_OK]).converse) as inner:
        for headers in (((b"a", b"b\r\nc: d"),), ((b"a\n", b"b"),)):
            with pytest.raises(UpstreamError):
                async with inner.ask(Request("GET", "/", "shop", headers), headers):
                    pass
        with pytest.raises(UpstreamError):
            await ask(inner, target="/ HTTP/1.1\r\n")
