"""Act: room on the disk is held while there is plenty, and given up in time. It asks no database."""

import logging
from dataclasses import dataclass

from gantry.engines.reserve.protocol import Reserve
from gantry.features.retention.reserve import SIZE_BYTES, Change, decide
from gantry.kernel.units import format_size

_log = logging.getLogger(__name__)

# A program that writes half a gigabyte a second finds the disk full between two looks; what the database is refused
# meanwhile is tried again.
EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class ReserveKeeper:
    """Keeps the reserve as `features/retention/reserve.py` says."""

    reserve: Reserve

    async def once(self) -> None:
        """One look.

        Raises:
            TransientError: `reserve.no-room` somebody else was faster.
        """
        room = await self.reserve.look()
        change = decide(room)
        if change is Change.GIVE_UP:
            await self.reserve.give_up()
            _log.warning(
                "%s of disk are left: the reserve of %s is given up, so that deploys can be recorded; make room",
                format_size(room.free_bytes),
                format_size(room.held_bytes),
            )
        elif change is Change.HOLD:
            await self.reserve.hold(SIZE_BYTES)
            _log.info("%s of disk are held for a disk that fills up", format_size(SIZE_BYTES))
