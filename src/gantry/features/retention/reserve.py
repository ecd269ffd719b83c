"""When room is held for the control plane, and when it is given up. Pure."""

from enum import StrEnum

from gantry.engines.reserve.protocol import Room

# Some hundred thousand records of deploys, or eight new files of the database's journal.
SIZE_BYTES = 128_000_000
# A database that asks for its next 16 MB and is refused stops altogether: it must be in time for that.
GIVE_UP_BELOW_BYTES = 48_000_000
# What builds leave to the databases and logs of what serves (`engines/builders/room.py`): with less than that beside it
# the reserve would be given up again at once.
HOLD_ABOVE_BYTES = SIZE_BYTES + 500_000_000


class Change(StrEnum):
    """What to do with the reserve."""

    HOLD = "hold"
    GIVE_UP = "give up"


def decide(room: Room) -> Change | None:
    """The next change; `None` where all is as it should be."""
    if room.held_bytes and room.free_bytes < GIVE_UP_BELOW_BYTES:
        return Change.GIVE_UP
    if not room.held_bytes and room.free_bytes >= HOLD_ABOVE_BYTES:
        return Change.HOLD
    return None
