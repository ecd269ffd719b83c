"""A product's files as evidence: small, read once, and never a reason to fail."""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAX_BYTES = 1_000_000
_MAX_FILES = 200
_MAX_SOURCES = 2_000
# Made by tools; what lies there says nothing of the product.
_MADE = frozenset({"node_modules", "dist", "build", "out", "venv", "__pycache__", "site-packages", "coverage"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Files:
    """A product's folder, in the folder that is deployed.

    Attributes:
        folder: with the product.
        top: of the workspace that it lies in, else the same.
    """

    folder: Path
    top: Path

    def has(self, path: str) -> bool:
        """Whether there is a file or folder of that name."""
        return (self.folder / path).exists()

    def first(self, *paths: str) -> str:
        """The first of `paths` that exists, or an empty text."""
        return next((path for path in paths if self.has(path)), "")

    def text(self, path: str) -> str:
        """A text file's content; empty when it is missing or cannot be read."""
        try:
            with (self.folder / path).open("rb") as file:
                return file.read(_MAX_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""  # what is not there says nothing; a deploy reads it again and complains

    def json(self, path: str) -> Mapping[str, Any]:
        """A JSON object; empty when there is none or it cannot be read."""
        try:
            value = json.loads(self.text(path) or "{}")
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    def toml(self, path: str) -> Mapping[str, Any]:
        """A TOML document; empty when there is none or it cannot be read."""
        try:
            return tomllib.loads(self.text(path))
        except (tomllib.TOMLDecodeError, RecursionError):
            return {}

    def matching(self, pattern: str) -> list[str]:
        """Paths of files that a glob names, sorted; what tools made is left out."""
        found = []
        for path in self.folder.glob(pattern):
            inside = path.relative_to(self.folder)
            if not _MADE.intersection(inside.parts) and not inside.parts[0].startswith(".venv"):
                found.append(inside.as_posix())
            if len(found) == _MAX_FILES:
                break
        return sorted(found)

    def sources(self, suffixes: tuple[str, ...]) -> Iterator[str]:
        """Paths of files that end like that, in folders that people write; a bounded number of them."""
        seen = 0
        for place, folders, names in os.walk(self.folder):
            folders[:] = sorted(
                name for name in folders if name not in _MADE and not name.startswith(".")
            )
            for name in sorted(names):
                if name.endswith(suffixes):
                    yield (Path(place) / name).relative_to(self.folder).as_posix()
                    seen += 1
            if seen >= _MAX_SOURCES:
                return

    def at(self, folder: Path) -> "Files":
        """Another folder of the same workspace."""
        return Files(folder, self.top)


def table(value: object) -> Mapping[str, Any]:
    """`value` when it is a table, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def texts(value: object) -> Iterator[tuple[str, str]]:
    """The entries of a table whose values are texts."""
    return ((str(name), text) for name, text in table(value).items() if isinstance(text, str))
