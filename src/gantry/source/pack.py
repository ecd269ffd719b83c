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
from gantry.kernel.trees import Entry, TreeDigest, TreeHash, content_sha256
from gantry.kernel.units import counted, format_size
from gantry.source.env_files import EnvFiles
from gantry.source.ignore import is_env_file, secret_reason
from gantry.source.lfs import is_pointer, refuse_pointers
from gantry.source.listing import Ignored, list_source, measure

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_CHUNK_BYTES = 256 * 1024
MANIFEST = "gantry.toml"
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
        left_out: path -> reason, of what is left out though no ignore file names it: secrets, links that lead out.
        ignored: how much ignore files leave out.
        contents: path -> what is sent instead of the file's own content.
    """

    root: Path
    digest: str
    entries: tuple[Entry, ...]
    size_bytes: int
    left_out: Mapping[str, str]
    ignored: Ignored = field(default_factory=Ignored)
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


def pack(
    directory: Path, bounds: Bounds = USUAL_BOUNDS, *, manifest: bytes | None = None
) -> PackedSource:
    """Find what belongs to the source in `directory`, and compute its digest.

    Parameters:
        directory: in a repository, what git keeps or would keep of it; else what `.gitignore` files do not name.
            `.gantryignore` files have the last word.
        manifest: content of the `gantry.toml` at the top, when that lies in another folder or has another content.

    Raises:
        UserError: `source.too-large` with what is largest, `source.empty`, `source.unreadable`, `source.git-failed`,
            `source.submodule-missing`, `source.lfs-pointer`.
    """
    root = directory.resolve()
    if not root.is_dir():
        raise UserError("source.empty", f"{directory} is not a folder", where=str(directory))
    try:
        listing = list_source(root)
    except OSError as error:
        raise _unreadable(_inside(root, error), error) from None
    collected = _Collected(root, listing.left_out)
    for path, executable in listing.paths.items():
        collected.add(path, executable=executable)
    refuse_pointers(root, collected.pointers)
    if manifest is not None:
        collected.replace(MANIFEST, manifest)
    found = sorted(collected.entries.values(), key=lambda entry: os.fsencode(entry.path))
    _check(found, bounds, root)
    tree = _hash(root, found, collected.contents)
    return PackedSource(
        root, tree.digest, tuple(found), tree.size_bytes, dict(sorted(collected.left_out.items())),
        measure(root, listing.ignored), collected.contents,
    )  # fmt: skip


def _hash(root: Path, found: list[Entry], contents: Mapping[str, bytes]) -> TreeDigest:
    tree = TreeHash()
    for entry in found:
        content = contents.get(entry.path)
        if content is not None:
            tree.add(entry, hashlib.sha256(content).digest())
            continue
        try:
            tree.add(entry, content_sha256(root / entry.path, entry))
        except OSError as error:
            raise _unreadable(entry.path, error) from None
    return tree.finish()


@dataclass(slots=True)
class _Collected:
    """What becomes of the files that were found.

    Attributes:
        left_out: path -> reason, of what is left out though no ignore file says so; what people must know of.
        contents: path -> what is sent instead of the file's own content.
        pointers: files that stand for a content which Git LFS has not fetched.
    """

    root: Path
    left_out: dict[str, str]
    contents: dict[str, bytes] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    pointers: list[str] = field(default_factory=list)
    env_files: EnvFiles = field(init=False)

    def __post_init__(self) -> None:
        self.env_files = EnvFiles(self.root)

    def add(self, path: str, *, executable: bool | None) -> None:
        """A file that belongs to the source, unless it must not leave this machine."""
        try:
            entry = self._entry(path, executable=executable)
        except OSError as error:
            raise _unreadable(path, error) from None
        if entry is not None:
            self.entries[path] = entry

    def replace(self, path: str, content: bytes) -> None:
        """Send `content` as the file at `path`, whether there is one or not."""
        self.contents[path] = content
        self.entries[path] = Entry(path, "f", len(content))

    def _entry(self, path: str, *, executable: bool | None) -> Entry | None:
        place = self.root / path
        status = place.lstat()
        if stat.S_ISLNK(status.st_mode):
            if reason := _link_reason(path, os.fsdecode(place.readlink())):
                self.left_out[path] = reason
                return None
            return Entry(path, "l", 0)
        if not stat.S_ISREG(status.st_mode):
            self.left_out[path] = "is neither a file nor a folder"
            return None
        if is_env_file(place.name):
            return self._env_file(path)
        if reason := secret_reason(place):
            self.left_out[path] = reason
            return None
        if is_pointer(place, status.st_size):
            self.pointers.append(path)
        runs = status.st_mode & stat.S_IXUSR if executable is None else executable
        return Entry(path, "x" if runs else "f", status.st_size)

    def _env_file(self, path: str) -> Entry | None:
        found = self.env_files.read(path)
        if found.left_out:
            self.left_out[path] = found.left_out
        if not found.content:
            return None
        self.contents[path] = found.content
        return Entry(path, "f", len(found.content))


def _link_reason(path: str, target: str) -> str:
    """Why a link is not packed; empty when it is."""
    if leads_out(path, target):
        return (
            "is a link that leads out of the folder; to have what it leads to, deploy the folder around both, with "
            "root in [project]"
        )
    if ".git" in target.split("/"):
        return "is a link into .git, which stays on this machine"
    return ""


def _inside(root: Path, error: OSError) -> str:
    name = os.fsdecode(error.filename) if error.filename else ""
    return name.removeprefix(str(root)).lstrip("/")


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
        f"the source has {counted(len(found), 'file')} and {format_size(size_bytes)}; the limit is {counted(bounds.files, 'file')} and "
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
