"""Room on the disk that is held while there is plenty, and released in time, so that a full disk does not stop Gantry itself.

It asks no database: that one may be what needs the room.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gantry.kernel.errors import TransientError
from gantry.kernel.units import format_size

_log = logging.getLogger(__name__)

# A program that writes half a gigabyte a second finds the disk full between two looks; what the database is refused
# meanwhile is tried again.
INTERVAL_S = 1.0
# Some hundred thousand records of deploys, or eight new files of the database's journal.
SIZE_BYTES = 128_000_000
# A database that asks for its next 16 MB and is refused stops altogether: it must be in time for that.
RELEASE_BELOW_BYTES = 48_000_000
# What builds leave to the databases and logs of what serves (`engines/builders/room.py`): with less than that beside it
# the reserve would be released again at once.
HOLD_ABOVE_BYTES = SIZE_BYTES + 500_000_000
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The disk of the home.

    Attributes:
        free_bytes: beside the reserve.
        held_bytes: size of the reserve; 0 when nothing is held.
    """

    free_bytes: int
    held_bytes: int


class Change(StrEnum):
    """What to do with the reserve."""

    HOLD = "hold"
    RELEASE = "release"


def decide(space: DiskSpace) -> Change | None:
    """The next change; `None` where all is as it should be."""
    if space.held_bytes and space.free_bytes < RELEASE_BELOW_BYTES:
        return Change.RELEASE
    if not space.held_bytes and space.free_bytes >= HOLD_ABOVE_BYTES:
        return Change.HOLD
    return None


def free_bytes(directory: Path) -> int:
    """Bytes that a program of this user may still write to the file system of `directory`."""
    usage = os.statvfs(directory)
    return usage.f_bavail * usage.f_frsize


@dataclass(frozen=True, slots=True)
class DiskReserve:
    """The reserve: a file whose blocks are allocated, and never written.

    Parameters:
        path: the file; its directory exists.
        free: how much room its file system has left.
    """

    path: Path
    free: Callable[[Path], int] = free_bytes

    async def once(self) -> None:
        """Look, and hold or release.

        Raises:
            TransientError: `reserve.no-room` somebody else was faster.
        """
        space = await asyncio.to_thread(self.space)
        match decide(space):
            case Change.RELEASE:
                await asyncio.to_thread(self.release)
                _log.warning(
                    "%s of disk are left: the reserve of %s is released, so that deploys can be recorded; make room",
                    format_size(space.free_bytes),
                    format_size(space.held_bytes),
                )
            case Change.HOLD:
                await asyncio.to_thread(self.hold, SIZE_BYTES)
                _log.info("%s of disk are held for a disk that fills up", format_size(SIZE_BYTES))
            case None:
                pass

    def space(self) -> DiskSpace:
        """What is free, and what is held."""
        try:
            held_bytes = self.path.stat().st_size
        except FileNotFoundError:
            held_bytes = 0
        return DiskSpace(self.free(self.path.parent), held_bytes)

    def hold(self, size_bytes: int) -> None:
        """Hold `size_bytes`, also instead of what is held now.

        Raises:
            TransientError: `reserve.no-room`.
        """
        space = self.space()
        # An allocation that fails half-way has taken what others needed meanwhile.
        if size_bytes > space.free_bytes + space.held_bytes:
            raise self._no_room()
        new = self.path.with_suffix(".new")
        try:
            with new.open("wb") as file:
                # Where a file system cannot allocate, the C library writes zeros instead: slower, and as good.
                os.posix_fallocate(file.fileno(), 0, size_bytes)
            new.replace(self.path)
        except OSError as error:
            new.unlink(missing_ok=True)
            if error.errno not in _NO_ROOM:
                raise
            raise self._no_room() from error

    def release(self) -> None:
        """Hold nothing. Safe to call twice."""
        self.path.unlink(missing_ok=True)

    def _no_room(self) -> TransientError:
        return TransientError(
            "reserve.no-room",
            f"the disk of {self.path.parent} has no room for the reserve",
            hint="gantry doctor shows what uses it",
            where=str(self.path),
        )
