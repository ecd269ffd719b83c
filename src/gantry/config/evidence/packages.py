"""Which packages a product declares, Node's and Python's; those of a workspace's own packages count for it too."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gantry.config.evidence.files import Files, table, texts
from gantry.config.evidence.workspace import workspace_top

_GROUPS = ("dependencies", "optionalDependencies", "devDependencies")
_REQUIREMENTS = ("requirements.txt", "requirements/base.txt", "requirements/prod.txt", "requirements/production.txt",
                 "requirements-prod.txt")  # fmt: skip
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?")
_MEMBERS = ("*/package.json", "*/*/package.json", "*/*/*/package.json")
_MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Packages:
    """What is declared.

    Attributes:
        declared: name -> file that declares it, relative to the product's folder or to the top. A Python package with
            extras is there with and without them: `celery` and `celery[redis]`.
        scripts: of the product's own package.json.
        manager: `npm`, `pnpm`, `yarn` or `bun`.
        folders: those of the workspace that the product is made of, its own first.
    """

    declared: Mapping[str, str]
    scripts: Mapping[str, str]
    manager: str
    folders: tuple[Path, ...]

    def first(self, *names: str) -> str:
        """The first of `names` that is declared, or an empty text."""
        return next((name for name in names if name in self.declared), "")


def read_packages(files: Files) -> Packages:
    """The packages of a product and of the workspace's packages that it is made of."""
    declared: dict[str, str] = {}
    folders = _closure(files) if files.has("package.json") else [files.folder]
    for folder in folders:
        here = files.at(folder)
        place = "" if folder == files.folder else f"{folder.relative_to(files.top).as_posix()}/"
        names = [(name, f"{place}package.json") for name in _node(here)]
        names += [(name, f"{place}{file}") for name, file in _python(here)]
        for name, file in names:
            declared.setdefault(name, file)
    scripts = dict(texts(files.json("package.json").get("scripts")))
    return Packages(declared, scripts, _manager(files), tuple(folders))


def _node(files: Files) -> Iterator[str]:
    package = files.json("package.json")
    for group in _GROUPS:
        yield from table(package.get(group))


def _closure(files: Files) -> list[Path]:
    """The product's folder, and those of packages of the same workspace that it depends on."""
    members = _members(files) if files.top != files.folder else {}
    found, waiting = [files.folder], [files.folder]
    for _ in range(_MAX_DEPTH):
        names = {name for folder in waiting for name in _node(files.at(folder))}
        waiting = [
            members[name] for name in sorted(names & set(members)) if members[name] not in found
        ]
        found += waiting
    return found


def _members(files: Files) -> dict[str, Path]:
    top = files.at(files.top)
    found = {}
    for pattern in _MEMBERS:
        for path in top.matching(pattern):
            if workspace_top((files.top / path).parent) != files.top:
                continue
            name = top.json(path).get("name")
            if isinstance(name, str):
                found[name] = (files.top / path).parent
    return found


def _python(files: Files) -> Iterator[tuple[str, str]]:
    for file in _REQUIREMENTS:
        for line in files.text(file).splitlines():
            yield from _named(line.partition("#")[0], file)
    project = files.toml("pyproject.toml")
    listed = table(project.get("project")).get("dependencies")
    for line in listed if isinstance(listed, list) else ():
        yield from _named(str(line), "pyproject.toml")
    poetry = table(table(project.get("tool")).get("poetry"))
    for file, group in (("pyproject.toml", poetry.get("dependencies")),
                        ("Pipfile", files.toml("Pipfile").get("packages"))):  # fmt: skip
        for name, version in table(group).items():
            extras = table(version).get("extras") if isinstance(version, Mapping) else None
            of = f"[{','.join(map(str, extras))}]" if isinstance(extras, list) else ""
            yield from _named(f"{name}{of}", file)


def _named(line: str, file: str) -> Iterator[tuple[str, str]]:
    match = _NAME.match(line)
    if match is None or line.lstrip().startswith("-"):
        return
    name = re.sub(r"[-_.]+", "-", match[1]).lower()
    yield name, file
    for extra in (match[2] or "").strip("[]").split(","):
        if extra.strip():
            yield f"{name}[{extra.strip().lower()}]", file


def _manager(files: Files) -> str:
    locks = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lock": "bun", "bun.lockb": "bun"}
    for place in (files, files.at(files.top)):
        named = str(place.json("package.json").get("packageManager") or "").partition("@")[0]
        if named in ("npm", *locks.values()):
            return named
        if place.has("package-lock.json"):
            return "npm"
        if lock := place.first(*locks):
            return locks[lock]
    return "npm"
