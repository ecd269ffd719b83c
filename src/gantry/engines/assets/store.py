"""Files of builds on disk: each content once, with its compressed variants, and links to them by build and by scope.

<assets>/contents/<2 hex>/<sha256>[.br|.zst|.gz]   a content and the variants that are smaller; `.packed`: all were tried
<assets>/builds, <assets>/scopes                   see `records`
<assets>/www/kept/(builds|scopes)/<name>/<path>    links to what never changes under its name
<assets>/www/changing/...                          links to the rest
<assets>/new                                       what is being written; nothing in it survives a start

Links are derived from the records: after a crash they are made anew. All changes hold one lock, because the process
that compresses makes some of them.
"""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from gantry.engines.assets import files
from gantry.engines.assets.links import align
from gantry.engines.assets.names import VARIANTS, check_name, check_prefix, is_servable
from gantry.engines.assets.protocol import of_build, of_scope
from gantry.engines.assets.records import BuildRecord, Records, divided, merged
from gantry.kernel.trees import entries, remove_tree

_FLUSH_THREADS = 16
_PACKED = ".packed"


class AssetStore:
    """The store's folder. Everything blocks; several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._contents = folder / "contents"
        self._new = folder / "new"
        self.www = folder / "www"
        self._records = Records(folder)

    def repair(self) -> None:
        """Make the folders, and finish or undo what was interrupted."""
        with self._locked():
            for path in self._new.iterdir():
                files.unlink(path)
            known = {of_build(name) for name in self._records.builds()}
            known |= {of_scope(name) for name in self._records.scopes()}
            for tree in self._trees():
                if f"{tree.parent.name}/{tree.name}" not in known:
                    remove_tree(tree)
            self._link_all()
            self._collect()

    def publish(self, build: str, root: Path, prefixes: Mapping[str, str]) -> None:
        """See `AssetServer.publish`.

        Raises:
            UserError: `assets.bad-name`, `assets.bad-prefix`.
            OSError: the disk refused.
        """
        check_name(build)
        for prefix, folder in prefixes.items():
            check_prefix(prefix, folder)
        source = f"{root} {sorted(prefixes.items())}"
        with self._locked():
            record = self._records.build(build)
            if record is None or record.source != source or not self._has(record):
                record = BuildRecord(source, self._take_in(root, prefixes))
                self._records.write_build(build, record)
            self._link(of_build(build), record.contents)

    def arrange(self, scope: str, builds: Sequence[str]) -> None:
        """See `AssetServer.arrange`.

        Raises:
            UserError: `assets.bad-name`.
            OSError: the disk refused.
        """
        check_name(scope)
        with self._locked():
            known = self._records.builds()
            wanted = tuple(dict.fromkeys(build for build in builds if build in known))
            if self._records.scopes().get(scope, ()) != wanted:
                self._records.write_scope(scope, wanted)
            self._link(of_scope(scope), merged(known[build] for build in wanted))

    def retain(self, builds: Collection[str]) -> None:
        """See `AssetServer.retain`.

        Raises:
            OSError: the disk refused.
        """
        with self._locked():
            gone = set(self._records.builds()) - set(builds)
            if not gone:
                return
            for scope, before in self._records.scopes().items():
                kept = tuple(build for build in before if build not in gone)
                if kept != before:
                    self._records.write_scope(scope, kept)
                    self._link(of_scope(scope), self._merged(kept))
            for build in gone:
                self._records.remove_build(build)
                self._link(of_build(build), {})
            self._collect()

    def builds(self) -> frozenset[str]:
        """Every published build."""
        return frozenset(self._records.builds())

    def scopes(self) -> dict[str, tuple[str, ...]]:
        """Every scope's builds, the preferred one first."""
        return self._records.scopes()

    def unpacked(self, builds: Collection[str] | None = None) -> dict[str, Path]:
        """Contents of these builds, or of all, that were not compressed yet, and where they lie."""
        records = self._records.builds()
        names = records if builds is None else set(builds) & set(records)
        wanted = {content for name in names for content in records[name].shrinkable()}
        places = {content: self._place(content) for content in sorted(wanted)}
        return {
            content: place
            for content, place in places.items()
            if place.exists() and not _beside(place, _PACKED).exists()
        }

    def add_variants(self, content: str, variants: Mapping[str, bytes]) -> None:
        """Keep the smaller variants of a content: name of the encoding -> bytes. They are served after `refresh`."""
        place = self._place(content)
        with self._locked():
            if not place.exists():
                return  # its last build has gone meanwhile
            for encoding, compressed in variants.items():
                fresh = self._new / "variant"
                files.write_new(fresh, compressed)
                files.flush(fresh)
                files.settle(fresh, _beside(place, VARIANTS[encoding]))
            files.flush(place.parent)
            _beside(place, _PACKED).touch()

    def refresh(self) -> None:
        """Link everything that should be linked."""
        with self._locked():
            self._link_all()

    def usage(self) -> tuple[int, int]:
        """Number of different contents, and bytes that they take with their variants."""
        count = size_bytes = 0
        for path in self._contents.glob("*/*"):
            count += "." not in path.name
            size_bytes += path.stat().st_size
        return count, size_bytes

    @contextmanager
    def _locked(self) -> Iterator[None]:
        for folder in (self._folder, self._contents, self._new, self.www):
            files.make_folder(folder)
        with files.locked(self._folder / "lock"):
            yield

    def _has(self, record: BuildRecord) -> bool:
        return all(self._place(content).exists() for content in record.contents.values())

    def _take_in(self, root: Path, prefixes: Mapping[str, str]) -> dict[str, str]:
        """Keep every servable file; returns path -> content."""
        taken: dict[str, Path] = {}
        found: dict[str, str] = {}
        for path, source in _sources(root, prefixes):
            fresh = self._new / str(len(found))
            found[path], _ = files.copy_in(source, fresh)
            if not self._place(found[path]).exists():
                taken[found[path]] = fresh
        self._keep(taken)
        return found

    def _keep(self, taken: Mapping[str, Path]) -> None:
        """Flush at once from many threads: the file system then writes its journal once for many files."""
        with ThreadPoolExecutor(_FLUSH_THREADS) as threads:
            list(threads.map(files.flush, taken.values()))
            for content, fresh in taken.items():
                files.settle(fresh, self._place(content))
            list(threads.map(files.flush, {self._place(name).parent for name in taken}))
        for path in self._new.iterdir():
            files.unlink(path)

    def _link_all(self) -> None:
        for name, record in self._records.builds().items():
            self._link(of_build(name), record.contents)
        for name, builds in self._records.scopes().items():
            self._link(of_scope(name), self._merged(builds))

    def _merged(self, builds: Sequence[str]) -> dict[str, str]:
        found = (self._records.build(build) for build in builds)
        return merged(record for record in found if record is not None)

    def _link(self, whose: str, contents: Mapping[str, str]) -> None:
        kept, changing = divided(
            {path: name for path, name in contents.items() if self._place(name).exists()}
        )
        for folder, wanted in (("kept", kept), ("changing", changing)):
            align(self.www / folder / whose, wanted, self._place, self._new / "link")

    def _trees(self) -> list[Path]:
        return [*self.www.glob("*/builds/*"), *self.www.glob("*/scopes/*")]

    def _collect(self) -> None:
        """Delete contents that no build has."""
        records = self._records.builds().values()
        used = {content for record in records for content in record.contents.values()}
        for path in self._contents.glob("*/*"):
            if path.name.partition(".")[0] not in used:
                files.unlink(path)

    def _place(self, content: str) -> Path:
        return self._contents / content[:2] / content


def _beside(place: Path, suffix: str) -> Path:
    return place.with_name(place.name + suffix)


def _sources(root: Path, prefixes: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """URL path, without the leading slash, and file of everything that is served."""
    real = os.path.realpath(root)
    for prefix, folder in prefixes.items():
        place = Path(real, folder)
        # A link on the way to the folder could lead out of the artifact.
        if place.is_dir() and os.path.realpath(place) == os.path.normpath(place):
            for entry in entries(place):
                path = f"{prefix}/{entry.path}".lstrip("/")
                if entry.kind != "l" and all(map(is_servable, entry.path.split("/"))):
                    yield path, place / entry.path
