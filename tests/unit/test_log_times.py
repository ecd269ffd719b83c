"""Marks of a log: which time a line has, where a moment begins, and what becomes of too many marks."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gantry.engines.runtime import log_times
from gantry.engines.runtime.log_times import LogTimes, Marks
from gantry.kernel.redact import MASK, Redactor

START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_a_line_was_written_before_the_first_mark_behind_it(tmp_path: Path) -> None:
    times = LogTimes(tmp_path / "log.times")
    for seconds, size in ((1, 10), (2, 30), (5, 31)):
        times.mark(at(seconds), size)
    found = times.read().times_of((0, 9, 10, 29, 30, 31, 99), at(60))
    assert found == (at(1), at(1), at(2), at(2), at(5), at(60), at(60))


@pytest.mark.parametrize(
    ("seconds", "offset"), [(0, 0), (1, 0), (1.5, 10), (2, 10), (2.001, 30), (5, 30), (6, 31)]
)
def test_a_moment_begins_behind_what_was_written_before_it(seconds: float, offset: int) -> None:
    marks = Marks([int(at(second).timestamp() * 1000) for second in (1, 2, 5)], [10, 30, 31])
    assert marks.offset_at(at(seconds)) == offset


def test_nothing_noted_is_nothing_known(tmp_path: Path) -> None:
    marks = LogTimes(tmp_path / "none").read()
    assert marks.times_of((0, 5), at(3)) == (at(3), at(3))
    assert marks.offset_at(at(0)) == 0


def test_a_clock_that_is_set_back_turns_no_line_round(tmp_path: Path) -> None:
    times = LogTimes(tmp_path / "log.times")
    for seconds, size in ((100, 10), (50, 20), (120, 30)):
        times.mark(at(seconds), size)
    assert times.read().times_of((0, 10, 20), at(200)) == (at(100), at(100), at(120))


def test_half_a_mark_at_the_end_is_left_out(tmp_path: Path) -> None:
    times = LogTimes(tmp_path / "log.times")
    times.mark(at(1), 10)
    times.path.write_bytes(times.path.read_bytes() + b"1234567")
    assert times.read().times_of((0,), at(9)) == (at(1),)


def test_of_too_many_marks_the_older_half_is_thinned_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_times, "_MAX_MARKS", 8)
    times = LogTimes(tmp_path / "log.times")
    for number in range(1, 10):
        times.mark(at(number), 10 * number)
    assert list(times.read().sizes) == [20, 40, 50, 60, 70, 80, 90]
    assert times.read().times_of((0, 25, 85), at(99)) == (at(2), at(4), at(9))


def test_a_secret_of_many_lines_is_masked_by_as_many() -> None:
    key = "-----BEGIN KEY-----\nab\nMIIEvQIBADANBg\n-----END KEY-----"
    text = f"before\n{key}\nafter\n"
    assert Redactor((key,))(text) == f"before\n{MASK}\n{MASK}\n{MASK}\n{MASK}\nafter\n"
