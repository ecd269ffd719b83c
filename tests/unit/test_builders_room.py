"""How much memory a build may use whose manifest names none."""

import pytest

from gantry.engines.builders.room import share_of_memory_bytes


@pytest.mark.parametrize(
    ("machine_gb", "build_gb"), [(1, 1), (2, 2), (4, 2), (6, 3), (8, 4), (16, 8), (64, 8)]
)
def test_a_build_may_use_half_of_the_machine_within_bounds(machine_gb: int, build_gb: int) -> None:
    assert share_of_memory_bytes(machine_gb * 10**9) == build_gb * 10**9
