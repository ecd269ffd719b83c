"""`gantry init`."""

import json
import re
from pathlib import Path

import rich_click as click
from rich.text import Text

from gantry.cli.command import command, folder_argument, json_option, pass_session
from gantry.cli.folder import MANIFEST
from gantry.cli.session import Session
from gantry.config.env_example import read_env_example
from gantry.config.fields import MAX_NAME_LENGTH, project_name_fault
from gantry.config.init import render_manifest
from gantry.config.load import VERCEL, examine
from gantry.config.manifest import Manifest
from gantry.engines.builders.protocol import Detection
from gantry.kernel.errors import ConflictError

_EXAMPLE = ".env.example"


@command(
    "init",
    ("for the project in this folder", "gantry init"),
    ("under another name", "gantry init --name shop"),
    ("look first, without writing", "gantry init --print"),
)
@folder_argument
@click.option("--name", default="", help="Name of the project; default: the folder's.")
@click.option("--force", is_flag=True, help="Replace the gantry.toml that is there.")
@click.option("--print", "only_print", is_flag=True, help="Print it; write nothing.")
@json_option
@pass_session
def init(session: Session, path: Path | None, name: str, force: bool, only_print: bool) -> None:
    """Write a gantry.toml for the project in PATH (default: here).

    Detects what the product is made with and says how it knows. What .env.example names without a value becomes a
    required variable: a deploy refuses to begin while one is missing.
    """
    folder = (session.cwd / (path or ".")).resolve()
    target = folder / MANIFEST
    if target.exists() and not force and not only_print:
        raise ConflictError(
            "init.exists",
            f"there is a {MANIFEST} already",
            hint="gantry init --print shows what would be written; --force replaces the file",
            where=str(target),
        )
    detection = session.platform.detect(folder)
    required = _required(folder)
    text = render_manifest(name or project_name_of(folder), detection, required)
    if only_print:
        click.echo(text, nl=False)
        return
    target.write_text(text, encoding="utf-8")
    reading = examine(folder)
    ignored = tuple(note for note in reading.notes if note.startswith(f"{VERCEL}:"))
    _tell(session, target, detection, (*detection.notes, *ignored), _to_set(reading.manifest))


def project_name_of(folder: Path) -> str:
    """A name that fits into a host name, from the folder's."""
    words = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")
    name = words[:MAX_NAME_LENGTH].strip("-") or "site"
    return name if project_name_fault(name) is None else f"{name}-site"


def _required(folder: Path) -> tuple[str, ...]:
    file = folder / _EXAMPLE
    if not file.is_file():
        return ()
    found, _ = read_env_example(file.read_bytes(), _EXAMPLE)
    return tuple(item.name for item in found if item.required)


def _to_set(manifest: Manifest) -> tuple[str, ...]:
    """Required variables that no service brings."""
    services = manifest.services
    brought = {"DATABASE_URL": bool(services.postgres), "REDIS_URL": bool(services.redis)}
    return tuple(name for name in manifest.variables.required if not brought.get(name, False))


def _tell(
    session: Session,
    target: Path,
    detection: Detection,
    notes: tuple[str, ...],
    required: tuple[str, ...],
) -> None:
    if session.as_json:
        found = {
            "path": str(target),
            "framework": detection.framework,
            "reasons": detection.reasons,
            "notes": notes,
            "required": required,
        }
        session.json(json.dumps(found))
        return
    session.err.print(
        Text.assemble(
            ("✓ ", "bold green"), f"wrote {target.name} for ", (detection.framework, "bold")
        ),
        soft_wrap=True,
    )
    for reason in detection.reasons:
        session.say(f"  because {reason}", style="dim")
    for note in notes:
        session.err.print(Text.assemble(("! ", "bold yellow"), note), soft_wrap=True)
    if required:
        session.say(f"It needs these variables, as {_EXAMPLE} says:")
        session.say(
            f"  gantry env set {' '.join(required)}      (asks for each, without showing it)"
        )
    session.say("Then: gantry deploy")


COMMANDS = {"init": init}
