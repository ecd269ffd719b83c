"""A small file system of the drill's own, that can be filled without harm to anybody."""

import os
import subprocess  # noqa: TID251 -- mount and umount are programs
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_SIZE_MB = 3000
_BLOCK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted file system.

    Attributes:
        folder: where it is mounted.
    """

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def free_bytes(self) -> int:
        """What an ordinary user could still write."""
        usage = os.statvfs(self.folder)
        return usage.f_bavail * usage.f_frsize

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Leave only so much. What others write meanwhile is their luck."""
        with self._ballast.open("ab", 0) as file:
            step = self.free_bytes() - leave_bytes
            while step >= _BLOCK_BYTES:
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, step)
                except OSError:
                    step //= 2  # somebody else was faster, and nothing of it was allocated
                else:
                    step = self.free_bytes() - leave_bytes
            with suppress(OSError):  # not one byte more: full
                while leave_bytes == 0:
                    file.write(b"\0" * _BLOCK_BYTES)

    def make_room(self) -> None:
        """Give it all back."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def mounted_disk() -> Iterator[Disk | None]:
    """A disk while the block runs; `None` where this user or this machine mounts nothing."""
    folder = Path(tempfile.mkdtemp(prefix="gantry-disk-"))
    options = f"size={_SIZE_MB}m,mode=755"
    done = subprocess.run(
        ("/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)),
        capture_output=True,
        check=False,
    )
    try:
        yield None if done.returncode else Disk(folder)
    finally:
        if done.returncode == 0:
            subprocess.run(("/bin/umount", "--lazy", str(folder)), check=True)
        folder.rmdir()
