"""Which files of a folder are its source: what git keeps, and what it would keep if it were asked to.

Git says it itself where it can: its rules lie in more places than one would read (folders above, `.git/info/exclude`,
the user's own file), and what it keeps is source even where a rule names it. Without git the same rules are read here,
as far as files of the repository hold them.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gantry.kernel.errors import UserError
from gantry.source.ignore import GIT_IGNORE, OWN_IGNORE, IgnoreRules, is_never_source, rules_above

_MAX_MEASURED = 20_000
_SHOWN = 2
_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class Ignored:
    """What ignore files leave out. Folders that tools fill, such as node_modules, are not counted.

    Attributes:
        files: how many; no more than are counted at most.
        biggest: path -> bytes, the largest first; folders end in a slash.
        complete: all of them were counted.
    """

    files: int = 0
    size_bytes: int = 0
    biggest: tuple[tuple[str, int], ...] = ()
    complete: bool = True


@dataclass(slots=True)
class Listing:
    """What was found in a folder.

    Attributes:
        paths: relative path -> whether git keeps it as an executable, `None` where the file itself tells.
        left_out: path -> reason, of what people expect to be there and is not.
        ignored: paths that ignore files name; of folders the outermost, with a slash at the end.
        missing: submodules that are not checked out.
    """

    paths: dict[str, bool | None] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def list_source(root: Path) -> Listing:
    """The files of `root`, a folder with or without git.

    Raises:
        UserError: `source.git-failed`, `source.submodule-missing`.
        OSError: a folder cannot be read.
    """
    top = repository_top(root)
    listing = None
    if top is not None:
        # Starting programs is only imported where there is a repository.
        from gantry.source.by_git import list_by_git  # noqa: PLC0415

        listing = list_by_git(root)
    if listing is not None:
        _apply_own_rules(root, top, listing)
        _refuse_missing(root, listing.missing)
        return listing
    return _walk(root, top)


def repository_top(root: Path) -> Path | None:
    """The folder of the repository that `root` lies in, by its looks; `None` when there is none."""
    return next((place for place in (root, *root.parents) if (place / ".git").exists()), None)


def measure(root: Path, paths: list[str]) -> Ignored:
    """How much the ignored `paths` hold; looks at no more files than matter for a sentence about them."""
    sizes: dict[str, int] = {}
    files = 0
    for path in paths:
        sizes[path] = 0
        for size_bytes in _sizes(root / path):
            if files == _MAX_MEASURED:
                return Ignored(files, sum(sizes.values()), _biggest(sizes), complete=False)
            files += 1
            sizes[path] += size_bytes
    return Ignored(files, sum(sizes.values()), _biggest(sizes))


def _biggest(sizes: dict[str, int]) -> tuple[tuple[str, int], ...]:
    largest = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    return tuple((path, size_bytes) for path, size_bytes in largest if size_bytes)


def _sizes(place: Path) -> Iterator[int]:
    """Bytes of a file, or of each file in a folder; what cannot be read is not part of a sentence."""
    if not place.is_dir() or place.is_symlink():
        yield place.lstat().st_size if place.exists() and not place.is_symlink() else 0
        return
    for folder, folders, files in os.walk(place):
        folders[:] = [name for name in folders if not is_never_source(name)]
        for name in files:
            path = Path(folder, name)
            yield path.stat().st_size if path.is_file() and not path.is_symlink() else 0


def _apply_own_rules(root: Path, top: Path | None, listing: Listing) -> None:
    """`.gantryignore` has the last word: it leaves out what git has, and takes in what git ignores."""
    rules = _OwnRules(root, top)
    listing.missing = [path for path in listing.missing if not rules.verdict(f"{path}/")]
    for path in list(listing.paths):
        if rules.verdict(path):
            del listing.paths[path]
            listing.ignored.append(path)
    if not rules.take_in:
        return
    for path in list(listing.ignored):
        if path in listing.paths or is_never_source(path.rstrip("/").rpartition("/")[2]):
            continue
        inside = list(_files_below(root, path.rstrip("/")))
        taken = [file for file in inside if rules.verdict(file) is False]
        listing.paths.update(dict.fromkeys(taken))
        if taken and len(taken) == len(inside):
            listing.ignored.remove(path)


def _refuse_missing(root: Path, missing: list[str]) -> None:
    if not missing:
        return
    more = len(missing) - _MAX_NAMED
    raise UserError(
        "source.submodule-missing",
        f"submodules are not checked out: {', '.join(missing[:_MAX_NAMED])}"
        + (f" and {more} more" if more > 0 else ""),
        hint="git submodule update --init --recursive; one that the product does not need can be named in "
        ".gantryignore",
        where=str(root / missing[0]),
    )


class _OwnRules:
    """The `.gantryignore` files of a folder, of those above it in its repository and of those inside."""

    def __init__(self, root: Path, top: Path | None) -> None:
        self._root = root
        self._at = {"": rules_above(root, top, (OWN_IGNORE,)).enter(root, "", (OWN_IGNORE,))}

    @property
    def take_in(self) -> bool:
        """Whether any rule that is known takes in what another one leaves out."""
        return any(rules.takes_in for rules in self._at.values())

    def verdict(self, path: str) -> bool | None:
        """Whether `path` is left out; `None` when no rule names it."""
        return self._rules(path.rpartition("/")[0]).verdict(path)

    def _rules(self, folder: str) -> IgnoreRules:
        if folder not in self._at:
            above = self._rules(folder.rpartition("/")[0])
            self._at[folder] = above.enter(self._root, folder, (OWN_IGNORE,))
        return self._at[folder]


def _files_below(root: Path, path: str) -> Iterator[str]:
    place = root / path
    if place.is_symlink() or not place.is_dir():
        yield path
        return
    for item in sorted(os.scandir(place), key=lambda item: item.name):
        if not is_never_source(item.name):
            yield from _files_below(root, f"{path}/{item.name}")


def _walk(root: Path, top: Path | None) -> Listing:
    """Without git: its rules, as far as the files of the repository hold them."""
    listing = Listing()
    above = rules_above(root, top, (GIT_IGNORE, OWN_IGNORE))
    _walk_folder(root, "", above, listing)
    return listing


def _walk_folder(root: Path, folder: str, above: IgnoreRules, listing: Listing) -> None:
    if folder and (root / folder / ".git").exists():
        above = IgnoreRules()  # a repository inside of this one has rules of its own
    rules = above.enter(root, folder, (GIT_IGNORE, OWN_IGNORE))
    with os.scandir(root / folder) as found:
        items = list(found)
    for item in items:
        path = f"{folder}/{item.name}" if folder else item.name
        if is_never_source(item.name):
            continue  # a link named node_modules, the .git file of a worktree
        is_folder = item.is_dir(follow_symlinks=False)
        if rules.verdict(f"{path}/" if is_folder else path):
            listing.ignored.append(f"{path}/" if is_folder else path)
        elif is_folder:
            _walk_folder(root, path, rules, listing)
        else:
            listing.paths[path] = None
