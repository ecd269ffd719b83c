"""What the store knows of its builds and scopes, as JSON files beside the contents.

<assets>/builds/<build>.json    what a build has; written last, so that a build is there whole or not at all
<assets>/scopes/<scope>.json    its builds, the preferred one first
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gantry.engines.assets import files
from gantry.engines.assets.names import is_immutable, may_shrink


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """A published build.

    Attributes:
        source: what it was made from; a build that is published again from the same is not read again.
        contents: URL path without the leading slash -> SHA-256 of the content, hex.
    """

    source: str
    contents: Mapping[str, str]

    def shrinkable(self) -> frozenset[str]:
        """Contents that are worth compressing."""
        return frozenset(content for path, content in self.contents.items() if may_shrink(path))


class Records:
    """The records below one folder. Damaged ones count as not there: publishing again repairs them."""

    def __init__(self, folder: Path) -> None:
        self._builds = folder / "builds"
        self._scopes = folder / "scopes"

    def build(self, name: str) -> BuildRecord | None:
        """A published build, if there is one of that name."""
        found = files.read_record(self._builds / f"{name}.json")
        if found is None or not isinstance(found.get("contents"), dict):
            return None
        contents = found["contents"]
        assert isinstance(contents, dict), "looked at above"
        return BuildRecord(str(found.get("source", "")), contents)

    def builds(self) -> dict[str, BuildRecord]:
        """Every published build."""
        found = {name: self.build(name) for name in _names(self._builds)}
        return {name: record for name, record in found.items() if record is not None}

    def write_build(self, name: str, record: BuildRecord) -> None:
        """A build is published from here on."""
        value = {"source": record.source, "contents": dict(record.contents)}
        files.write_record(self._builds / f"{name}.json", value)

    def remove_build(self, name: str) -> None:
        """Forget a build."""
        files.unlink(self._builds / f"{name}.json")

    def scopes(self) -> dict[str, tuple[str, ...]]:
        """Every scope's builds."""
        found = {}
        for name in _names(self._scopes):
            record = files.read_record(self._scopes / f"{name}.json")
            builds = record.get("builds") if record is not None else None
            if isinstance(builds, list):
                found[name] = tuple(map(str, builds))
        return found

    def write_scope(self, name: str, builds: tuple[str, ...]) -> None:
        """Replace a scope; one without builds is forgotten."""
        place = self._scopes / f"{name}.json"
        if builds:
            files.write_record(place, {"builds": list(builds)})
        else:
            files.unlink(place)


def merged(records: Iterator[BuildRecord]) -> dict[str, str]:
    """Path -> content where several builds are served together: the first that has a path wins.

    A path that is a file in one build and a folder in another is what it is in the first.
    """
    contents: dict[str, str] = {}
    folders: set[str] = set()
    for record in records:
        new = {
            path: content
            for path, content in record.contents.items()
            if path not in contents
            and path not in folders
            and not any(folder in contents for folder in _folders(path))
        }
        contents |= new
        folders |= {folder for path in new for folder in _folders(path)}
    return contents


def divided(contents: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What may be kept for ever under its name, and what must be asked for anew."""
    kept = {path: content for path, content in contents.items() if is_immutable("/" + path)}
    return kept, {path: content for path, content in contents.items() if path not in kept}


def _folders(path: str) -> Iterator[str]:
    end = path.rfind("/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)


def _names(folder: Path) -> list[str]:
    # Without the unfinished ones, which begin with a dot.
    return sorted(path.stem for path in folder.glob("[a-z0-9]*.json"))
