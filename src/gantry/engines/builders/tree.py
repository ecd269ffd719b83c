"""What detection may look at: a few small files of a product's folder."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MAX_BYTES = 32_000_000


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder of untrusted files. Links that lead out of it are not followed."""

    root: Path

    def _find(self, path: str) -> Path | None:
        place = self.root / path
        root = os.path.realpath(self.root)
        real = os.path.realpath(place)
        return Path(real) if real == root or real.startswith(root + os.sep) else None

    def has(self, path: str) -> bool:
        """Whether there is a file or folder of that name."""
        place = self._find(path)
        return place is not None and place.exists()

    def text(self, path: str) -> str | None:
        """A small text file; `None` when it is not there, too large or not a file."""
        place = self._find(path)
        if place is None or not place.is_file() or place.stat().st_size > _MAX_BYTES:
            return None
        return place.read_text(encoding="utf-8", errors="replace")

    def json(self, path: str) -> Mapping[str, object]:
        """A JSON object; empty when there is none or it cannot be read."""
        text = self.text(path)
        try:
            value = json.loads(text) if text else {}
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def names(self, path: str = "") -> tuple[str, ...]:
        """What lies in a folder, sorted; empty when there is no such folder."""
        place = self._find(path)
        return (
            tuple(sorted(item.name for item in place.iterdir()))
            if place is not None and place.is_dir()
            else ()
        )

    def folders(self, path: str = "") -> tuple[str, ...]:
        """The folders in a folder, sorted; links are none."""
        place = self._find(path)
        if place is None or not place.is_dir():
            return ()
        with os.scandir(place) as found:
            return tuple(sorted(item.name for item in found if item.is_dir(follow_symlinks=False)))

    def first(self, *paths: str) -> str:
        """The first of `paths` that exists, or an empty text."""
        return next((path for path in paths if self.has(path)), "")

    def inside(self, path: str) -> "Tree":
        """A folder of this tree as a tree of its own."""
        return Tree(self.root / path) if path else self


@dataclass(frozen=True, slots=True)
class Package:
    """What matters of a `package.json`."""

    found: bool
    name: str
    version: str
    main: str
    scripts: Mapping[str, str]
    dependencies: Mapping[str, str]
    raw: Mapping[str, object]

    @property
    def development(self) -> frozenset[str]:
        """Names of packages that only development needs."""
        return frozenset(_texts(self.raw.get("devDependencies"))) - frozenset(
            _texts(self.raw.get("dependencies"))
        )

    def depends_on(self, *names: str) -> str:
        """The first of `names` among the dependencies of any kind, or an empty text."""
        return next((name for name in names if name in self.dependencies), "")


def read_package(tree: Tree) -> Package:
    """The `package.json` of `tree`; one that is missing or broken has no content."""
    raw = tree.json("package.json")
    dependencies: dict[str, str] = {}
    for group in ("optionalDependencies", "devDependencies", "dependencies"):
        dependencies |= _texts(raw.get(group))
    return Package(
        found=tree.has("package.json"),
        name=str(raw.get("name") or ""),
        version=str(raw.get("version") or ""),
        main=str(raw.get("main") or ""),
        scripts=_texts(raw.get("scripts")),
        dependencies=dependencies,
        raw=raw,
    )


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {str(name): text for name, text in value.items() if isinstance(text, str)}
