"""What a tree that is deployed says of its release besides its gantry.toml: it is kept with the release's manifest."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from gantry.config.dotenv import scan_dotenv
from gantry.config.evidence.files import Files
from gantry.config.evidence.packages import Packages, read_packages
from gantry.config.public_variables import is_public, prefixes_of

# What frameworks read when they build for production, the one that wins first.
ENV_FILES = (".env.production", ".env")
_MAX_EXTENSIONS = 50
_MIGRATIONS = (".sql", ".py", ".ts", ".mts", ".js", ".mjs", ".cjs")
# A folder on the way to a file whose statements bring a database to a release's state.
_FOLDER = re.compile(r"migrat|^(?:drizzle|alembic|flyway|changelogs?)$", re.IGNORECASE)
_CREATES = re.compile(
    r"\bCREATE\s+EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:\\?[\"'`])?([a-z][a-z0-9_-]{0,62})\b",
    re.IGNORECASE,
)
_COMMENTS = {
    ".sql": re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL),
    ".py": re.compile(r"^\s*#[^\n]*", re.MULTILINE),
}
_COMMENTS_OF_JS = re.compile(r"^\s*//[^\n]*|/\*.*?\*/", re.MULTILINE | re.DOTALL)
_DJANGO = {
    "BloomExtension": "bloom", "BtreeGinExtension": "btree_gin", "BtreeGistExtension": "btree_gist",
    "CITextExtension": "citext", "CryptoExtension": "pgcrypto", "HStoreExtension": "hstore",
    "TrigramExtension": "pg_trgm", "UnaccentExtension": "unaccent", "VectorExtension": "vector",
}  # fmt: skip
_OF_DJANGO = re.compile(
    rf"\b({'|'.join(_DJANGO)})\(\)|\bCreateExtension\(\s*(?:name\s*=\s*)?[\"']([a-z][a-z0-9_-]{{0,62}})[\"']"
)


@dataclass(frozen=True, slots=True)
class TreeFacts:
    """What was found.

    Attributes:
        committed: names of variables that the product's own `.env` files set, as its pages are built with them.
        extensions: of Postgres that its migrations create, name -> the first place, as `migrations/1.sql:3`.
    """

    committed: tuple[str, ...] = ()
    extensions: dict[str, str] = field(default_factory=dict)


def read_tree(top: Path, root: str) -> TreeFacts:
    """What the tree in `top` says of the product in its folder `root`. Never raises for what it holds."""
    files = Files(top / root, top)
    packages = read_packages(files)
    return TreeFacts(tuple(_committed(files, packages)), _extensions(files, packages))


def _committed(files: Files, packages: Packages) -> Iterator[str]:
    """Public ones only: of the others nothing is sent along, and frameworks keep them out of pages."""
    declared = {*packages.declared, *read_packages(files.at(files.top)).declared}
    prefixes = prefixes_of(declared)
    values: dict[str, str] = {}
    for file in ENV_FILES:
        entries, _ = scan_dotenv(files.text(file))
        for entry in entries:
            values.setdefault(entry.name, entry.value)
    return (name for name, value in values.items() if value and is_public(name, prefixes))


def _extensions(files: Files, packages: Packages) -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in packages.folders:
        here = files.at(folder)
        for path in here.sources(_MIGRATIONS):
            if not any(_FOLDER.search(part) for part in PurePosixPath(path).parts[:-1]):
                continue
            place = (folder / path).relative_to(files.top).as_posix()
            for name, line in _created(path, here.text(path)):
                if len(found) < _MAX_EXTENSIONS:
                    found.setdefault(name, f"{place}:{line}")
    return found


def _created(path: str, text: str) -> Iterator[tuple[str, int]]:
    """Names of the extensions that a migration creates, and on which lines."""
    suffix = PurePosixPath(path).suffix
    comments = _COMMENTS.get(suffix, _COMMENTS_OF_JS)
    # As many lines as before, so that a place is the file's own.
    plain = comments.sub(lambda match: "\n" * match[0].count("\n"), text)
    matches = [(match.start(), match[1].lower()) for match in _CREATES.finditer(plain)]
    if suffix == ".py":
        matches += [
            (match.start(), _DJANGO[match[1]] if match[1] else match[2])
            for match in _OF_DJANGO.finditer(plain)
        ]
    for start, name in sorted(matches):
        yield name, plain.count("\n", 0, start) + 1
