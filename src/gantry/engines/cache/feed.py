"""Parts of an answer for one visitor, at his pace, while the answer is read at the product's."""

import asyncio
from collections import deque
from typing import Protocol


class _Reads(Protocol):
    async def send(self, part: bytes) -> None: ...

    async def end(self) -> None: ...


class Feed:
    """Holds what the visitor has not taken yet, so that those who wait for the whole answer do not wait for him."""

    def __init__(self, visitor: _Reads) -> None:
        self._visitor = visitor
        self._parts: deque[bytes] = deque()
        self._sending: asyncio.Future[None] | None = None

    def give(self, part: bytes) -> None:
        """Send `part` after those before it; returns at once."""
        self._parts.append(part)
        if self._sending is None or (self._sending.done() and not self._sending.exception()):
            self._sending = asyncio.ensure_future(self._send())

    async def drained(self) -> None:
        """Returns when he has everything."""
        if self._sending is not None:
            await self._sending

    async def end(self) -> None:
        """There is nothing after what was given."""
        try:
            await self.drained()
            await self._visitor.end()
        finally:
            self.drop()

    def drop(self) -> None:
        """What was not sent yet is not sent any more."""
        if self._sending is not None:
            self._sending.cancel()

    async def _send(self) -> None:
        while self._parts:
            await self._visitor.send(self._parts.popleft())
