"""The folder that is built in: a copy of the snapshot, installed packages from the store, caches from the build before.

Everything here runs while no untrusted program does, and never goes through a symbolic link that one may have left.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from gantry.engines.builders.plan import Cache
from gantry.kernel.trees import copy_tree, give_tree, link_tree, remove_tree

_KEPT_PACKAGES = 4
_MAX_DOWNLOADS_BYTES = 3_000_000_000
# A folder with a dot inside node_modules is written to by builds (.cache, .prisma, .vite); pnpm keeps packages in one.
_DOT_FOLDERS_OF_PACKAGES = (".pnpm", ".store")


def prepare(source: Path, work: Path, owner: int | None) -> None:
    """A fresh copy of the snapshot, owned by the one who builds."""
    remove_tree(work)
    copy_tree(source, work, owner=owner)


def inside(folder: Path, path: str) -> Path | None:
    """`path` below `folder`; `None` when a link on the way leads out."""
    place = folder / path
    real, top = os.path.realpath(place), os.path.realpath(folder)
    return place if real == top or real.startswith(top + os.sep) else None


class PackageStore:
    """Installed packages of one project, under the hash of what they depend on.

    Its files are the present user's, who alone may write to them: a build links them and cannot alter them, and what it
    copies is its own. Where the one who builds is the present user, each build gets copies.

    Parameters:
        owner: who builds; `None` is the present user.
        name: of the folders that packages are in.
    """

    def __init__(self, folder: Path, owner: int | None, name: str = "node_modules") -> None:
        self._folder = folder
        self._owner = owner
        self._name = name

    def restore(self, key: str, work: Path) -> bool:
        """Put the packages into `work`; whether they were there."""
        stored = self._folder / key
        if not stored.is_dir():
            return False
        try:
            self._link(stored, work)
            os.utime(stored)
        except FileNotFoundError:  # another build has just tidied it away
            for folder in _package_folders(work, self._name):
                remove_tree(folder)
            return False
        return True

    def adopt(self, key: str, work: Path) -> None:
        """Move freshly installed packages into the store, and link them back."""
        found = list(_package_folders(work, self._name))
        if not found:
            return
        new = self._folder / f".new-{os.getpid()}"
        remove_tree(new)
        for folder in found:
            place = new / folder.relative_to(work)
            place.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(place)
        if self._owner is not None:
            give_tree(new, os.geteuid())
        stored = self._folder / key
        if stored.exists():
            remove_tree(stored)
        new.rename(stored)
        self._link(stored, work)
        self._tidy()

    def _link(self, stored: Path, work: Path) -> None:
        link_tree(stored, work, owner=self._owner, writer=self._owner, private=_is_private)

    def _tidy(self) -> None:
        kept = [place for place in self._folder.iterdir() if not place.name.startswith(".")]
        kept.sort(key=lambda place: place.stat().st_mtime, reverse=True)
        for place in kept[_KEPT_PACKAGES:]:
            gone = place.with_name(f".gone-{place.name}")
            place.rename(gone)
        for place in self._folder.glob(".gone-*"):
            remove_tree(place)


def _is_private(name: str) -> bool:
    return name.startswith(".") and name not in _DOT_FOLDERS_OF_PACKAGES


def _package_folders(work: Path, name: str) -> Iterator[Path]:
    """Every folder of that name that is not inside another one."""
    for folder, folders, _ in os.walk(work):
        if name in folders:
            folders.remove(name)
            place = Path(folder) / name
            if not place.is_symlink():
                yield place


class Caches:
    """Folders that are kept from one build of a project to the next."""

    def __init__(self, folder: Path, product: Path, owner: int | None) -> None:
        self._folder = folder
        self._product = product
        self._owner = owner

    def shared(self, cache: Cache) -> Path:
        """The folder of a cache that several builds use at once; emptied when it has grown too large."""
        place = self._folder / cache.name
        if place.is_dir() and size_bytes(place) > _MAX_DOWNLOADS_BYTES:
            remove_tree(place)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._owner is not None:
            os.chown(place, self._owner, self._owner)
        return place

    def take(self, cache: Cache) -> None:
        """Move a cache into the build. Of two builds at the same time the second starts without."""
        place = inside(self._product, cache.target)
        if place is None:
            return
        self._make_parents(place.parent)
        with contextlib.suppress(FileNotFoundError):
            (self._folder / cache.name).rename(place)

    def give_back(self, cache: Cache) -> None:
        """Keep a cache after a build that succeeded; one that failed may have been led astray by it."""
        place = inside(self._product, cache.target)
        if place is None or not place.is_dir() or place.is_symlink():
            return
        kept, old = self._folder / cache.name, self._folder / f".old-{cache.name}-{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            kept.rename(old)
        for name in cache.without:
            if (place / name).is_symlink() or (place / name).exists():
                remove_tree(place / name)
        kept.parent.mkdir(parents=True, exist_ok=True)
        place.rename(kept)
        remove_tree(old)

    def _make_parents(self, folder: Path) -> None:
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
        for place in reversed(missing):
            place.mkdir()
            if self._owner is not None:
                os.chown(place, self._owner, self._owner)


def clear(folder: Path) -> int:
    """Delete the caches of a project with one rename, so that no build finds half of them; their size in bytes."""
    gone = folder.with_name(f".cleared-{folder.name}")
    remove_tree(gone)  # of a clearing that was interrupted
    try:
        folder.rename(gone)
    except FileNotFoundError:
        return 0
    cleared_bytes = size_bytes(gone)
    remove_tree(gone)
    return cleared_bytes


def size_bytes(folder: Path) -> int:
    """Of everything below `folder`; 0 when it is not there. Files of several names count once."""
    total, seen = 0, set()
    for path, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                status = Path(path, name).lstat()
                if status.st_nlink > 1 and status.st_ino in seen:
                    continue
                seen.add(status.st_ino)
                total += status.st_size
    return total
