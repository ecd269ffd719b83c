"""Where the program lies: its folder, the next one beside it, the one before, and how they change places.

A virtual environment names its own folder in its scripts. The next one is made beside the present one, its scripts are
then made to name the place that it will have, and the two folders change places in one step: whoever starts the program
finds the one or the other, whole. A program that runs keeps the files that it has opened.
"""

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gantry.kernel.errors import ConflictError
from gantry.kernel.trees import remove_tree

_MARK = ".made-by-gantry-upgrade"
_PIPX = "pipx_metadata.json"
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of renameat2(2)
# Kernels and file systems that cannot exchange say one of these.
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
_MAX_SCRIPT_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of a program.

    Attributes:
        folder: a virtual environment that holds Gantry and what it needs.
    """

    folder: Path

    @property
    def is_pipx(self) -> bool:
        """Whether pipx made it, which lists every folder beside it as an application."""
        return (self.folder / _PIPX).exists()

    @property
    def beside(self) -> Path:
        """Where other versions lie: on the same file system."""
        return self.folder.parent.parent if self.is_pipx else self.folder.parent

    @property
    def next(self) -> Path:
        """The version that is to take over."""
        return self.beside / f"{self.folder.name}-next"

    @property
    def previous(self) -> Path:
        """The version before, kept until the next upgrade: programs that run may still read it."""
        return self.beside / f"{self.folder.name}-previous"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep another upgrade of this program away.

        Raises:
            ConflictError: `upgrade.running`.
            OSError: the folder cannot be read.
        """
        handle = os.open(self.beside, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise ConflictError(
                "upgrade.running", "another upgrade is under way", hint="wait for its end"
            ) from None
        finally:
            os.close(handle)

    def clear(self, folder: Path) -> None:
        """Make room for a version; nothing there is no error.

        Raises:
            ConflictError: `upgrade.in-the-way` what lies there was not made by an upgrade.
        """
        if folder.is_symlink() or (folder.exists() and not (folder / _MARK).exists()):
            raise ConflictError(
                "upgrade.in-the-way",
                f"{folder} is in the way, and no upgrade has made it",
                hint=f"mv {folder} {folder}.mine",
                where=str(folder),
            )
        remove_tree(folder)

    def begin(self) -> None:
        """An empty folder for the next version."""
        self.clear(self.next)
        self.next.mkdir(mode=0o755)
        self.next.chmod(0o755)  # the service's user reads it, whatever the umask
        (self.next / _MARK).touch()

    def settle(self) -> None:
        """Make what was installed beside name the place that it will have; what pipx knows of it goes along."""
        own, wanted = str(self.next).encode(), str(self.folder).encode()
        for path in ((self.next / "pyvenv.cfg"), *sorted((self.next / "bin").iterdir())):
            if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_SCRIPT_BYTES:
                continue
            text = path.read_bytes()
            if own in text and b"\0" not in text:
                path.write_bytes(text.replace(own, wanted))
        if self.is_pipx:
            shutil.copy2(self.folder / _PIPX, self.next / _PIPX)

    def take_over(self) -> None:
        """The next version's folder becomes the program's; that of before is `previous` then."""
        self.clear(self.previous)
        (self.folder / _MARK).touch()
        _exchange(self.folder, self.next)
        self.next.rename(self.previous)

    def give_back(self) -> None:
        """The version before becomes the program's again; the other one is deleted."""
        _exchange(self.folder, self.previous)
        remove_tree(self.previous)


def _exchange(first: Path, second: Path) -> None:
    """Let two folders change places, in one step where the file system can."""
    libc = ctypes.CDLL(None, use_errno=True)
    renameat2 = getattr(libc, "renameat2", None)
    if renameat2 is not None:
        if renameat2(_HERE, bytes(first), _HERE, bytes(second), _EXCHANGE) == 0:
            return
        code = ctypes.get_errno()
        if code not in _CANNOT:
            raise OSError(code, os.strerror(code), str(first))
    aside = first.with_name(f"{first.name}-aside")
    first.rename(aside)
    try:
        second.rename(first)
    except OSError:
        aside.rename(first)
        raise
    aside.rename(second)
