"""Room on the disk that the platform holds, and gives up when everything else has been taken.

A full disk must not keep the control plane from recording what became of a deploy, nor its database from ending a
transaction: the reserve is a file of real blocks that is deleted in time.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Room:
    """What is there.

    Attributes:
        free_bytes: what could be written now beside the reserve.
        held_bytes: size of the reserve; 0 when it was given up, or not made yet.
    """

    free_bytes: int
    held_bytes: int


class Reserve(Protocol):
    """One reserve. Both changes are idempotent."""

    async def look(self) -> Room:
        """What is free and what is held."""
        ...

    async def hold(self, size_bytes: int) -> None:
        """Take so much from what is free.

        Raises:
            TransientError: `reserve.no-room` there is not so much; nothing is held then.
        """
        ...

    async def give_up(self) -> None:
        """Let others have it."""
        ...
