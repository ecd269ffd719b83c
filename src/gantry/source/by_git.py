"""What git says of a folder's files, its submodules included."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gantry.kernel.units import counted
from gantry.source.git import answer, ask
from gantry.source.ignore import NEVER_SOURCE, is_never_source
from gantry.source.listing import Listing

_EXECUTABLE = "100755"
_SUBMODULE = "160000"
_SKIPPED = "S"  # not checked out: git's own word is skip-worktree
_MAX_DEPTH = 8


def list_by_git(root: Path) -> Listing | None:
    """The files of `root` that git keeps or would keep; `None` when that is not for git to say.

    Raises:
        UserError: `source.git-failed`, `source.unreadable`.
    """
    inside = ask(root, "rev-parse", "--is-inside-work-tree")
    if inside is None or inside.strip() != b"true":
        return None
    reader = _Reader(root)
    if not reader.read("", 0):
        return None
    reader.tell()
    return reader.listing


@dataclass(frozen=True, slots=True)
class _Tracked:
    """A line of git's index."""

    tag: str
    mode: str
    path: str


@dataclass(slots=True)
class _Reader:
    """Reads a repository, and those inside of it."""

    root: Path
    listing: Listing = field(default_factory=Listing)
    not_checked_out: int = 0
    by_tools: Counter[str] = field(default_factory=Counter)
    real_folders: dict[str, bool] = field(default_factory=lambda: {"": True})

    def read(self, folder: str, depth: int) -> bool:
        """What is below `folder`, the top of a repository or a folder in one. False: git leaves out all of it."""
        place = self.root / folder
        tracked = list(_tracked(place))
        if not tracked and not depth and _is_ignored(place):
            return False
        modes_count = (ask(place, "config", "--type=bool", "core.fileMode") or b"").strip()
        for item in tracked:
            self._take_tracked(folder, item, depth, by_index=modes_count == b"false")
        for path in _names(_others(place)):
            self._take_other(f"{folder}/{path}" if folder else path, depth)
        for path in _outermost(_names(_ignored(place))):
            if not any(is_never_source(part) for part in path.split("/")):
                self.listing.ignored.append(f"{folder}/{path}" if folder else path)
        return True

    def tell(self) -> None:
        """Reasons of what is not there though git has it."""
        for folder, count in self.by_tools.items():
            files = counted(count, "file")
            self.listing.left_out[folder] = f"{files} that git keeps, but a build makes them anew"
        if self.not_checked_out:
            files = counted(self.not_checked_out, "file")
            self.listing.left_out["outside the sparse checkout"] = (
                f"{files} that git did not put here"
            )

    def _take_tracked(self, folder: str, item: _Tracked, depth: int, *, by_index: bool) -> None:
        path = f"{folder}/{item.path}" if folder else item.path
        parts = path.split("/")
        made = next((end for end, part in enumerate(parts, 1) if is_never_source(part)), 0)
        if made:
            self.by_tools["/".join(parts[:made])] += 1
            return
        place = self.root / path
        here = self._is_real_folder(path.rpartition("/")[0]) and os.path.lexists(place)
        if item.tag == _SKIPPED and not here:
            self.not_checked_out += 1
        elif item.mode == _SUBMODULE:
            self._take_submodule(path, depth)
        elif here and (place.is_symlink() or not place.is_dir()):
            self.listing.paths[path] = item.mode == _EXECUTABLE if by_index else None

    def _take_submodule(self, path: str, depth: int) -> None:
        if not (self.root / path / ".git").exists():
            self.listing.missing.append(path)
        elif depth < _MAX_DEPTH:
            self.read(path, depth + 1)

    def _take_other(self, path: str, depth: int) -> None:
        """A file that git does not know yet, or a repository that lies there (with a slash at its end)."""
        if not path.endswith("/"):
            self.listing.paths[path] = None
            return
        git = self.root / path / ".git"
        if git.is_file() and "/worktrees/" in git.read_text(encoding="utf-8", errors="replace"):
            self.listing.left_out[path] = "is another worktree of a repository"
        elif depth < _MAX_DEPTH:
            self.read(path.rstrip("/"), depth + 1)

    def _is_real_folder(self, folder: str) -> bool:
        """Whether no part of `folder` is a link: git keeps nothing behind one."""
        known = self.real_folders.get(folder)
        if known is None:
            above = self._is_real_folder(folder.rpartition("/")[0])
            known = above and not (self.root / folder).is_symlink()
            self.real_folders[folder] = known
        return known


def _tracked(place: Path) -> Iterator[_Tracked]:
    before = ""
    for line in _names(ask(place, "ls-files", "-t", "-s", "-z")):
        head, _, path = line.partition("\t")
        tag, mode = head.split(" ")[:2]
        if path != before:  # while a merge is not done there are up to three of a path
            yield _Tracked(tag, mode, path)
        before = path


def _others(place: Path) -> bytes | None:
    never = [word for name in sorted(NEVER_SOURCE) for word in ("-x", name)]
    return ask(place, "ls-files", "-o", "--exclude-standard", *never, "-z")


def _ignored(place: Path) -> bytes | None:
    return ask(place, "ls-files", "-o", "-i", "--exclude-standard", "--directory", "-z")


def _outermost(paths: Iterable[str]) -> Iterator[str]:
    """`paths` without those inside of a folder among them: git names some files besides their folder."""
    folder = ""
    for path in sorted(paths):
        if not folder or not path.startswith(folder):
            yield path
            folder = path if path.endswith("/") else ""


def _is_ignored(place: Path) -> bool:
    """Whether the repository around `place` ignores all of it, as it does with folders that tools make."""
    return answer(place, "check-ignore", "-q", ".") is not None


def _names(listed: bytes | None) -> Iterator[str]:
    return (os.fsdecode(name) for name in (listed or b"").split(b"\0") if name)
