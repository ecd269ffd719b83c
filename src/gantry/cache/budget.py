"""Memory for requests on their way, all together. What would be too much is refused: the edge asks an instance.

Kept answers are given all the same as long as they are small: they are on their way for no time.
"""

from collections.abc import Iterator
from contextlib import contextmanager

# Measured are 26 KB for a visitor whose question is on its way, and their headers once. It is more, so that some of the
# 2,048 connections that the edge opens are always left for answers that are kept.
WAITING_BYTES = 48_000
# A connection to the edge, and what was read from it and not written yet.
ASKING_BYTES = 200_000
# Of a large answer, what was written and not read.
GIVING_BYTES = 200_000


class OverloadError(Exception):
    """Too much is on its way."""


class Reservation:
    """Memory that one request has reserved."""

    def __init__(self, budget: "MemoryBudget") -> None:
        self._budget = budget
        self.size_bytes = 0

    def grow(self, size_bytes: int) -> bool:
        """Reserve more; whether there was room for it."""
        if self._budget.reserved_bytes + size_bytes > self._budget.limit_bytes:
            return False
        self._budget.reserved_bytes += size_bytes
        self.size_bytes += size_bytes
        return True

    def shrink(self, size_bytes: int) -> None:
        """Keep `size_bytes`, and give back the rest."""
        self._budget.reserved_bytes -= self.size_bytes - size_bytes
        self.size_bytes = size_bytes


class MemoryBudget:
    """Memory that all requests on their way may take.

    Parameters:
        limit_bytes: all together.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.reserved_bytes = 0

    @contextmanager
    def reserve(self, size_bytes: int) -> Iterator[Reservation]:
        """Reserve `size_bytes` within the block; the reservation may grow and shrink in it.

        Raises:
            OverloadError: there is no room.
        """
        reservation = Reservation(self)
        if not reservation.grow(size_bytes):
            raise OverloadError(f"{self.reserved_bytes} bytes are on their way")
        try:
            yield reservation
        finally:
            self.reserved_bytes -= reservation.size_bytes
