"""uvicorn's HTTP over a connection that writes head and body in one piece.

uvicorn writes the head of an answer by itself, and uvloop sends it at once: whoever killed the process between the two cut
an answer that the edge could not ask for anew, because it had begun.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# More is written at once: the other end says by reading slowly that it has enough.
_MOST_BYTES = 65_536


class JoinedHttp(HttpToolsProtocol):
    """HTTP whose answers are written together with what follows in the same turn of the loop."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(cast("asyncio.Transport", _Joined(transport)))


class _Joined:
    """A transport, but for when it writes."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []
        self._size = 0
        self._due: asyncio.Handle | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- whatever a transport has
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write `data`, with what comes right after it."""
        self._parts.append(data)
        self._size += len(data)
        if self._size > _MOST_BYTES:
            self._flush()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_soon(self._flush)

    def close(self) -> None:
        """Close when everything is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._parts and not self._transport.is_closing():
            self._transport.write(b"".join(self._parts))
        self._parts, self._size = [], 0
