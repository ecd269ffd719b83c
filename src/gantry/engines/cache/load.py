"""What requests on their way take of the memory, together. What would be too much is refused: the edge asks an instance.

Kept answers are given all the same as long as they are small: they are on their way for no time.
"""

from collections.abc import Iterator
from contextlib import contextmanager

# Measured are 26 KB for one whose question is on its way, and his headers once. It is more, so that some of the 2,048
# connections that the edge opens are always left for answers that are kept.
WAITING_BYTES = 48_000
# A connection to the edge, and what was read from it and not written yet.
ASKING_BYTES = 200_000
# Of a large answer, what was written and not read.
GIVING_BYTES = 200_000


class OverloadError(Exception):
    """Too much is on its way."""


class Burden:
    """What one request takes."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self.size_bytes = 0

    def grow(self, size_bytes: int) -> bool:
        """Take more; whether there was room for it."""
        if self._load.taken_bytes + size_bytes > self._load.limit_bytes:
            return False
        self._load.taken_bytes += size_bytes
        self.size_bytes += size_bytes
        return True

    def shrink(self, size_bytes: int) -> None:
        """Take so much from here on."""
        self._load.taken_bytes -= self.size_bytes - size_bytes
        self.size_bytes = size_bytes


class Load:
    """What all requests take.

    Parameters:
        limit_bytes: all together.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.taken_bytes = 0

    @contextmanager
    def carry(self, size_bytes: int) -> Iterator[Burden]:
        """Take `size_bytes` within the block, and what it grows by.

        Raises:
            OverloadError: there is no room.
        """
        burden = Burden(self)
        if not burden.grow(size_bytes):
            raise OverloadError(f"{self.taken_bytes} bytes are on their way")
        try:
            yield burden
        finally:
            self.taken_bytes -= burden.size_bytes
