"""The project that a command is about: the one of the nearest gantry.toml."""

import tomllib
from pathlib import Path

from gantry.cli.session import Session
from gantry.kernel.errors import NotFoundError, UserError

MANIFEST = "gantry.toml"
PRODUCTION = "production"
_HIDDEN = frozenset({"node_modules", ".git", ".venv"})
_MAX_SHOWN = 5


def project_directory(session: Session, path: Path | None) -> Path:
    """The directory that holds gantry.toml: `path`, or else the current one or the nearest one above it.

    Raises:
        NotFoundError: `project.no-manifest`.
    """
    start = (session.cwd / path).resolve() if path is not None else session.cwd
    directories = [start] if path is not None else [start, *start.parents]
    for directory in directories:
        if (directory / MANIFEST).is_file():
            return directory
    message = f"there is no {MANIFEST} in {start}" + ("" if path is not None else " or above it")
    hint = "gantry init writes one from what it detects" if path is None else f"gantry init {path}"
    if below := _below(start):
        message += f"; there is one in {', '.join(below)}"
        hint = f"cd {below[0] if path is None else path / below[0]}"
    raise NotFoundError("project.no-manifest", message, hint=hint, where=str(start))


def _below(start: Path) -> list[str]:
    """Folders of a repository with several products that have a gantry.toml of their own."""
    found = [
        place.parent.relative_to(start)
        for pattern in (f"*/{MANIFEST}", f"*/*/{MANIFEST}")
        for place in start.glob(pattern)
    ]
    visible = [folder.as_posix() for folder in found if not _HIDDEN.intersection(folder.parts)]
    return sorted(visible)[:_MAX_SHOWN]


def project_name(session: Session, given: str, path: Path | None = None) -> str:
    """The name given with `--project`, or the one in the nearest gantry.toml.

    Only the name is read: what else may be wrong with the file does not matter to `gantry logs`.

    Raises:
        UserError: `project.no-manifest`, `project.no-name`.
    """
    if given:
        return given
    file = project_directory(session, path) / MANIFEST
    name = _project_table(file).get("name")
    if not isinstance(name, str) or not name:
        raise UserError(
            "project.no-name",
            f"{MANIFEST} does not name the project",
            hint='add [project] name = "my-project", or use --project',
            where=str(file),
        )
    return name


def default_environment(session: Session, path: Path | None = None) -> str:
    """Where a command goes that names no environment: what the nearest gantry.toml says, else production.

    A file that cannot be read is for the command to complain about.
    """
    try:
        named = _project_table(project_directory(session, path) / MANIFEST).get(
            "default_environment"
        )
    except UserError:
        return PRODUCTION
    return named if isinstance(named, str) and named else PRODUCTION


def _project_table(file: Path) -> dict[str, object]:
    try:
        table: dict[str, object] = tomllib.loads(file.read_text(encoding="utf-8")).get(
            "project", {}
        )
        return dict(table)
    except (
        tomllib.TOMLDecodeError,
        UnicodeDecodeError,
        AttributeError,
        TypeError,
        ValueError,
    ) as error:
        raise UserError(
            "project.no-name",
            f"{MANIFEST} cannot be read: {error}",
            hint="fix the file, or name the project with --project",
            where=str(file),
        ) from None
