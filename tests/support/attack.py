"""Hostile visitors of a test's edge, each from an address of its own on loopback. What they do is counted, never a flood."""

import asyncio
import contextlib
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from tests.support.edge import DEADLINE_S, Lab

HOST = "a.localhost"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _WINDOW_UPDATE = 0, 1, 4, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_MAX_FRAME_BYTES = 16_384
_INITIAL_WINDOW = 4


@dataclass(slots=True)
class Held:
    """A connection that is kept open."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def status(self, timeout_s: float) -> int:
        """The status of an answer of HTTP/1.1; 0 while there is none, -1 where the connection was ended."""
        try:
            async with asyncio.timeout(timeout_s):
                line = await self.reader.readline()
        except TimeoutError:
            return 0
        except OSError:
            return -1
        return int(line.split()[1]) if line else -1

    def end(self) -> None:
        """Leave without a word."""
        self.writer.transport.abort()


def half_body(path: str, *, headers_kb: int, body_bytes: int) -> bytes:
    """The beginning of a POST of 100 KB."""
    lines = b"".join(b"x-part-%d: %s\r\n" % (n, b"a" * 1_000) for n in range(headers_kb))
    return (
        f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 100000\r\n".encode()
        + lines
        + b"\r\n"
        + b"x" * body_bytes
    )


@asynccontextmanager
async def holding(
    edge: Lab, address: str, count: int, sent: bytes, protocol: str = "http/1.1"
) -> AsyncIterator[list[Held]]:
    """Open connections from one address, send the same on each, and keep them while the block runs."""
    context = edge.context()
    context.set_alpn_protocols([protocol])
    held: list[Held] = []
    try:
        for opened in asyncio.as_completed(
            [_open(edge, address, context, sent) for _ in range(count)]
        ):
            with contextlib.suppress(OSError):
                held.append(await opened)
        yield held
    finally:
        for connection in held:
            connection.end()


async def _open(edge: Lab, address: str, context: ssl.SSLContext, sent: bytes) -> Held:
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            edge.settings.https_port,
            ssl=context,
            server_hostname=HOST,
            local_addr=(address, 0),
        )
        writer.write(sent)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
    return Held(reader, writer)


def streams(
    method: str, path: str, count: int, *, body: bytes = b"", window: int = 65_535
) -> bytes:
    """The beginning of an HTTP/2 connection: so many requests at once, each with a body that is not whole, or none.

    Parameters:
        body: what is sent of each body; empty: the request has none.
        window: how much of each answer the visitor is ready to take.
    """
    settings = _frame(_SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW, window))
    frames = [_PREFACE, settings]
    for number in range(count):
        stream = 2 * number + 1
        end = 0 if body else _END_STREAM
        frames.append(_frame(_HEADERS, _END_HEADERS | end, stream, _head(method, path)))
        if body:
            frames.append(_frame(_DATA, 0, stream, body))
    return b"".join(frames)


def _head(method: str, path: str) -> bytes:
    """HPACK without a table: literal fields that are not indexed."""
    pairs = ((":method", method), (":scheme", "https"), (":authority", HOST), (":path", path))
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in pairs)


def _text(text: str) -> bytes:
    assert len(text) < 127
    return bytes([len(text)]) + text.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    assert len(payload) <= _MAX_FRAME_BYTES
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


async def ask(
    edge: Lab, address: str, count: int, *, at_once: int = 5, path: str = "/"
) -> Counter[int]:
    """How many requests of a well-behaved visitor got which status; 0: none."""
    seen = Counter[int]()
    limits = asyncio.Semaphore(at_once)
    transport = httpx.AsyncHTTPTransport(verify=edge.context(), local_address=address)
    async with httpx.AsyncClient(transport=transport, timeout=DEADLINE_S) as visitor:

        async def once() -> None:
            async with limits:
                try:
                    answer = await visitor.get(
                        f"https://127.0.0.1:{edge.settings.https_port}{path}",
                        headers={"host": HOST},
                        extensions={"sni_hostname": HOST},
                    )
                    seen[answer.status_code] += 1
                except httpx.HTTPError:
                    seen[0] += 1

        await asyncio.gather(*(once() for _ in range(count)))
    return seen


async def statuses(held: Iterable[Held], timeout_s: float = 0.5) -> Counter[int]:
    """What those connections were answered."""
    return Counter(await asyncio.gather(*(connection.status(timeout_s) for connection in held)))


async def heap_bytes(edge: Lab) -> int:
    """What Envoy has taken of its memory."""
    transport = httpx.AsyncHTTPTransport(uds=str(edge.admin_socket))
    async with httpx.AsyncClient(transport=transport, timeout=DEADLINE_S) as admin:
        return int((await admin.get("http://envoy/memory")).json()["allocated"])
