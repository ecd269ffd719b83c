"""Packing a project's directory: its digest, its files, and a gzip tar as a stream of bytes."""

import hashlib
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.kernel.errors import UserError
from gantry.kernel.trees import Entry, TreeHash, content_sha256
from gantry.kernel.units import format_size
from gantry.source.env_files import EnvFiles
from gantry.source.ignore import IgnoreRules, is_env_file, is_never_source, secret_reason

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
        contents: path -> what is sent instead of the file's own content.
    """

    root: Path
    digest: str
    entries: tuple[Entry, ...]
    size_bytes: int
    left_out: Mapping[str, str]
    contents: Mapping[str, bytes] = field(default_factory=dict)

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
        path, content = self.root / entry.path, self.contents.get(entry.path)
        info = tarfile.TarInfo(entry.path)
        info.mode = 0o755 if entry.kind == "x" else 0o644
        try:
            if entry.kind == "l":
                info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
                tar.addfile(info)
                return
            if content is not None:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
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
    walk = _Walk(root)
    found = sorted(walk.entries("", IgnoreRules()), key=lambda entry: os.fsencode(entry.path))
    _check(found, bounds, root)
    tree = TreeHash()
    for entry in found:
        content = walk.contents.get(entry.path)
        if content is not None:
            tree.add(entry, hashlib.sha256(content).digest())
            continue
        try:
            tree.add(entry, content_sha256(root / entry.path, entry))
        except OSError as error:
            raise _unreadable(entry.path, error) from None
    done = tree.finish()
    return PackedSource(
        root, done.digest, tuple(found), done.size_bytes, walk.left_out, walk.contents
    )


@dataclass(slots=True)
class _Walk:
    """One pass over a directory.

    Attributes:
        left_out: path -> reason, of what is left out though no ignore file says so; what people must know of.
        contents: path -> what is sent instead of the file's own content.
    """

    root: Path
    left_out: dict[str, str] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    env_files: EnvFiles = field(init=False)

    def __post_init__(self) -> None:
        self.env_files = EnvFiles(self.root)

    def entries(self, directory: str, above: IgnoreRules) -> Iterator[Entry]:
        """What is packed below `directory`."""
        ignored = above.enter(self.root, directory)
        try:
            with os.scandir(self.root / directory) as listing:
                items = list(listing)
        except OSError as error:
            raise _unreadable(directory, error) from None
        for item in items:
            path = f"{directory}/{item.name}" if directory else item.name
            if item.is_dir(follow_symlinks=False):
                if not is_never_source(item.name) and not ignored.match(f"{path}/"):
                    yield from self.entries(path, ignored)
            elif is_never_source(item.name) or ignored.match(path):
                continue  # a link named node_modules, the .git file of a worktree
            elif (entry := self._entry(path, item)) is not None:
                yield entry

    def _entry(self, path: str, item: os.DirEntry[str]) -> Entry | None:
        if item.is_symlink():
            if leads_out(path, os.fsdecode(Path(item.path).readlink())):
                self.left_out[path] = "is a link that leads out of the folder"
                return None
            return Entry(path, "l", 0)
        if not item.is_file():
            self.left_out[path] = "is neither a file nor a folder"
            return None
        try:
            return self._env_file(path) if is_env_file(item.name) else self._file(path, item)
        except OSError as error:
            raise _unreadable(path, error) from None

    def _file(self, path: str, item: os.DirEntry[str]) -> Entry | None:
        if reason := secret_reason(self.root / path):
            self.left_out[path] = reason
            return None
        status = item.stat()
        return Entry(path, "x" if status.st_mode & stat.S_IXUSR else "f", status.st_size)

    def _env_file(self, path: str) -> Entry | None:
        found = self.env_files.read(path)
        if found.left_out:
            self.left_out[path] = found.left_out
        if not found.content:
            return None
        self.contents[path] = found.content
        return Entry(path, "f", len(found.content))


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
