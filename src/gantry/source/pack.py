"""Packing a project's directory: its digest, its files, and a gzip tar as a stream of bytes."""

import io
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.kernel.errors import UserError
from gantry.kernel.trees import Entry, TreeHash, content_sha256
from gantry.kernel.units import format_size
from gantry.source.ignore import IgnoreRules, is_never_source, secret_reason

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_CHUNK_BYTES = 256 * 1024
# Sources are small and the way is short: level 1 is four times as fast as 6 for a tenth more bytes.
_COMPRESSION = 1


@dataclass(frozen=True, slots=True)
class Bounds:
    """The largest source that is accepted.

    Attributes:
        size_bytes: of all files together, not compressed.
        files: how many.
    """

    size_bytes: int = 500_000_000
    files: int = 50_000


USUAL_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class PackedSource:
    """A directory, ready to be sent.

    Attributes:
        root: the directory.
        digest: SHA-256, hex; the source store computes the same from what it unpacks.
        entries: files and links that belong to the source, sorted by path.
        size_bytes: of all files together, before compression.
        left_out: path -> reason, of secrets and of links that lead out; not what ignore files name.
    """

    root: Path
    digest: str
    entries: tuple[Entry, ...]
    size_bytes: int
    left_out: Mapping[str, str]

    @property
    def files(self) -> tuple[str, ...]:
        """Paths, sorted."""
        return tuple(entry.path for entry in self.entries)

    def chunks(self) -> Iterator[bytes]:
        """The gzip tar in pieces. The same directory gives the same bytes, every time.

        Raises:
            UserError: `source.changed` a file was altered since the digest was computed.
        """
        sink = _GzipSink()
        with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT, bufsize=512) as tar:
            for entry in self.entries:
                self._add(tar, entry)
                yield from sink.take()
        yield sink.finish()

    def _add(self, tar: tarfile.TarFile, entry: Entry) -> None:
        path = self.root / entry.path
        info = tarfile.TarInfo(entry.path)
        info.mode = 0o755 if entry.kind == "x" else 0o644
        try:
            if entry.kind == "l":
                info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
                tar.addfile(info)
                return
            with path.open("rb") as file:
                info.size = os.fstat(file.fileno()).st_size
                if info.size != entry.size_bytes:
                    raise _changed(entry.path)
                tar.addfile(info, file)
        except OSError:
            raise _changed(entry.path) from None


def pack(directory: Path, bounds: Bounds = USUAL_BOUNDS) -> PackedSource:
    """Find what belongs to the source in `directory`, and compute its digest.

    Parameters:
        directory: with the `gantry.toml`; `.gitignore` and `.gantryignore` files in it are honoured.

    Raises:
        UserError: `source.too-large` with what is largest, `source.empty`, `source.unreadable`.
    """
    root = directory.resolve()
    if not root.is_dir():
        raise UserError("source.empty", f"{directory} is not a folder", where=str(directory))
    left_out: dict[str, str] = {}
    found = sorted(
        _walk(root, "", IgnoreRules(), left_out), key=lambda entry: os.fsencode(entry.path)
    )
    _check(found, bounds, root)
    tree = TreeHash()
    for entry in found:
        try:
            tree.add(entry, content_sha256(root / entry.path, entry))
        except OSError as error:
            raise _unreadable(entry.path, error) from None
    done = tree.finish()
    return PackedSource(root, done.digest, tuple(found), done.size_bytes, left_out)


def _walk(
    root: Path, directory: str, above: IgnoreRules, left_out: dict[str, str]
) -> Iterator[Entry]:
    ignored = above.enter(root, directory)
    try:
        with os.scandir(root / directory) as listing:
            items = list(listing)
    except OSError as error:
        raise _unreadable(directory, error) from None
    for item in items:
        path = f"{directory}/{item.name}" if directory else item.name
        if item.is_dir(follow_symlinks=False):
            if not is_never_source(item.name) and not ignored.match(f"{path}/"):
                yield from _walk(root, path, ignored, left_out)
        elif is_never_source(item.name) or ignored.match(path):
            continue  # a link named node_modules, the .git file of a worktree
        elif (entry := _entry(root, path, item, left_out)) is not None:
            yield entry


def _entry(root: Path, path: str, item: os.DirEntry[str], left_out: dict[str, str]) -> Entry | None:
    if item.is_symlink():
        if leads_out(path, os.fsdecode(Path(item.path).readlink())):
            left_out[path] = "is a link that leads out of the folder"
            return None
        return Entry(path, "l", 0)
    if not item.is_file():
        left_out[path] = "is neither a file nor a folder"
        return None
    try:
        reason = secret_reason(root / path)
    except OSError as error:
        raise _unreadable(path, error) from None
    if reason:
        left_out[path] = reason
        return None
    status = item.stat()
    return Entry(path, "x" if status.st_mode & stat.S_IXUSR else "f", status.st_size)


def leads_out(path: str, target: str) -> bool:
    """Whether a link at `path` with that target leads out of the tree, going by names alone."""
    if target.startswith("/") or not target:
        return True
    depth = 0
    for part in f"{path.rpartition('/')[0]}/{target}".split("/"):
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            return True
    return False


def _check(found: list[Entry], bounds: Bounds, root: Path) -> None:
    if not found:
        raise UserError(
            "source.empty",
            f"{root} has no files that belong to the source",
            hint="run it in the folder with your gantry.toml; .gitignore may leave out everything",
            where=str(root),
        )
    size_bytes = sum(entry.size_bytes for entry in found)
    if size_bytes <= bounds.size_bytes and len(found) <= bounds.files:
        return
    raise UserError(
        "source.too-large",
        f"the source has {len(found)} files and {format_size(size_bytes)}; the limit is {bounds.files} files and "
        f"{format_size(bounds.size_bytes)}. Most of it is in {_largest(found)}",
        hint="name what a build does not need in .gitignore or .gantryignore",
        where=str(root),
    )


def _largest(found: list[Entry]) -> str:
    sizes: dict[str, int] = {}
    for entry in found:
        top = entry.path.split("/", 1)[0] + ("/" if "/" in entry.path else "")
        sizes[top] = sizes.get(top, 0) + entry.size_bytes
    biggest = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:3]
    return ", ".join(f"{name} ({format_size(sizes[name])})" for name in biggest)


class _GzipSink(io.RawIOBase):
    """Compresses what the tar writes, and hands it out in pieces."""

    def __init__(self) -> None:
        super().__init__()
        # 31: a gzip header without name or time
        self._gzip = zlib.compressobj(_COMPRESSION, zlib.DEFLATED, 31)
        self._ready = bytearray()

    def write(self, data: "Buffer", /) -> int:
        self._ready += self._gzip.compress(data)
        return memoryview(data).nbytes

    def take(self) -> Iterator[bytes]:
        """What is ready, when it is worth sending."""
        if len(self._ready) >= _CHUNK_BYTES:
            yield bytes(self._ready)
            self._ready.clear()

    def finish(self) -> bytes:
        """The rest."""
        return bytes(self._ready) + self._gzip.flush()


def _changed(path: str) -> UserError:
    return UserError(
        "source.changed",
        f"{path} was altered while it was read",
        hint="stop what writes it, or name it in .gantryignore, and try again",
        where=path,
    )


def _unreadable(path: str, error: OSError) -> UserError:
    return UserError(
        "source.unreadable",
        f"{path or 'the folder'} cannot be read: {error.strerror}",
        hint="fix its permissions, or name it in .gantryignore",
        where=path,
    )
