"""One control plane for one home: a lock that the kernel releases when its holder dies."""

import fcntl
import json
import os
from pathlib import Path
from typing import Self

from gantry.kernel.errors import ConflictError


class HomeLock:
    """Holds `control.lock` as long as the process lives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> Self:
        """Take the lock.

        Raises:
            ConflictError: `control.running` with the pid of the holder.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            holder = self.holder()
            raise ConflictError(
                "control.running",
                f"Gantry is already running in {self._path.parent} (pid {holder or 'unknown'})",
                hint="gantry status shows it; gantry down stops it",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid()}).encode(), 0)
        self._descriptor = descriptor
        return self

    def release(self) -> None:
        """Let go. Safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> int | None:
        """Pid written by the last holder, whether it lives or not."""
        try:
            return int(json.loads(self._path.read_text())["pid"])
        except (OSError, ValueError, KeyError):
            return None

    def is_held(self) -> bool:
        """Whether some process holds it now."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(descriptor)
