"""A disk of numbers."""

from typing import TYPE_CHECKING

from gantry.engines.reserve.protocol import Reserve, Room
from gantry.kernel.errors import TransientError


class FakeReserve:
    """A disk of `free_bytes`, of which the reserve is taken; others take and give by setting it."""

    def __init__(self, free_bytes: int) -> None:
        self.free_bytes, self.held_bytes = free_bytes, 0

    async def look(self) -> Room:
        """See `Reserve.look`."""
        return Room(self.free_bytes, self.held_bytes)

    async def hold(self, size_bytes: int) -> None:
        """See `Reserve.hold`."""
        available = self.free_bytes + self.held_bytes
        if size_bytes > available:
            raise TransientError("reserve.no-room", "the disk has no room for the reserve")
        self.free_bytes, self.held_bytes = available - size_bytes, size_bytes

    async def give_up(self) -> None:
        """See `Reserve.give_up`."""
        self.free_bytes, self.held_bytes = self.free_bytes + self.held_bytes, 0


if TYPE_CHECKING:
    _guard: Reserve = FakeReserve(0)
