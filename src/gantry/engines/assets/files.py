"""Files that are whole or not there, and links to them: the only writers of the store's disk."""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gantry.kernel.files import replace_file

_CHUNK_BYTES = 1 << 20
_READABLE, _FOLDER = 0o444, 0o755
# Times from content: seconds from 2001 to 2018, so that no two contents share one and none lies in the future.
_FIRST_S, _SECONDS = 1_000_000_000, 1 << 29


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the store, against other threads and processes. The kernel lets go when the holder dies."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """A folder, with those above it, that the server's user may read."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(_FOLDER)
        path.chmod(_FOLDER)  # whatever the umask


def copy_in(source: Path, fresh: Path) -> tuple[str, int]:
    """Copy a file, never through a link; returns the SHA-256 of what was copied, and its size in bytes.

    Raises:
        OSError: also when `source` is a link.
    """
    content = hashlib.sha256()
    size_bytes = 0
    with os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW), "rb", buffering=0) as reader:
        fresh.unlink(missing_ok=True)
        with fresh.open("xb", buffering=0) as writer:
            while chunk := reader.read(_CHUNK_BYTES):
                content.update(chunk)
                writer.write(chunk)
                size_bytes += len(chunk)
    _seal(fresh, content.digest())
    return content.hexdigest(), size_bytes


def write_new(fresh: Path, content: bytes) -> None:
    """A sealed file of that content."""
    fresh.unlink(missing_ok=True)
    fresh.write_bytes(content)
    _seal(fresh, hashlib.sha256(content).digest())


def _seal(path: Path, digest: bytes) -> None:
    """Read-only, and with a time that stands for the content.

    The server makes the ETag of time and size: so it is the same on every machine and after every restore, and
    differs for every variant.
    """
    number = int.from_bytes(digest[:8])
    seconds = _FIRST_S + (number >> 32) % _SECONDS
    time_ns = seconds * 1_000_000_000 + (number & 0xFFFFFFFF) % 1_000_000_000
    path.chmod(_READABLE)
    os.utime(path, ns=(time_ns, time_ns))


def flush(path: Path) -> None:
    """Bring a file or folder to the disk: a name must not survive a power cut without its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def settle(fresh: Path, place: Path) -> None:
    """Give a finished file its name, in one step."""
    make_folder(place.parent)
    fresh.replace(place)


def link(content: Path, place: Path, fresh: Path) -> None:
    """Make `place` a name of `content`, in one step; what was there is replaced."""
    make_folder(place.parent)
    fresh.unlink(missing_ok=True)
    os.link(content, fresh)
    fresh.replace(place)


def unlink(place: Path) -> None:
    """Remove a name; one that is not there is ignored."""
    place.unlink(missing_ok=True)


def write_record(path: Path, value: object) -> None:
    """Replace a JSON file, and bring it to the disk."""
    make_folder(path.parent)
    replace_file(path, json.dumps(value), mode=0o644)
    flush(path.parent)


def read_record(path: Path) -> dict[str, object] | None:
    """What a JSON file says; `None` when it is not there or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None
