"""Unpacking an archive that somebody sent: bounded, and never outside of its directory."""

import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gantry.kernel.errors import UserError
from gantry.kernel.units import counted, format_size
from gantry.source.pack import Bounds, leads_out

_READ_BYTES = 64 * 1024
_MAX_PATH_CHARACTERS = 1024
# Headers of a tar are 512 bytes a file, with long names a few times that.
_HEADER_BYTES = 4096


def unpack(archive: BinaryIO, target: Path, bounds: Bounds) -> None:
    """Write every file of the gzip tar `archive` below the new directory `target`.

    Raises:
        UserError: `source.bad-archive`, `source.too-large`.
        OSError: the disk is full.
    """
    target.mkdir(mode=0o755)
    links: dict[str, str] = {}
    reader = _Inflate(archive, bounds.size_bytes + bounds.files * _HEADER_BYTES)
    paths: set[str] = set()
    try:
        with tarfile.open(fileobj=reader, mode="r|") as tar:
            for member in _bounded(tar, bounds):
                path = _checked_path(member)
                if member.isdir():
                    continue  # folders come with their files
                if path in paths:
                    raise _bad(f"{path} is in it twice")
                paths.add(path)
                if member.issym():
                    if leads_out(path, member.linkname):
                        raise _bad(f"the link {path} leads out of it")
                    links[path] = member.linkname
                elif member.isreg():
                    _write(tar, member, target / path)
                else:
                    raise _bad(f"{path} is neither a file, a folder nor a symbolic link")
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise _bad(str(error) or "it is cut short") from None
    _make_links(target, links)


def _make_links(target: Path, links: dict[str, str]) -> None:
    """Last, so that no file was ever written through one."""
    for path, to in links.items():
        link = target / path
        below_link = any(parent.as_posix() in links for parent in Path(path).parents)
        if below_link or os.path.lexists(link):
            raise _bad(f"{path} lies in something that is a link")
        _make_parent(link)
        link.symlink_to(to)
    top = os.path.realpath(target)
    for path in links:  # by way of other links, one that looks harmless can lead out
        if not f"{os.path.realpath(target / path)}/".startswith(f"{top}/"):
            raise _bad(f"the link {path} leads out of it")


def _bounded(tar: tarfile.TarFile, bounds: Bounds) -> Iterator[tarfile.TarInfo]:
    size_bytes = 0
    for files, member in enumerate(tar, start=1):
        size_bytes += member.size
        if files > bounds.files or size_bytes > bounds.size_bytes:
            raise too_large(bounds)
        yield member
        tar.members.clear()  # type: ignore[attr-defined]  # kept for random access, which nobody needs


def _checked_path(member: tarfile.TarInfo) -> str:
    path = member.name.removeprefix("./").rstrip("/")
    parts = path.split("/")
    if path in ("", ".") and member.isdir():
        return path
    if (
        path.startswith("/")
        or len(path) > _MAX_PATH_CHARACTERS
        or any(part in ("", ".", "..") or "\0" in part for part in parts)
    ):
        raise _bad(f"the path {member.name[:200]!r} leads out of it or is malformed")
    return path


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None, "regular files have content"
    _make_parent(target)
    try:
        with target.open("xb") as file:
            while chunk := source.read(_READ_BYTES):
                file.write(chunk)
    except (FileExistsError, IsADirectoryError):
        raise _bad(f"{member.name} is in it twice") from None
    target.chmod(0o755 if member.mode & 0o100 else 0o644)


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise _bad(f"{path.name} lies in something that is a file") from None


class _Inflate(io.RawIOBase):
    """Reads gzip, and stops a small archive that grows without end."""

    def __init__(self, source: BinaryIO, limit_bytes: int) -> None:
        super().__init__()
        self._source = source
        self._left_bytes = limit_bytes
        self._gzip = zlib.decompressobj(31)
        self._input = b""

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes of the content."""
        wanted = size if size > 0 else _READ_BYTES
        out = bytearray()
        while len(out) < wanted and not self._gzip.eof:
            data = self._input or self._source.read(_READ_BYTES)
            if not data:
                raise EOFError("it is cut short")
            out += self._gzip.decompress(data, wanted - len(out))
            self._input = self._gzip.unconsumed_tail
        self._left_bytes -= len(out)
        if self._left_bytes < 0:
            raise _bad("it grows beyond all bounds when it is unpacked")
        return bytes(out)


def too_large(bounds: Bounds) -> UserError:
    """The refusal of a source beyond `bounds`."""
    return UserError(
        "source.too-large",
        f"the source is larger than {format_size(bounds.size_bytes)} or has more than {counted(bounds.files, 'file')}",
        hint="name what a build does not need in .gitignore or .gantryignore",
    )


def _bad(what: str) -> UserError:
    return UserError(
        "source.bad-archive",
        f"the archive cannot be accepted: {what}",
        hint="send it with gantry deploy, which packs it correctly",
    )
