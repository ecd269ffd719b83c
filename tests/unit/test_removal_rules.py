"""What the removal of an environment needs next."""

import pytest

from gantry.features.removals.rules import ObservedRemoval, Removal, decide


@pytest.mark.parametrize(
    ("instances", "commands", "removal"),
    [
        (("i-1",), ("cron-1",), Removal.STOP_COMMANDS),
        ((), ("cron-1",), Removal.STOP_COMMANDS),
        (("i-1",), (), None),
        ((), (), Removal.DELETE),
    ],
)
def test_what_a_removal_needs_next(
    instances: tuple[str, ...], commands: tuple[str, ...], removal: Removal | None
) -> None:
    assert decide(ObservedRemoval(instances, commands)) is removal
