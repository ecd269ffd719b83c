"""Trees of links to contents, as the server sees them: brought to what they should be while they are being served."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from gantry.engines.assets import files
from gantry.engines.assets.names import VARIANTS

_SUFFIXES = ("", *VARIANTS.values())


def align(
    tree: Path, wanted: Mapping[str, str], place_of: Callable[[str], Path], fresh: Path
) -> None:
    """Make `tree` hold a link to each wanted content and to its variants, and nothing else.

    At each moment a path has its old content, its new one or none, and a variant is never that of another content.

    Parameters:
        wanted: path -> content.
        place_of: where a content lies; its variants lie beside it.
        fresh: a place on the same file system for links that are being made.
    """
    links = {
        path + suffix: content.with_name(content.name + suffix)
        for path, content in ((path, place_of(name)) for path, name in wanted.items())
        for suffix in _SUFFIXES
        if not suffix or content.with_name(content.name + suffix).exists()
    }
    for path in sorted(set(_paths(tree)) - set(links)):
        files.unlink(tree / path)
    for path in wanted:
        if not _is_same(tree / path, links[path]):
            for suffix in VARIANTS.values():
                files.unlink(tree / (path + suffix))
            _clear_folder(tree / path)
            files.link(links[path], tree / path, fresh)
    for path, content in links.items():
        if path not in wanted and not _is_same(tree / path, content):
            files.link(content, tree / path, fresh)
    _prune(tree)


def _paths(tree: Path) -> Iterator[str]:
    for folder, _, names in os.walk(tree):
        inside = os.path.relpath(folder, tree)
        yield from (name if inside == "." else f"{inside}/{name}" for name in names)


def _is_same(place: Path, content: Path) -> bool:
    try:
        return place.samefile(content)
    except FileNotFoundError:
        return False


def _clear_folder(place: Path) -> None:
    """Folders that have become empty may stand where a file should be."""
    if place.is_dir():
        _prune(place)


def _prune(tree: Path) -> None:
    """Remove empty folders, `tree` too."""
    for folder, folders, names in os.walk(tree, topdown=False):
        if not names and not any(Path(folder, name).exists() for name in folders):
            Path(folder).rmdir()
