"""Folders as values: one digest for a tree, and copies of trees that are cheap or that nobody can alter.

Only regular files and symbolic links count. Links are never followed, so a tree that untrusted code wrote can be
handled by a privileged process once that code no longer runs.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or link of a tree.

    Attributes:
        path: relative, with forward slashes.
        kind: `f` a file, `x` an executable file, `l` a symbolic link.
    """

    path: str
    kind: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TreeDigest:
    """What identifies a tree."""

    digest: str
    files: int
    size_bytes: int


class TreeHash:
    """SHA-256 over kinds, paths and contents. Feed entries in the order of their paths' bytes."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._files = 0
        self._size_bytes = 0

    def add(self, entry: Entry, content_sha256: bytes) -> None:
        """One more entry; of a link the content is its target."""
        name = os.fsencode(entry.path)
        self._hash.update(b"%c %d %b\0" % (ord(entry.kind), len(name), name) + content_sha256)
        self._files += 1
        self._size_bytes += entry.size_bytes

    def finish(self) -> TreeDigest:
        """The digest of everything that was added."""
        return TreeDigest(self._hash.hexdigest(), self._files, self._size_bytes)


def entries(root: Path) -> list[Entry]:
    """Every file and link below `root`, in the order that digests need. Sockets, pipes and devices are left out."""
    return sorted(_scan(str(root), ""), key=lambda entry: os.fsencode(entry.path))


def tree_digest(root: Path) -> TreeDigest:
    """The digest of `root`: the same tree has the same one on any machine."""
    digest = TreeHash()
    for entry in entries(root):
        digest.add(entry, content_sha256(root / entry.path, entry))
    return digest.finish()


def content_sha256(path: Path, entry: Entry) -> bytes:
    """The digest of one file's content, or of a link's target."""
    if entry.kind == "l":
        return hashlib.sha256(os.fsencode(path.readlink())).digest()
    content = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            content.update(chunk)
    return content.digest()


def copy_tree(source: Path, target: Path, *, owner: int | None = None) -> None:
    """A writable copy; `target` may exist, and then files are added to it.

    Parameters:
        owner: user and group of everything new; `None` leaves them as they are made.
    """
    _transfer(str(source), str(target), owner, link=_never, private=_none, left_out=_none)


def link_tree(
    source: Path,
    target: Path,
    *,
    owner: int | None,
    writer: int | None = None,
    private: Callable[[str], bool] = lambda _name: False,
    left_out: Callable[[str], bool] = lambda _path: False,
) -> None:
    """Like `copy_tree`, but files that `writer` cannot alter become hard links: nearly free. Others are copied.

    Parameters:
        writer: the user who will work in `target`; `None` is the present one, who may write to all that has a write bit.
        private: names of folders whose files are copied always, because somebody will write to them.
        left_out: folders of `source`, by their whole path, that are passed over.
    """

    def link(status: os.stat_result) -> bool:
        return is_sealed(status, writer)

    _transfer(str(source), str(target), owner, link=link, private=private, left_out=left_out)


def is_sealed(status: os.stat_result, writer: int | None) -> bool:
    """Whether `writer` cannot alter a file: nobody can, or only its owner, who is somebody else."""
    if not status.st_mode & 0o222:
        return True
    return writer is not None and status.st_uid != writer and not status.st_mode & 0o022


def seal_tree(root: Path) -> None:
    """Make every file read-only (0444 or 0555) and every folder 0555; times stay."""
    for name, _, files in os.walk(root, topdown=False):
        folder = Path(name)
        for file in files:
            path = folder / file
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                path.chmod(0o555 if status.st_mode & stat.S_IXUSR else 0o444)
        folder.chmod(0o555)


def give_tree(root: Path, owner: int) -> None:
    """Give everything to `owner`, who alone may write to it (0644 or 0755); times stay.

    To others the files are as sealed as read-only ones, and a copy that one of them makes is theirs to alter.
    """
    for name, _, files in os.walk(root, topdown=False):
        folder = Path(name)
        for file in files:
            path = folder / file
            status = path.lstat()
            give(path, owner)
            if stat.S_ISREG(status.st_mode):
                path.chmod(0o755 if status.st_mode & stat.S_IXUSR else 0o644)
        give(folder, owner)
        folder.chmod(0o755)


def remove_tree(path: Path) -> None:
    """Delete a tree, a read-only one too. One that does not exist is ignored."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        for folder, _, _ in os.walk(
            path
        ):  # without write permission on a folder its files cannot go
            Path(folder).chmod(0o700)
        shutil.rmtree(path)


def give(path: Path, owner: int | None) -> None:
    """Make `owner` user and group of a file, a folder or a link itself; `None` leaves it alone."""
    if owner is not None:
        os.lchown(path, owner, owner)


def _scan(folder: str, prefix: str) -> Iterator[Entry]:
    with os.scandir(folder) as found:
        for item in found:
            path = prefix + item.name
            if item.is_symlink():
                yield Entry(path, "l", 0)
            elif item.is_dir():
                yield from _scan(item.path, path + "/")
            elif item.is_file():
                status = item.stat()
                kind = "x" if status.st_mode & stat.S_IXUSR else "f"
                yield Entry(path, kind, status.st_size)


def _transfer(
    source: str,
    target: str,
    owner: int | None,
    *,
    link: Callable[[os.stat_result], bool],
    private: Callable[[str], bool],
    left_out: Callable[[str], bool],
) -> None:
    Path(target).mkdir(parents=True, exist_ok=True)
    give(Path(target), owner)
    with os.scandir(source) as found:
        for item in found:  # texts, not paths: there are tens of thousands
            to = f"{target}/{item.name}"
            if item.is_symlink():
                _clear(to)
                Path(to).symlink_to(Path(item.path).readlink())
                give(Path(to), owner)
            elif item.is_dir():
                if left_out(item.path):
                    continue
                deeper = _never if private(item.name) else link
                _transfer(item.path, to, owner, link=deeper, private=private, left_out=left_out)
            elif item.is_file():
                if link(item.stat()):
                    _link_file(item.path, to)
                else:
                    _copy_file(item.path, to, owner)


def _never(_status: os.stat_result) -> bool:
    return False


def _none(_folder: str) -> bool:
    return False


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        _clear(target)
        os.link(source, target)


def _copy_file(source: str, target: str, owner: int | None) -> None:
    _clear(target)
    with (
        Path(source).open("rb", buffering=0) as reader,
        Path(target).open("xb", buffering=0) as writer,
    ):
        status = os.fstat(reader.fileno())
        rest = status.st_size
        # The kernel copies, and shares the blocks where the file system can.
        while rest and (copied := os.copy_file_range(reader.fileno(), writer.fileno(), rest)):
            rest -= copied
        os.fchmod(writer.fileno(), 0o755 if status.st_mode & stat.S_IXUSR else 0o644)
        os.utime(writer.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
        if owner is not None:
            os.fchown(writer.fileno(), owner, owner)


def _clear(target: str) -> None:
    """What is there is never written through: it may be a link."""
    Path(target).unlink(missing_ok=True)
