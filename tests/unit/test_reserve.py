"""Room is held for the control plane while there is plenty, and given up before the last is gone."""

import pytest
from hypothesis import given, strategies as st

from gantry.engines.reserve.fake import FakeReserve
from gantry.engines.reserve.protocol import Room
from gantry.features.retention.reserve import (
    GIVE_UP_BELOW_BYTES,
    HOLD_ABOVE_BYTES,
    SIZE_BYTES,
    Change,
    decide,
)
from gantry.reactor.reserve import ReserveKeeper


@pytest.mark.parametrize(
    ("free_bytes", "held_bytes", "change"),
    [
        (HOLD_ABOVE_BYTES, 0, Change.HOLD),
        (HOLD_ABOVE_BYTES - 1, 0, None),
        (GIVE_UP_BELOW_BYTES, SIZE_BYTES, None),
        (GIVE_UP_BELOW_BYTES - 1, SIZE_BYTES, Change.GIVE_UP),
        (0, SIZE_BYTES, Change.GIVE_UP),
        (0, 0, None),
        (10**12, SIZE_BYTES, None),
    ],
)
def test_when(free_bytes: int, held_bytes: int, change: Change | None) -> None:
    assert decide(Room(free_bytes, held_bytes)) is change


@given(free_bytes=st.integers(0, 10**13))
def test_one_change_leads_to_no_other(free_bytes: int) -> None:
    if decide(Room(free_bytes, 0)) is Change.HOLD:
        assert decide(Room(free_bytes - SIZE_BYTES, SIZE_BYTES)) is None
    if decide(Room(free_bytes, SIZE_BYTES)) is Change.GIVE_UP:
        assert decide(Room(free_bytes + SIZE_BYTES, 0)) is None


async def test_a_disk_that_fills_up_and_is_emptied() -> None:
    disk = FakeReserve(free_bytes=10**10)
    keeper = ReserveKeeper(disk)
    await keeper.once()
    assert await disk.look() == Room(10**10 - SIZE_BYTES, SIZE_BYTES)
    disk.free_bytes = 1_000
    await keeper.once()
    assert await disk.look() == Room(1_000 + SIZE_BYTES, 0)
    await keeper.once()
    assert disk.held_bytes == 0
    disk.free_bytes = 10**10
    await keeper.once()
    assert disk.held_bytes == SIZE_BYTES
