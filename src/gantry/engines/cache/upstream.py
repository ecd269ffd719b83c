"""The edge's inner listener, which the cache asks for what it does not have, over connections that are kept.

Not httpcore: its pool looks at all other requests for each that begins or ends, and its connections alone take more CPU
than everything else that the cache does for an answer (decision 0073).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gantry.engines.cache.connection import Connection
from gantry.engines.cache.policy import Headers
from gantry.engines.cache.questions import Answer, Request, UpstreamError

_MOST = 2_000
_MOST_IDLE = 100
_IDLE_S = 20.0  # below the edge's own patience with idle connections
_CONNECT_S = 2.0
_REPEATABLE = ("GET", "HEAD")
# The visitor's own route waits for 60 s; a question that goes on without a visitor must not wait for ever.
_SILENCE_S = 65.0


class Inner:
    """Asks over a unix socket.

    Parameters:
        most: requests at once; what is more fails at once, since waiting would only be for the slowest.
        silence_s: how long the product may say nothing.
    """

    def __init__(self, socket: str, most: int = _MOST, silence_s: float = _SILENCE_S) -> None:
        self._socket = socket
        self._most = most
        self._silence_s = silence_s
        self._asking = 0
        # The last one used is the first: those that are not needed grow old.
        self._idle: deque[Connection] = deque()

    @asynccontextmanager
    async def ask(self, request: Request, headers: Headers) -> AsyncIterator[Answer]:
        """See `questions.Upstream`."""
        if self._asking >= self._most:
            raise UpstreamError(f"{self._most} requests are on their way")
        self._asking += 1
        try:
            connection = await self._begin(request.method, _head(request, headers))
            try:
                yield Answer(connection.status, tuple(connection.headers), connection.body())
            finally:
                self._give_back(connection)
        finally:
            self._asking -= 1

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().abort()

    async def _begin(self, method: str, head: bytes) -> Connection:
        """A connection on which the answer has begun."""
        while True:
            kept = self._kept()
            connection = kept or await self._connect()
            try:
                await connection.ask(head, bodiless=method == "HEAD", silence_s=self._silence_s)
            except UpstreamError:
                # The edge may close what is idle in the moment in which it is used again.
                if kept is None or not connection.vanished or method not in _REPEATABLE:
                    raise
            except BaseException:
                connection.abort()
                raise
            else:
                return connection

    def _kept(self) -> Connection | None:
        self._forget_old()
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

    def _give_back(self, connection: Connection) -> None:
        self._forget_old()
        if connection.is_reusable and len(self._idle) < _MOST_IDLE:
            connection.idle_since_s = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.abort()

    def _forget_old(self) -> None:
        oldest_s = asyncio.get_running_loop().time() - _IDLE_S
        while self._idle and self._idle[0].idle_since_s < oldest_s:
            self._idle.popleft().abort()


def _head(request: Request, headers: Headers) -> bytes:
    lines = b"".join([b"%b: %b\r\n" % one for one in headers])
    asked = f"{request.method} {request.target} HTTP/1.1\r\n".encode("latin-1")
    head = b"%b%b\r\n" % (asked, lines)
    expected = len(headers) + 2
    if (head.count(b"\r"), head.count(b"\n")) != (expected, expected):
        raise UpstreamError("a line break where none may be")
    return head
