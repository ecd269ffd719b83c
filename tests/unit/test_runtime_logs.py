"""Reading logs by offset, and freeing them from the front."""

import errno
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from gantry.engines.runtime import logs
from gantry.engines.runtime.logs import Log
from gantry.engines.runtime.protocol import LogChunk

LINES = [f"line number {number:05}\n" for number in range(2000)]
WHOLE = "".join(LINES)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    path = tmp_path / "log"
    path.write_text(WHOLE)
    return Log(path)


@pytest.fixture(params=["hole", "copy"])
def freeing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to free a log."""
    if request.param == "copy":
        monkeypatch.setattr(logs, "_punch", lambda handle, length: False)
    return str(request.param)


def _read_all(log: Log, limit_bytes: int) -> str:
    text, offset = "", 0
    while (chunk := log.read(offset, limit_bytes, ended=True)).text:
        assert chunk.next_offset > offset
        text, offset = text + chunk.text, chunk.next_offset
    return text


@pytest.mark.parametrize("limit_bytes", [1, 7, 18, 19, 100, 4096, 1_000_000])
def test_every_byte_is_read_once(log: Log, limit_bytes: int) -> None:
    log.path.write_text("".join(LINES[:50]))
    assert _read_all(log, limit_bytes) == "".join(LINES[:50])


def test_a_line_that_is_being_written_waits_for_its_end(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.path.write_text("whole\nhal")
    assert log.read(0, 1000, ended=False).text == "whole\n"
    assert log.read(6, 1000, ended=False) == LogChunk("", 6)
    assert log.read(6, 1000, ended=True).text == "hal"


def test_a_line_longer_than_the_limit_comes_in_pieces(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.path.write_text("x" * 25 + "\n")
    assert log.read(0, 10, ended=False).text == "x" * 10
    assert _read_all(log, 10) == "x" * 25 + "\n"


def test_offsets_outside_are_moved_inside(log: Log) -> None:
    assert log.read(-10_000_000, 19, ended=True).text == LINES[0][:19]
    assert log.read(10_000_000, 100, ended=True) == LogChunk("", len(WHOLE))
    assert Log(log.path.with_name("none")).read(5, 5, ended=True) == LogChunk("", 0)


def test_freeing_keeps_the_newest_lines_and_every_offset(log: Log, freeing: str) -> None:
    late = log.read(len(WHOLE) - 1900, 1900, ended=True)
    used_before = log.path.stat().st_blocks
    log.free(8192)
    if freeing == "hole":
        assert log.path.stat().st_blocks < used_before
    assert log.read(len(WHOLE) - 1900, 1900, ended=True) == late
    kept = log.read(0, 1_000_000, ended=True)
    assert WHOLE.endswith(kept.text)
    assert 8000 < len(kept.text) <= 8192 + 4096
    assert kept.next_offset == len(WHOLE)
    with log.path.open("a") as file:
        file.write("appended\n")
    assert log.read(len(WHOLE), 1000, ended=True).text == "appended\n"
    assert log.read(-9, 1000, ended=True).text == "appended\n"
    log.free(8192)
    assert log.read(len(WHOLE), 1000, ended=True).text == "appended\n"


def test_freeing_what_is_small_changes_nothing(log: Log, freeing: str) -> None:
    log.free(1_000_000)
    assert _read_all(log, 4096) == WHOLE


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(offset=st.integers(-50_000, 0), keep=st.sampled_from([0, 4096, 20_000]))
def test_from_any_negative_offset_lines_are_whole(log: Log, offset: int, keep: int) -> None:
    log.path.write_text(WHOLE)
    if keep:
        log.free(keep)
    text = log.read(offset, 1_000_000, ended=True).text
    assert WHOLE.endswith(text)
    assert not text or text.startswith("line number")


def test_another_fault_of_the_file_system_is_not_hidden(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int, length: int) -> bool:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(logs, "_punch", full)
    with pytest.raises(OSError, match="broken"):
        log.free(100)


def test_no_nul_and_no_broken_text_leaves_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\0b\xff\n")
    chunk = Log(path).read(0, 100, ended=True)
    assert chunk == LogChunk("a\ufffdb\ufffd\n", 5)
