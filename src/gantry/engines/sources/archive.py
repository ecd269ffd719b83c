"""Packing a working folder for the upload: its digest, its files, and a gzip tar as a stream of bytes."""

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

from gantry.engines.sources.env_files import EnvFiles
from gantry.engines.sources.ignoring import Ignores, is_env_file, is_never_source, secret_reason
from gantry.kernel.errors import UserError
from gantry.kernel.trees import Entry, TreeHash, content_sha256
from gantry.kernel.units import format_size

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_CHUNK_BYTES = 256 * 1024
# Sources are small and the way is short: level 1 is four times as fast as 6 for a tenth more bytes.
_COMPRESSION = 1


@dataclass(frozen=True, slots=True)
class Bounds:
    """The largest source that is taken.

    Attributes:
        size_bytes: of all files, not compressed.
    """

    size_bytes: int = 500_000_000
    files: int = 50_000


USUAL_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Pack:
    """A folder, ready for the upload.

    Attributes:
        digest: the same that the store computes from what it unpacks.
        left_out: path -> why, of secrets and of links that lead out; not what ignore files name.
        contents: path -> what is sent instead of the file's own content.
    """

    root: Path
    digest: str
    entries: tuple[Entry, ...]
    size_bytes: int
    left_out: Mapping[str, str]
    contents: Mapping[str, bytes]

    @property
    def files(self) -> tuple[str, ...]:
        """Paths, sorted."""
        return tuple(entry.path for entry in self.entries)

    def chunks(self) -> Iterator[bytes]:
        """The gzip tar. The same folder gives the same bytes.

        Raises:
            UserError: `source.changed` a file was altered since the digest was computed.
        """
        sink = _Sink()
        with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT, bufsize=512) as tar:
            for entry in self.entries:
                yield from self._add(tar, sink, entry)
        yield sink.finish()

    def _add(self, tar: tarfile.TarFile, sink: "_Sink", entry: Entry) -> Iterator[bytes]:
        path, content = self.root / entry.path, self.contents.get(entry.path)
        info = tarfile.TarInfo(entry.path)
        info.mode = 0o755 if entry.kind == "x" else 0o644
        try:
            if entry.kind == "l":
                info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
                tar.addfile(info)
            elif content is not None:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                with path.open("rb") as file:
                    info.size = os.fstat(file.fileno()).st_size
                    if info.size != entry.size_bytes:
                        raise _changed(entry.path)
                    tar.addfile(info, file)
        except OSError:
            raise _changed(entry.path) from None
        yield from sink.take()


def pack(folder: Path, bounds: Bounds = USUAL_BOUNDS) -> Pack:
    """Look at `folder` and compute its digest.

    Parameters:
        folder: with the `gantry.toml`; `.gitignore` and `.gantryignore` files in it are honoured.

    Raises:
        UserError: `source.too-large` with the largest folders, `source.empty`, `source.unreadable`.
    """
    root = folder.resolve()
    if not root.is_dir():
        raise UserError("source.empty", f"{folder} is not a folder", where=str(folder))
    walk = _Walk(root)
    found = sorted(walk.entries("", Ignores()), key=lambda entry: os.fsencode(entry.path))
    _check(found, bounds, root)
    digest = TreeHash()
    for entry in found:
        content = walk.contents.get(entry.path)
        try:
            digest.add(
                entry,
                hashlib.sha256(content).digest()
                if content is not None
                else content_sha256(root / entry.path, entry),
            )
        except OSError as error:
            raise _unreadable(entry.path, error) from None
    done = digest.finish()
    return Pack(
        root, done.digest, tuple(found), done.size_bytes, walk.left_out, contents=walk.contents
    )


@dataclass(slots=True)
class _Walk:
    """One pass over a folder.

    Attributes:
        left_out: path -> why, of what is left out though no ignore file says so. Only what people must know of.
        contents: path -> what is sent instead of the file's own content.
    """

    root: Path
    left_out: dict[str, str] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    env_files: EnvFiles = field(init=False)

    def __post_init__(self) -> None:
        self.env_files = EnvFiles(self.root)

    def entries(self, folder: str, above: Ignores) -> Iterator[Entry]:
        """What is packed below `folder`."""
        ignores = above.enter(self.root, folder)
        try:
            with os.scandir(self.root / folder) as listing:
                items = list(listing)
        except OSError as error:
            raise _unreadable(folder, error) from None
        for item in items:
            path = f"{folder}/{item.name}" if folder else item.name
            if item.is_dir(follow_symlinks=False):
                if not is_never_source(item.name) and not ignores.match(f"{path}/"):
                    yield from self.entries(path, ignores)
            elif is_never_source(item.name) or ignores.match(path):
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
            return self._env_entry(path) if is_env_file(item.name) else self._file(path, item)
        except OSError as error:
            raise _unreadable(path, error) from None

    def _file(self, path: str, item: os.DirEntry[str]) -> Entry | None:
        if reason := secret_reason(self.root / path):
            self.left_out[path] = reason
            return None
        status = item.stat()
        return Entry(path, "x" if status.st_mode & stat.S_IXUSR else "f", status.st_size)

    def _env_entry(self, path: str) -> Entry | None:
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
        f"the source has {len(found)} files and {format_size(size_bytes)}; at most {bounds.files} files and "
        f"{format_size(bounds.size_bytes)} are taken. Most of it is in {_largest(found)}",
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


class _Sink(io.RawIOBase):
    """Compresses what the tar writes, and hands it out in pieces."""

    def __init__(self) -> None:
        super().__init__()
        self._gzip = zlib.compressobj(
            _COMPRESSION, zlib.DEFLATED, 31
        )  # 31: a gzip header without name or time
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
        hint="mend its permissions, or name it in .gantryignore",
        where=path,
    )
