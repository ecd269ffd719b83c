"""Logs that programs write to directly: read by offset, and freed from the front without anybody noticing.

A program holds its log open for appending, so the file cannot be replaced. The oldest blocks are given back to the
file system instead (a hole is punched), and every offset stays what it was. Where the file system cannot do that, the
newest part is copied to `log.kept`, the log is truncated, and `log.base` says which offset its first byte has; a line
that is written in the instant between is lost.
"""

import ctypes
import errno
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gantry.engines.runtime.log_times import LogTimes
from gantry.engines.runtime.protocol import LogChunk
from gantry.kernel.files import replace_file

_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01
_BLOCK_BYTES = 4096
_EMPTY = LogChunk("", 0)


@dataclass(frozen=True, slots=True)
class Log:
    """The log of one process."""

    path: Path

    @property
    def size(self) -> int:
        """How many bytes were ever written to it; 0 before the first."""
        try:
            return self._base() + self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def times(self) -> LogTimes:
        """When it was written."""
        return LogTimes(self.path.with_name("log.times"))

    @property
    def _kept(self) -> Path:
        return self.path.with_name("log.kept")

    @property
    def _base_file(self) -> Path:
        return self.path.with_name("log.base")

    def read(
        self, offset: int, limit_bytes: int, *, ended: bool, now: datetime | None = None
    ) -> LogChunk:
        """Whole lines from `offset` on, at least one if there is one, else at most `limit_bytes`.

        Parameters:
            offset: as given by an earlier chunk, or negative to count from the end.
            ended: nobody writes any more, so a last line without its end is whole.
            now: of lines that were written since the log was last marked; `None`: lines need no times.
        """
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return _EMPTY
        base = self._base()
        end = base + size
        inside = offset < 0 and end + offset > 0
        start = min(max(0, end + offset), end) if offset < 0 else min(offset, end)
        first = self._first_kept(base)
        if start < first:
            start, inside = first, first > 0
        if inside:
            start = self._next_line(start, base)
        data = self._bytes(start, max(1, limit_bytes), base)
        whole = _whole_lines(data, at_end=start + len(data) >= end and ended, full=limit_bytes)
        times = self._line_times(whole, start, now) if now is not None else ()
        return LogChunk(text_of(whole), start + len(whole), times)

    def _line_times(self, data: bytes, start: int, now: datetime) -> tuple[datetime, ...]:
        begins, at = [start] if data else [], data.find(b"\n")
        while 0 <= at < len(data) - 1:
            begins.append(start + at + 1)
            at = data.find(b"\n", at + 1)
        return self.times.read().times_of(begins, now) if begins else ()

    def free(self, keep_bytes: int) -> None:
        """Give the oldest part back to the file system, if there is more than `keep_bytes`."""
        try:
            handle = os.open(self.path, os.O_RDWR)
        except FileNotFoundError:
            return
        try:
            size = os.fstat(handle).st_size
            length = (size - keep_bytes) // _BLOCK_BYTES * _BLOCK_BYTES
            if length > 0 and not _punch(handle, length):
                self._copy_and_truncate(handle, keep_bytes)
        finally:
            os.close(handle)

    def _base(self) -> int:
        try:
            return int(self._base_file.read_text())
        except FileNotFoundError:
            return 0

    def _first_kept(self, base: int) -> int:
        """The lowest offset that still has data."""
        if base:
            return base - (self._kept.stat().st_size if self._kept.exists() else 0)
        with self.path.open("rb") as file:
            try:
                return os.lseek(file.fileno(), 0, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return os.fstat(file.fileno()).st_size

    def _next_line(self, start: int, base: int) -> int:
        """`start` may be in the middle of a line: the offset of the next one."""
        # One byte back, so that a start at the very beginning of a line stays there.
        at = max(start - 1, self._first_kept(base))
        while data := self._bytes(at, 65_536, base):
            found = data.find(b"\n")
            if found >= 0:
                return at + found + 1
            at += len(data)
        return at

    def _bytes(self, start: int, length: int, base: int) -> bytes:
        if start >= base:
            return _read(self.path, start - base, length)
        old = self._kept.stat().st_size
        data = _read(self._kept, start - (base - old), length)
        return data + _read(self.path, 0, length - len(data))

    def _copy_and_truncate(self, handle: int, keep_bytes: int) -> None:
        base = self._base()
        size = os.fstat(handle).st_size
        kept = os.pread(handle, min(size, keep_bytes), max(0, size - keep_bytes))
        self._kept.write_bytes(kept)
        os.ftruncate(handle, 0)
        replace_file(self._base_file, str(base + size), mode=0o644, fsync=False)


def text_of(printed: bytes) -> str:
    """What a program printed, as text. No NUL is in it: no database takes one in a text."""
    return printed.decode("utf-8", "replace").replace("\0", "\ufffd")


def _whole_lines(data: bytes, *, at_end: bool, full: int) -> bytes:
    if at_end:
        return data
    cut = data.rfind(b"\n") + 1
    # A line longer than the limit comes in pieces, or it would never be passed.
    return data[:cut] if cut or len(data) < full else data


def _read(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        return os.pread(file.fileno(), length, start)


def _punch(handle: int, length: int) -> bool:
    """Free the first `length` bytes; `False` when the file system cannot.

    Raises:
        OSError: anything else.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    size = ctypes.c_int64
    libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, size, size)
    if libc.fallocate(handle, _PUNCH_HOLE_KEEP_SIZE, 0, length) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EOPNOTSUPP, errno.ENOSYS):
        return False
    raise OSError(code, os.strerror(code))
