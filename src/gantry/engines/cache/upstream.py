"""The edge's inner listener, asked over connections that are kept.

Not httpcore: its pool looks at all connections again for each request, which with 40 visitors at once took 7 ms of CPU a
request (decision 0073).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gantry.engines.cache.connection import Connection
from gantry.engines.cache.exchange import Answer, Request, UpstreamError
from gantry.engines.cache.policy import Headers

_MOST_CONNECTIONS = 2_000
_MOST_IDLE = 100
_IDLE_S = 20.0  # below the edge's own patience with idle connections
_CONNECT_S = 2.0
_REPEATABLE = ("GET", "HEAD")


class Inner:
    """The edge's inner listener.

    Parameters:
        socket: its unix socket.
    """

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._room = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._idle: deque[Connection] = deque()  # the one that was used last is used next

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

    async def _begin(self, method: str, head: bytes) -> Connection:
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

    def _kept(self) -> Connection | None:
        now_s = asyncio.get_running_loop().time()
        while self._idle and self._idle[0].idle_since_s < now_s - _IDLE_S:
            self._idle.popleft().abort()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, connection = await loop.create_unix_connection(Connection, self._socket)
        except (OSError, TimeoutError) as error:
            raise UpstreamError(str(error) or "no connection in time") from error
        return connection

    def _put_back(self, connection: Connection) -> None:
        if not connection.is_reusable or len(self._idle) >= _MOST_IDLE:
            connection.abort()
            return
        connection.idle_since_s = asyncio.get_running_loop().time()
        self._idle.append(connection)


def _head(request: Request, headers: Headers) -> bytes:
    lines = b"".join([b"%b: %b\r\n" % one for one in headers])
    asked = f"{request.method} {request.target} HTTP/1.1\r\n".encode("latin-1")
    head = b"%b%b\r\n" % (asked, lines)
    expected = len(headers) + 2
    if (head.count(b"\r"), head.count(b"\n")) != (expected, expected):
        raise UpstreamError("a line break where none may be")
    return head
