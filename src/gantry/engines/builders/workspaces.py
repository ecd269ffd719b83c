"""Workspaces of npm, pnpm, Yarn and Bun: which folders belong to one, and which of them a product needs built first."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from gantry.config.evidence.workspace import patterns_of_node
from gantry.engines.builders.tree import Tree, read_package

_MAX_MEMBERS = 500
_MAX_DEPTH = 4
_NEVER = ("node_modules", ".git", ".next", ".turbo", "dist", "build", "vendor")


def patterns(tree: Tree) -> tuple[str, ...]:
    """How the members of the workspace at the top of `tree` are named; empty when it is none."""
    return patterns_of_node(read_package(tree).raw, tree.text("pnpm-workspace.yaml") or "")


def members(tree: Tree) -> Mapping[str, str]:
    """Name of a package -> its folder, for every member of the workspace."""
    wanted = patterns(tree)
    if not wanted:
        return {}
    refused = [text[1:] for text in wanted if text.startswith("!")]
    found: dict[str, str] = {}
    for folder in folders(tree):
        path = PurePosixPath(folder)
        if any(_matches(path, text) for text in wanted) and not any(
            _matches(path, text) for text in refused
        ):
            found[read_package(tree.inside(folder)).name or folder] = folder
    return found


def folders(tree: Tree) -> Iterator[str]:
    """Folders below the top that have a package.json or a Python project, those higher up first."""
    level, seen = [""], 0
    for _ in range(_MAX_DEPTH):
        deeper = []
        for folder in level:
            for name in tree.folders(folder):
                if name in _NEVER or name.startswith("."):
                    continue
                path = f"{folder}/{name}" if folder else name
                deeper.append(path)
                if tree.first(*(f"{path}/{file}" for file in _MARKS)):
                    yield path
                    seen += 1
                if seen >= _MAX_MEMBERS:
                    return
        level = deeper[: 2 * _MAX_MEMBERS]


_MARKS = ("package.json", "pyproject.toml", "requirements.txt", "manage.py")


def _matches(path: PurePosixPath, pattern: str) -> bool:
    text = pattern.strip().removeprefix("./").rstrip("/")
    expression = re.escape(text).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
    return re.fullmatch(expression, str(path)) is not None


def needed(tree: Tree, folder: str) -> tuple[str, ...]:
    """Folders of the members that the product in `folder` depends on and that have a build script, in the order to build."""
    known = members(tree)
    order: list[str] = []
    _visit(tree, folder, known, order, {folder})
    return tuple(place for place in order if "build" in read_package(tree.inside(place)).scripts)


def _visit(
    tree: Tree, folder: str, known: Mapping[str, str], order: list[str], seen: set[str]
) -> None:
    for name in read_package(tree.inside(folder)).dependencies:
        place = known.get(name)
        if place is not None and place not in seen:
            seen.add(place)
            _visit(tree, place, known, order, seen)
            order.append(place)
