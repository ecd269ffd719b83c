"""The reserve as a file whose blocks are allocated, and never written."""

import asyncio
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.engines.reserve.protocol import Reserve, Room
from gantry.kernel.errors import TransientError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class ReserveFile:
    """A file on the file system whose room it holds.

    Parameters:
        path: the file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def look(self) -> Room:
        """See `Reserve.look`."""
        return await asyncio.to_thread(self._look)

    async def hold(self, size_bytes: int) -> None:
        """See `Reserve.hold`."""
        await asyncio.to_thread(self._hold, size_bytes)

    async def give_up(self) -> None:
        """See `Reserve.give_up`."""
        await asyncio.to_thread(self._path.unlink, missing_ok=True)

    def _look(self) -> Room:
        usage = os.statvfs(self._path.parent)
        try:
            held_bytes = self._path.stat().st_size
        except FileNotFoundError:
            held_bytes = 0
        return Room(usage.f_bavail * usage.f_frsize, held_bytes)

    def _hold(self, size_bytes: int) -> None:
        room = self._look()
        # An allocation that fails half-way has taken what others needed meanwhile.
        if size_bytes > room.free_bytes + room.held_bytes:
            raise self._no_room()
        new = self._path.with_suffix(".new")
        try:
            with new.open("wb") as file:
                # Where a file system cannot allocate, the C library writes zeros instead: slower, and as good.
                os.posix_fallocate(file.fileno(), 0, size_bytes)
            new.replace(self._path)
        except OSError as error:
            new.unlink(missing_ok=True)
            if error.errno not in _NO_ROOM:
                raise
            raise self._no_room() from error

    def _no_room(self) -> TransientError:
        return TransientError(
            "reserve.no-room",
            f"the disk of {self._path.parent} has no room for the reserve",
            hint="gantry doctor shows what uses it",
            where=str(self._path),
        )


if TYPE_CHECKING:
    _guard: Reserve = ReserveFile(Path())
