"""What the removal of an environment needs next. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class Removal(StrEnum):
    """The next effect of a removal."""

    STOP_COMMANDS = "end the commands that run on its schedule or by hand"
    DELETE = "delete its services with their data, then its records"


@dataclass(frozen=True, slots=True)
class ObservedRemoval:
    """What was observed of an environment that is to end.

    Attributes:
        instances: those that are recorded; the reconciler ends them, because no release of it runs any more.
        commands: processes of commands that run on a schedule, or by hand.
    """

    instances: Collection[str]
    commands: Collection[str]


def decide(observed: ObservedRemoval) -> Removal | None:
    """The next effect; `None` while instances end."""
    if observed.commands:
        return Removal.STOP_COMMANDS
    if observed.instances:
        return None
    return Removal.DELETE
