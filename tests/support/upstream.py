"""A small HTTP server that stands in for an instance of a product.

`python upstream.py NAME PORT` serves in a process of its own, so that it can be killed:

| path | answer |
|---|---|
| `/` | the name |
| `/request…` | the request that arrived, as JSON: method, path, headers |
| `/page` | 20 kB of HTML, which is worth compressing |
| `/flow` | three pieces of HTML, 0.2 s between them |
| `/events` | an event with the name every 20 ms, without end |
| `/slow` | the name, after 0.5 s |
| `/silent` | nothing, ever |
| `/late` | the name, after as many ms as the query says |
| `/pauses` | two events with as many ms between them as the query says |
| `/crash` | the whole process ends |
| `/much` | 8 MB |
| `/tagged` | 20 kB of HTML with the strong tag "v1"; a part of it; PUT only with `if-match: "v1"` |
| `/hinted` | early hints, then the name |
| `/summed` | chunks, and a trailer |
| `/nonsense` | no HTTP |
| `/packed` | HTML that is compressed already |
| `/cut` | the connection ends instead of an answer |
| `/own-503` | the product's own 503 |
| any, with `Upgrade: websocket` | sends every frame back |
"""

import asyncio
import base64
import gzip
import hashlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator

_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CLOSE = 8


async def serve(name: str, port: int) -> asyncio.Server:
    """Listen on 127.0.0.1; `port` 0 takes any."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await _exchange(name, reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the other side has left
        finally:
            writer.close()

    return await asyncio.start_server(connection, "127.0.0.1", port, backlog=1024)


async def _exchange(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer one request; whether another may follow."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
    if size := int(headers.get("content-length", "0")):
        await reader.readexactly(size)
    if headers.get("upgrade", "").lower() == "websocket":
        await _websocket(headers, reader, writer)
        return False
    path, _, query = target.partition("?")
    match path:
        case "/crash":
            os._exit(3)
        case "/pauses":
            await _stream(writer, "text/event-stream", _pauses(int(query) / 1000))
        case "/flow":
            await _stream(writer, "text/html", _flow())
        case "/events":
            await _stream(writer, "text/event-stream", _events(name))
        case "/kept":
            more = "cache-control: s-maxage=60\r\ncache-tag: news\r\n"
            _whole(writer, 200, "text/plain", f"{name} {time.monotonic_ns()}".encode(), more)
            await writer.drain()
            return True
        case "/hinted":
            writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n")
            _whole(writer, 200, "text/plain", name.encode())
        case "/summed":
            writer.write(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n"
                b"3\r\none\r\n0\r\nx-sum: 42\r\n\r\n"
            )
        case "/nonsense":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n")
        case "/tagged":
            _tagged(writer, method, headers)
        case "/packed":
            packed = gzip.compress(b"<p>announcement</p>\n" * 1000)
            _whole(writer, 200, "text/html", packed, "content-encoding: gzip\r\n")
        case "/silent":
            await reader.read()
        case "/cut":
            return False
        case _:
            if path in ("/slow", "/late"):
                await asyncio.sleep(0.5 if path == "/slow" else int(query) / 1000)
            status = 503 if path == "/own-503" else 200
            _whole(writer, status, *_content(name, path, (method, target, headers)))
            await writer.drain()
            return True
    return False


def _content(name: str, path: str, request: tuple[str, str, dict[str, str]]) -> tuple[str, bytes]:
    if path.startswith("/request"):
        method, target, headers = request
        seen = {"name": name, "method": method, "path": target, "headers": headers}
        return "application/json", json.dumps(seen).encode()
    if path == "/page":
        return "text/html; charset=utf-8", b"<p>announcement</p>\n" * 1000
    if path == "/much":
        return "application/octet-stream", bytes(8_000_000)
    return "text/plain", name.encode()


def _tagged(writer: asyncio.StreamWriter, method: str, headers: dict[str, str]) -> None:
    more = 'etag: "v1"\r\naccept-ranges: bytes\r\n'
    if method == "PUT":
        _whole(writer, 200 if headers.get("if-match") == '"v1"' else 412, "text/plain", b"", more)
    elif "range" in headers:
        more += "content-range: bytes 0-999/20000\r\n"
        _whole(writer, 206, "text/html", b"a" * 1000, more)
    else:
        _whole(writer, 200, "text/html", b"a" * 20_000, more)


def _whole(
    writer: asyncio.StreamWriter, status: int, kind: str, body: bytes, more: str = ""
) -> None:
    head = (
        f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
        f"server: upstream\r\nx-gantry-release: forged\r\n{more}\r\n"
    )
    writer.write(head.encode() + body)


async def _stream(writer: asyncio.StreamWriter, kind: str, parts: AsyncIterator[bytes]) -> None:
    writer.write(
        f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n"
        "connection: close\r\n\r\n".encode()
    )
    async for part in parts:
        writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _flow() -> AsyncIterator[bytes]:
    for number in range(3):
        if number:
            await asyncio.sleep(0.2)
        yield f"<p>part {number}</p>".encode() + b" " * 2000


async def _pauses(seconds: float) -> AsyncIterator[bytes]:
    yield b"id: 0\n\n"
    await asyncio.sleep(seconds)
    yield b"id: 1\n\n"


async def _events(name: str) -> AsyncIterator[bytes]:
    number = 0
    while True:
        yield f"id: {number}\ndata: {name}\n\n".encode()
        number += 1
        await asyncio.sleep(0.02)


async def _websocket(
    headers: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    key = headers["sec-websocket-key"].encode()
    accept = base64.b64encode(hashlib.sha1(key + _WEBSOCKET_GUID).digest()).decode()
    writer.write(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        f"sec-websocket-accept: {accept}\r\n\r\n".encode()
    )
    while True:
        first, second = await reader.readexactly(2)
        size = second & 0x7F
        assert size < 126, "only short frames are echoed"
        mask = await reader.readexactly(4)
        payload = bytes(
            byte ^ mask[at % 4] for at, byte in enumerate(await reader.readexactly(size))
        )
        writer.write(bytes((first, size)) + payload)
        await writer.drain()
        if first & 0x0F == _CLOSE:
            return


async def _main(name: str, port: int) -> None:
    server = await serve(name, port)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
