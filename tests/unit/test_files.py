"""Replacing a file: the old one or the new one, whatever happens."""

import errno
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from gantry.kernel.files import replace_file


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Writes beyond that fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("fsync", [True, False])
@pytest.mark.parametrize(
    ("content", "found"), [("Grüße", "Grüße".encode()), (b"\x00\xff", b"\x00\xff")]
)
def test_the_content_is_there(
    tmp_path: Path, content: str | bytes, found: bytes, fsync: bool
) -> None:
    path = tmp_path / "file"
    for _ in range(2):
        replace_file(path, content, fsync=fsync)
        assert path.read_bytes() == found
    assert names(tmp_path) == ["file"]


def test_what_was_open_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, "old")
    with path.open() as reader:
        replace_file(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_the_mode_is_what_was_asked_for(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        replace_file(tmp_path / "file", "text", mode=mode)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o7777 == mode


def test_it_is_private_where_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o644)
    replace_file(tmp_path / "file", "new")
    assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_it_may_belong_to_somebody_else(tmp_path: Path) -> None:
    replace_file(tmp_path / "file", "text", owner=(12_345, 23_456))
    status = (tmp_path / "file").stat()
    assert (status.st_uid, status.st_gid) == (12_345, 23_456)


def test_without_room_the_old_file_stays_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, "old")
    with files_of_at_most(1_000), pytest.raises(OSError, match=r"too large") as caught:
        replace_file(path, b"x" * 100_000)
    assert caught.value.errno == errno.EFBIG
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_where_the_name_cannot_be_had_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"taken"):
        replace_file(tmp_path / "taken", "text")
    assert names(tmp_path) == ["taken"]


def test_several_writers_leave_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [str(number) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(len(contents)) as writers:
        for _ in range(10):
            list(writers.map(lambda content: replace_file(path, content, fsync=False), contents))
            assert path.read_text() in contents
    assert names(tmp_path) == ["file"]
