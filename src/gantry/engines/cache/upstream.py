"""The edge's inner listener, which the cache asks for what it does not have.

Connections are httpcore's; its pool is not used. For each request that begins or ends it looks at all others: with 1,900
slow answers on their way one more took the process 17 ms of CPU instead of 3, and kept answers waited for it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpcore

from gantry.engines.cache.exchange import Answer, Request, UpstreamError
from gantry.engines.cache.policy import Headers

_MOST = 2_000
_MOST_IDLE = 100
_IDLE_S = 20.0  # below the edge's own patience with idle connections
_CONNECT_S = 2.0
_REPEATABLE = (b"GET", b"HEAD")
# The visitor's own route waits for 60 s; a question that goes on without a visitor must not wait for ever.
_SILENCE_S = 65.0
_ORIGIN = httpcore.Origin(b"http", b"edge", 80)
_TROUBLE = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)


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
        self._idle: list[httpcore.AsyncHTTPConnection] = []

    @asynccontextmanager
    async def ask(self, request: Request, headers: Headers) -> AsyncIterator[Answer]:
        """See `exchange.Upstream`."""
        if self._asking >= self._most:
            raise UpstreamError(f"{self._most} requests are on their way")
        self._asking += 1
        try:
            connection, response = await self._begin(_asked(request, headers, self._silence_s))
            try:
                lowered = tuple((name.lower(), value) for name, value in response.headers)
                yield Answer(response.status, lowered, _parts(response))
            finally:
                await response.aclose()
                await self._give_back(connection)
        finally:
            self._asking -= 1

    async def aclose(self) -> None:
        """Close what is idle."""
        while self._idle:
            await self._idle.pop().aclose()

    async def _begin(
        self, asked: httpcore.Request
    ) -> tuple[httpcore.AsyncHTTPConnection, httpcore.Response]:
        """A connection on which the answer has begun."""
        while True:
            connection = await self._kept()
            again = connection is not None and asked.method in _REPEATABLE
            connection = connection or httpcore.AsyncHTTPConnection(
                _ORIGIN, keepalive_expiry=_IDLE_S, uds=self._socket
            )
            try:
                return connection, await connection.handle_async_request(asked)
            except _TROUBLE as error:
                await connection.aclose()
                # The edge may close what is idle in the moment in which it is used again.
                if not again:
                    raise UpstreamError(str(error)) from error
            except BaseException:
                await connection.aclose()
                raise

    async def _kept(self) -> httpcore.AsyncHTTPConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def _give_back(self, connection: httpcore.AsyncHTTPConnection) -> None:
        if connection.is_idle() and not connection.is_closed() and len(self._idle) < _MOST_IDLE:
            self._idle.append(connection)
        else:
            await connection.aclose()
        if self._idle and self._idle[0].has_expired():
            await self._idle.pop(0).aclose()


def _asked(request: Request, headers: Headers, silence_s: float) -> httpcore.Request:
    target = request.target.encode("latin-1")
    url = httpcore.URL(scheme=b"http", host=b"edge", port=80, target=target)
    timeouts = {"timeout": {"connect": _CONNECT_S, "read": silence_s}}
    return httpcore.Request(request.method, url, headers=list(headers), extensions=timeouts)


async def _parts(response: httpcore.Response) -> AsyncIterator[bytes]:
    try:
        async for part in response.aiter_stream():
            yield part
    except _TROUBLE as error:
        raise UpstreamError(str(error)) from error
