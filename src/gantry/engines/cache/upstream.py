"""The edge's inner listener, asked over connections that are kept.

httptools reads the answers, as uvicorn lets it read the requests. Not httpcore: its pool looks at all connections again for
each request, which with 40 visitors at once took 7 ms of CPU a request (decision 0073).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import httptools

from gantry.engines.cache.exchange import Answer, Request, UpstreamError
from gantry.engines.cache.policy import Headers

_MOST_CONNECTIONS = 2_000
_MOST_IDLE = 100
_IDLE_S = 20.0  # below the edge's own patience with idle connections
_CONNECT_S = 2.0
# What may wait for a visitor who reads slowly.
_MOST_HELD_BYTES = 262_144
_REPEATABLE = ("GET", "HEAD")


class Inner:
    """The edge's inner listener.

    Parameters:
        socket: its unix socket.
    """

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._room = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._idle: deque[_Connection] = deque()  # the one that was used last is used next

    @asynccontextmanager
    async def ask(self, request: Request, headers: Headers) -> AsyncIterator[Answer]:
        """See `exchange.Upstream`."""
        head = _head(request, headers)
        await self._enter()
        try:
            connection = await self._begin(request.method, head)
            try:
                yield Answer(connection.status, tuple(connection.headers), connection.body())
            finally:
                self._put_back(connection)
        finally:
            self._room.release()

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().abort()

    async def _enter(self) -> None:
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._room.acquire()
        except TimeoutError as error:
            raise UpstreamError("too many questions at once") from error

    async def _begin(self, method: str, head: bytes) -> "_Connection":
        """A connection on which the answer has begun."""
        while True:
            kept = self._kept()
            connection = kept or await self._connect()
            try:
                await connection.ask(head, bodiless=method == "HEAD")
            except UpstreamError:
                # The edge may close what is idle in the moment in which it is used again.
                if kept is None or connection.heard or method not in _REPEATABLE:
                    raise
            except BaseException:
                connection.abort()
                raise
            else:
                return connection

    def _kept(self) -> "_Connection | None":
        now_s = asyncio.get_running_loop().time()
        while self._idle and self._idle[0].idle_since_s < now_s - _IDLE_S:
            self._idle.popleft().abort()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, connection = await loop.create_unix_connection(_Connection, self._socket)
        except (OSError, TimeoutError) as error:
            raise UpstreamError(str(error) or "no connection in time") from error
        return connection

    def _put_back(self, connection: "_Connection") -> None:
        if not connection.is_reusable or len(self._idle) >= _MOST_IDLE:
            connection.abort()
            return
        connection.idle_since_s = asyncio.get_running_loop().time()
        self._idle.append(connection)


class _Connection(asyncio.Protocol):
    """One connection: one request after the other.

    Attributes:
        heard: anything of the answer has come.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.heard = False
        self.idle_since_s = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._held_bytes = 0
        self._bodiless = self._begun = self._paused = False
        self._whole = self._keeps = True
        self._lost = ""
        self._news: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        """As far as it is known."""
        return not self._lost

    @property
    def is_reusable(self) -> bool:
        """Whether another request may follow."""
        return self._whole and self._keeps and not self._lost and not self._paused

    def abort(self) -> None:
        """Close it, whatever is on its way."""
        if self._transport is not None:
            self._transport.abort()

    async def ask(self, head: bytes, *, bodiless: bool) -> None:
        """Send a request; returns when its answer begins.

        Parameters:
            bodiless: the answer has no body, whatever its headers say.

        Raises:
            UpstreamError: there is none.
        """
        assert self._transport is not None, "connected"
        self._parser = httptools.HttpResponseParser(self)
        self.headers, self._parts, self._held_bytes = [], [], 0
        self._bodiless, self._begun = bodiless, False
        self.heard = self._whole = self._keeps = False
        self._transport.write(head)
        while not self._begun:
            await self._more()

    async def body(self) -> AsyncIterator[bytes]:
        """See `exchange.Answer`."""
        while True:
            if self._parts:
                part = b"".join(self._parts)
                self._parts, self._held_bytes = [], 0
                yield part
            elif self._whole:
                return
            else:
                self._flow(paused=False)
                await self._more()

    async def _more(self) -> None:
        if self._lost:
            raise UpstreamError(self._lost)
        self._news = asyncio.get_running_loop().create_future()
        await self._news

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _flow(self, *, paused: bool) -> None:
        if self._transport is not None and paused != self._paused:
            self._paused = paused
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    # -- asyncio's side ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.heard = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._lost = f"no HTTP: {error}"
            self.abort()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        # The edge always says how long an answer is: an end before that is a cut.
        self._lost = self._lost or str(exc or "the connection was closed")
        self._wake()

    # -- the parser's side -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._whole:
            raise ValueError("a second answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._begun = self.status >= 200
        if self._begun:
            self._keeps = self._parser.should_keep_alive()
            self._whole = self._bodiless

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._held_bytes += len(body)
        if self._held_bytes > _MOST_HELD_BYTES:
            self._flow(paused=True)

    def on_message_complete(self) -> None:
        if self._begun:
            self._whole = True
        else:
            self.headers = []  # of an answer that only announces another


def _head(request: Request, headers: Headers) -> bytes:
    lines = b"".join([b"%b: %b\r\n" % one for one in headers])
    asked = f"{request.method} {request.target} HTTP/1.1\r\n".encode("latin-1")
    head = b"%b%b\r\n" % (asked, lines)
    expected = len(headers) + 2
    if (head.count(b"\r"), head.count(b"\n")) != (expected, expected):
        raise UpstreamError("a line break where none may be")
    return head
