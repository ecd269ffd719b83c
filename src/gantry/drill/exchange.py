"""One request and its answer, read strictly: anything but whole HTTP is an error."""

import asyncio
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gantry.kernel.names import RELEASE_HEADER


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send requests, and the path to ask for.

    Attributes:
        host: Host header and TLS server name.
        port: on 127.0.0.1.
        root_file: certificate authority to trust; empty asks without TLS.
    """

    host: str
    port: int
    path: str = "/"
    root_file: str = ""

    def context(self) -> ssl.SSLContext | None:
        """The TLS settings for any number of connections; `None` without TLS."""
        return ssl.create_default_context(cafile=self.root_file) if self.root_file else None


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response.

    Attributes:
        headers: names in lower case; of several lines of one name the last.
        cookies: those to keep, `name=value`.
        took_s: from the first byte that was sent to the last that came.
    """

    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...] = ()
    body: bytes = field(default=b"", repr=False)
    took_s: float = 0.0

    @property
    def release(self) -> str:
        """Identity of the release that answered, as the edge says it; `edge` for itself, empty where it says nothing."""
        return self.headers.get(RELEASE_HEADER, "")

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection may be used again."""
        return self.headers.get("connection", "").lower() != "close"


@dataclass(slots=True)
class Connection:
    """An HTTP/1.1 connection that is kept alive until the server says that it ends."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, target: Target, context: ssl.SSLContext | None) -> "Connection":
        """Connect, and agree on TLS where the target wants it.

        Raises:
            OSError: nobody is there.
        """
        streams = await asyncio.open_connection(
            "127.0.0.1",
            target.port,
            ssl=context,
            server_hostname=target.host if context else None,
        )
        return cls(*streams)

    async def exchange(self, request: bytes) -> Response:
        """Send a request and read its whole answer.

        Raises:
            OSError: a reset.
            EOFError: a short read.
            ValueError, asyncio.LimitOverrunError: something that is not HTTP.
        """
        began_s = time.monotonic()
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        _, status, *_ = head.split(" ", 2)
        lines = [(name.lower(), value) for name, value in _lines(head)]
        headers = dict(lines)
        if headers.get("transfer-encoding") == "chunked":
            body = await self._chunks()
        else:
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        cookies = tuple(value.partition(";")[0] for name, value in lines if name == "set-cookie")
        return Response(int(status), headers, cookies, body, time.monotonic() - began_s)

    async def _chunks(self) -> bytes:
        body = b""
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return body

    def close(self) -> None:
        """Hang up."""
        self.writer.close()


def request(
    target: Target,
    method: str = "GET",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> bytes:
    """A request as it is sent."""
    lines = [
        f"{method} {target.path} HTTP/1.1",
        f"Host: {target.host}:{target.port}",
        "Accept: */*",
        "User-Agent: strict",
        *(f"{name}: {value}" for name, value in headers),
        *((f"Content-Length: {len(body)}",) if body else ()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def is_answered(
    target: Target, context: ssl.SSLContext | None, *, within_s: float = 1.0
) -> bool:
    """Whether one request is answered, by whomever and with whatever status."""
    try:
        async with asyncio.timeout(within_s):
            connection = await Connection.open(target, context)
            try:
                await connection.exchange(request(target))
            finally:
                connection.close()
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
        return False
    return True


def _lines(head: str) -> Iterable[tuple[str, str]]:
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        yield name, value
