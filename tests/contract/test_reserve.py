"""One suite for the fake reserve and the file."""

from pathlib import Path

import pytest

from gantry.drill.scratch import mounted_disk
from gantry.engines.reserve.fake import FakeReserve
from gantry.engines.reserve.file import ReserveFile
from gantry.engines.reserve.protocol import Reserve
from gantry.kernel.errors import TransientError

_SIZE_BYTES = 3_000_000


@pytest.fixture(params=["fake", "file"])
def reserve(request: pytest.FixtureRequest, tmp_path: Path) -> Reserve:
    return FakeReserve(10**10) if request.param == "fake" else ReserveFile(tmp_path / "reserve")


async def test_held_and_given_up(reserve: Reserve) -> None:
    assert (await reserve.look()).held_bytes == 0
    for _ in range(2):
        await reserve.hold(_SIZE_BYTES)
        assert (await reserve.look()).held_bytes == _SIZE_BYTES
    for _ in range(2):
        await reserve.give_up()
        assert (await reserve.look()).held_bytes == 0


async def test_more_than_there_is(reserve: Reserve) -> None:
    with pytest.raises(TransientError) as caught:
        await reserve.hold((await reserve.look()).free_bytes * 2)
    assert caught.value.code == "reserve.no-room"
    assert (await reserve.look()).held_bytes == 0


async def test_the_file_takes_real_blocks_and_gives_them_back(tmp_path: Path) -> None:
    reserve = ReserveFile(tmp_path / "reserve")
    await reserve.hold(_SIZE_BYTES)
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= _SIZE_BYTES
    assert [place.name for place in tmp_path.iterdir()] == ["reserve"]


@pytest.mark.real
async def test_what_is_given_up_can_be_written() -> None:
    with mounted_disk() as disk:
        if disk is None:
            pytest.skip("this user or this machine mounts nothing")
        reserve = ReserveFile(disk.folder / "reserve")
        await reserve.hold(_SIZE_BYTES)
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "record").write_bytes(b"x" * 8_192)
        assert (await reserve.look()).free_bytes == 0
        await reserve.give_up()
        (disk.folder / "record").write_bytes(b"x" * 8_192)
