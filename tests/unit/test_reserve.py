"""Room is held for the control plane while there is plenty, and released before the last is gone."""

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from gantry.drill.scratch import mounted_disk
from gantry.kernel.errors import TransientError
from gantry.reactor.reserve import (
    HOLD_ABOVE_BYTES,
    RELEASE_BELOW_BYTES,
    SIZE_BYTES,
    Change,
    DiskReserve,
    DiskSpace,
    decide,
)

_SIZE_BYTES = 3_000_000


@pytest.mark.parametrize(
    ("free_bytes", "held_bytes", "change"),
    [
        (HOLD_ABOVE_BYTES, 0, Change.HOLD),
        (HOLD_ABOVE_BYTES - 1, 0, None),
        (RELEASE_BELOW_BYTES, SIZE_BYTES, None),
        (RELEASE_BELOW_BYTES - 1, SIZE_BYTES, Change.RELEASE),
        (0, SIZE_BYTES, Change.RELEASE),
        (0, 0, None),
        (10**12, SIZE_BYTES, None),
    ],
)
def test_when(free_bytes: int, held_bytes: int, change: Change | None) -> None:
    assert decide(DiskSpace(free_bytes, held_bytes)) is change


@given(free_bytes=st.integers(0, 10**13))
def test_one_change_leads_to_no_other(free_bytes: int) -> None:
    if decide(DiskSpace(free_bytes, 0)) is Change.HOLD:
        assert decide(DiskSpace(free_bytes - SIZE_BYTES, SIZE_BYTES)) is None
    if decide(DiskSpace(free_bytes, SIZE_BYTES)) is Change.RELEASE:
        assert decide(DiskSpace(free_bytes + SIZE_BYTES, 0)) is None


async def test_a_disk_that_fills_up_and_is_emptied(tmp_path: Path) -> None:
    others_left_bytes = 10**10
    reserve = DiskReserve(tmp_path / "reserve", lambda _: others_left_bytes)
    await reserve.once()
    assert reserve.space().held_bytes == SIZE_BYTES
    others_left_bytes = 1_000
    await reserve.once()
    assert reserve.space().held_bytes == 0
    await reserve.once()
    assert reserve.space().held_bytes == 0
    others_left_bytes = 10**10
    await reserve.once()
    assert reserve.space().held_bytes == SIZE_BYTES


def test_held_and_released(tmp_path: Path) -> None:
    reserve = DiskReserve(tmp_path / "reserve")
    assert reserve.space().held_bytes == 0
    for _ in range(2):
        reserve.hold(_SIZE_BYTES)
        assert reserve.space().held_bytes == _SIZE_BYTES
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= _SIZE_BYTES, "real blocks are taken"
    assert [place.name for place in tmp_path.iterdir()] == ["reserve"]
    for _ in range(2):
        reserve.release()
        assert reserve.space().held_bytes == 0


def test_more_than_there_is(tmp_path: Path) -> None:
    reserve = DiskReserve(tmp_path / "reserve")
    with pytest.raises(TransientError) as caught:
        reserve.hold(reserve.space().free_bytes * 2)
    assert caught.value.code == "reserve.no-room"
    assert reserve.space().held_bytes == 0


@pytest.mark.real
def test_what_is_released_can_be_written() -> None:
    with mounted_disk() as disk:
        if disk is None:
            pytest.skip("this user or this machine mounts nothing")
        reserve = DiskReserve(disk.folder / "reserve")
        reserve.hold(_SIZE_BYTES)
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "record").write_bytes(b"x" * 8_192)
        assert reserve.space().free_bytes == 0
        reserve.release()
        (disk.folder / "record").write_bytes(b"x" * 8_192)
