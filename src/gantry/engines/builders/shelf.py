"""Finished artifacts on disk: put there in one step, found by a request's key, verified before the first use.

<artifacts>/<digest>/artifact.json, app/..., workspace/... where commands need more than what is served
<artifacts>/.keys/<key>     the digest that a request with that key gave
"""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

from gantry.engines.builders.plan import BuildPlan
from gantry.kernel.trees import TreeDigest, remove_tree, tree_digest

_DIGEST_LENGTH = 64
_FLUSH_THREADS = 16
_WORKSPACE = "workspace"
_STARTED_BEFORE = ("framework", "web", "env", "assets", "engine")
_STARTED = ("framework", "web", "folder", "root", "env", "assets", "engine", "versions")


class Shelf:
    """The folder of artifacts, as plain files and dictionaries."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def staging(self, build_id: str) -> Path:
        """An empty folder to collect into, on the same file system."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.abandon(build_id)
        new = self._folder / f".new-{build_id}"
        (new / "app").mkdir(parents=True)
        return new

    def abandon(self, build_id: str) -> None:
        """Delete what a build was collecting when it was killed."""
        remove_tree(self._folder / f".new-{build_id}")

    def keep(
        self,
        staging: Path,
        plan: BuildPlan,
        key: str,
        root: str = "",
        *,
        tools: Mapping[str, str] = MappingProxyType({}),
    ) -> Mapping[str, object]:
        """Make a collected folder an artifact; returns its record.

        Parameters:
            root: the product's folder in the workspace.
            tools: what it was built with, name -> version.
        """
        record = _record(plan, _trees(staging), root, tools)
        (staging / "artifact.json").write_text(json.dumps(record, indent=1))
        _flush(staging)
        place = self._folder / str(record["digest"])
        if place.exists() and not self.is_whole(place.name):
            self.set_aside(place.name)
        if place.exists():
            remove_tree(staging)  # the same content was built before
        else:
            staging.rename(place)
            _fsync(self._folder)
        self.remember(key, str(record["digest"]))
        return record

    def remember(self, key: str, digest: str) -> None:
        """Note which artifact a key gave."""
        keys = self._folder / ".keys"
        keys.mkdir(exist_ok=True)
        (keys / f".{key}").write_text(digest)
        (keys / f".{key}").replace(keys / key)
        (keys / f"{key}.tested").unlink(missing_ok=True)

    def digest_of(self, key: str) -> str | None:
        """The artifact that a key gave, if it is still kept."""
        try:
            digest = (self._folder / ".keys" / key).read_text()
        except FileNotFoundError:
            return None
        kept = len(digest) == _DIGEST_LENGTH and (self._folder / digest).is_dir()
        return digest if kept else None

    def set_tested(self, key: str) -> None:
        """The project's tests passed on what this key gave."""
        (self._folder / ".keys" / f"{key}.tested").touch()

    def is_tested(self, key: str) -> bool:
        """Whether they did."""
        return (self._folder / ".keys" / f"{key}.tested").exists()

    def read(self, digest: str) -> Mapping[str, object] | None:
        """The record of an artifact; `None` when there is no such, or no readable one."""
        try:
            value = json.loads((self._folder / digest / "artifact.json").read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def is_whole(self, digest: str) -> bool:
        """Whether the stored files are what was built. Reads all of them."""
        record = self.read(digest)
        if record is None:
            return False
        return _digest(_trees(self._folder / digest), record) == digest

    def root(self, digest: str) -> Path:
        """The folder of an artifact's files."""
        return self._folder / digest / "app"

    def workspace(self, digest: str) -> Path | None:
        """The whole tree as it was built, where it is kept."""
        place = self._folder / digest / _WORKSPACE
        return place if place.is_dir() else None

    def sizes(self) -> dict[str, int]:
        """Digest -> bytes."""
        if not self._folder.is_dir():
            return {}
        places = [place.name for place in self._folder.iterdir()]
        names = [name for name in places if len(name) == _DIGEST_LENGTH]
        records = {name: self.read(name) for name in names}
        return {
            name: int(str(record["size_bytes"])) if record is not None else 0
            for name, record in records.items()
        }

    def set_aside(self, digest: str) -> Path:
        """Take a damaged artifact out of use, for people to look at. The one before it is deleted."""
        place = self._folder / f".corrupt-{digest}"
        remove_tree(place)
        (self._folder / digest).rename(place)
        return place

    def remove(self, digest: str) -> None:
        """Delete an artifact and the keys that lead to it."""
        place = self._folder / digest
        if len(digest) != _DIGEST_LENGTH or not place.is_dir():
            return
        gone = self._folder / f".gone-{digest}"
        remove_tree(gone)
        place.rename(gone)
        for key in (self._folder / ".keys").glob("*"):
            if key.suffix != ".tested" and key.read_text() == digest:
                key.unlink()
                key.with_name(f"{key.name}.tested").unlink(missing_ok=True)
        remove_tree(gone)


def _trees(place: Path) -> tuple[TreeDigest, ...]:
    """Of what is served, and of the workspace where there is one."""
    return tuple(
        tree_digest(place / name) for name in ("app", _WORKSPACE) if (place / name).is_dir()
    )


def _record(
    plan: BuildPlan, found: tuple[TreeDigest, ...], root: str, tools: Mapping[str, str]
) -> dict[str, object]:
    record: dict[str, object] = {
        "framework": plan.framework,
        "web": list(plan.web),
        "folder": plan.folder,
        "root": root,
        "env": dict(plan.env),
        "assets": dict(plan.assets),
        "engine": plan.engine,
        "versions": asdict(plan.versions),
    }
    return {
        "digest": _digest(found, record),
        **record,
        "tools": dict(tools),
        "reasons": [*plan.reasons, *plan.notes],
        "size_bytes": found[0].size_bytes,
        "files": found[0].files,
    }


def _digest(found: tuple[TreeDigest, ...], record: Mapping[str, object]) -> str:
    """Two artifacts with equal files that are started differently are two artifacts."""
    names: tuple[str, ...] = _STARTED
    if "versions" in record:
        trees: object = [tree.digest for tree in found]
    else:  # built by a version of Gantry that knew one tree and one Node: its releases may still run
        trees, names = found[0].digest, _STARTED_BEFORE
    facts = json.dumps([trees, *(record.get(name) for name in names)], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()


def _flush(folder: Path) -> None:
    """Bring every file to the disk: an artifact that is named must be whole also after a power cut.

    At once from many threads: the file system then writes its journal once for many files.
    """
    files, folders = [], []
    for path, _, names in os.walk(folder, topdown=False):
        folders.append(Path(path))
        for name in names:
            status = Path(path, name).lstat()
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                files.append(Path(path, name))
    with ThreadPoolExecutor(_FLUSH_THREADS) as threads:
        list(threads.map(_fsync, files))
        list(threads.map(_fsync, folders))


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
