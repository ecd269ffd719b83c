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
_ORIGIN = httpcore.Origin(b"http", b"edge", 80)
_TROUBLE = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)


class Inner:
    """Asks over a unix socket.

    Parameters:
        most: requests at once; what is more fails at once, since waiting would only be for the slowest.
    """

    def __init__(self, socket: str, most: int = _MOST) -> None:
        self._socket = socket
        self._most = most
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
            connection = await self._connection()
            try:
                async with self._answer(connection, request, headers) as answer:
                    yield answer
            finally:
                await self._give_back(connection)
        finally:
            self._asking -= 1

    @asynccontextmanager
    async def _answer(
        self, connection: httpcore.AsyncHTTPConnection, request: Request, headers: Headers
    ) -> AsyncIterator[Answer]:
        target = request.target.encode("latin-1")
        url = httpcore.URL(scheme=b"http", host=b"edge", port=80, target=target)
        asked = httpcore.Request(
            request.method,
            url,
            headers=list(headers),
            extensions={"timeout": {"connect": _CONNECT_S}},
        )
        try:
            response = await connection.handle_async_request(asked)
        except _TROUBLE as error:
            raise UpstreamError(str(error)) from error
        try:
            lowered = tuple((name.lower(), value) for name, value in response.headers)
            yield Answer(response.status, lowered, _parts(response))
        finally:
            await response.aclose()

    async def _connection(self) -> httpcore.AsyncHTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(_ORIGIN, keepalive_expiry=_IDLE_S, uds=self._socket)

    async def _give_back(self, connection: httpcore.AsyncHTTPConnection) -> None:
        if connection.is_idle() and not connection.is_closed() and len(self._idle) < _MOST_IDLE:
            self._idle.append(connection)
        else:
            await connection.aclose()
        if self._idle and self._idle[0].has_expired():
            await self._idle.pop(0).aclose()


async def _parts(response: httpcore.Response) -> AsyncIterator[bytes]:
    try:
        async for part in response.aiter_stream():
            yield part
    except _TROUBLE as error:
        raise UpstreamError(str(error)) from error
