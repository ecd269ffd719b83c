"""`gantry init`, `open`, `destroy` and `schema`: a project from its first gantry.toml to its end."""

import json
import re
from pathlib import Path

import rich_click as click
from click import launch, prompt
from rich.text import Text

from gantry.cli.command import (
    EnvironmentType,
    command,
    directory_argument,
    environment_option,
    json_option,
    pass_session,
    project_option,
)
from gantry.cli.folder import MANIFEST, project_name
from gantry.cli.session import Session
from gantry.cli.transport import path as api_path
from gantry.config.env_example import read_env_example
from gantry.config.fields import MAX_NAME_LENGTH, project_name_fault
from gantry.config.init import render_manifest
from gantry.config.load import VERCEL, examine
from gantry.config.manifest import Manifest
from gantry.config.schema import schema_text
from gantry.engines.builders.protocol import Detection
from gantry.features.accounts.bodies import LoginLinkBody
from gantry.features.platform.bodies import ProjectBody
from gantry.kernel.errors import ConflictError, NotFoundError, TransientError, UserError

_EXAMPLE = ".env.example"
_DESTROY_TIMEOUT_S = 120.0
_INTERVAL_DESTROY_S = 0.5


@command(
    "init",
    ("for the project in this folder", "gantry init"),
    ("under another name", "gantry init --name shop"),
    ("print it first, without writing", "gantry init --print"),
)
@directory_argument
@click.option("--name", default="", help="Name of the project; default: the folder's.")
@click.option("--force", is_flag=True, help="Replace an existing gantry.toml.")
@click.option("--print", "only_print", is_flag=True, help="Print it without writing.")
@json_option
@pass_session
def init(session: Session, path: Path | None, name: str, force: bool, only_print: bool) -> None:
    """Write a gantry.toml for the project in PATH (default: here).

    Detects the framework and says how it knows. Each variable that .env.example names without a value becomes a
    required one: a deploy is refused while one is missing.
    """
    directory = (session.cwd / (path or ".")).resolve()
    target = directory / MANIFEST
    if target.exists() and not force and not only_print:
        raise ConflictError(
            "init.exists",
            f"there is a {MANIFEST} already",
            hint="gantry init --print shows what would be written; --force replaces the file",
            where=str(target),
        )
    detection = session.platform.detect(directory)
    text = render_manifest(name or _name_of(directory), detection, _required(directory))
    if only_print:
        click.echo(text, nl=False)
        return
    target.write_text(text, encoding="utf-8")
    reading = examine(directory)
    ignored = tuple(note for note in reading.notes if note.startswith(f"{VERCEL}:"))
    notes = (*detection.notes, *ignored)
    _report_written(session, target, detection, notes, _to_set(reading.manifest))


@command(
    "open",
    ("the site in the browser", "gantry open"),
    ("its address only", "gantry open --print -e staging"),
    ("the console, already logged in", "gantry open --console"),
    ("a login link for another machine's browser", "gantry open --console --print"),
)
@environment_option()
@project_option
@click.option("--console", is_flag=True, help="The console, by a link that logs in once.")
@click.option("--print", "only_print", is_flag=True, help="Print the address without opening it.")
@pass_session
def open_(
    session: Session, environment: str, project: str, console: bool, only_print: bool
) -> None:
    """Open an environment's site, or the console, in the browser.

    A login link works once, within 15 minutes, with the rights of whoever created it.
    """
    if console:
        address = session.api.post(LoginLinkBody, api_path("login-links")).url
    else:
        address = _site(session, project, environment)
    click.echo(address)
    # The browser's own chatter on our terminal is nobody's business.
    if not only_print and launch(address) != 0:
        session.say("no browser could be started here; open the address above yourself", "dim")


@command(
    "destroy",
    ("one environment with its database", "gantry destroy -e staging"),
    ("the whole project", "gantry destroy --project smart-sign"),
    ("in a script, without confirmation", "gantry destroy -e staging --yes"),
    ("without waiting until it is gone", "gantry destroy -e staging --yes --detach"),
)
@project_option
@click.option(
    "--environment",
    "-e",
    type=EnvironmentType(),
    default=None,
    help="Only this environment; default: the whole project.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--detach", is_flag=True, help="Return without waiting until it is gone.")
@pass_session
def destroy(
    session: Session, project: str, environment: str | None, yes: bool, detach: bool
) -> None:
    """Delete an environment or a whole project.

    Its releases, variables, databases and caches go with it. This cannot be undone. You are asked to type the name of
    what is deleted. Visitors lose it at once; the rest takes some seconds.
    """
    name = project_name(session, project)
    target = f"{name}/{environment}" if environment else name
    if not yes:
        _confirm(session, target)
    below = ("environments", environment) if environment else ()
    session.api.delete(api_path("projects", name, *below))
    if detach:
        session.say(f"deleting {target}: gantry status shows it until it is gone")
        return
    with session.progress(f"Deleting {target}"):
        _wait_until_gone(session, name, environment)
    session.say(f"{target} deleted")


@command(
    "schema",
    ("for an editor that checks TOML files", "gantry schema > gantry.schema.json"),
)
def schema() -> None:
    """Print the JSON schema of gantry.toml."""
    click.echo(schema_text(), nl=False)


def _name_of(directory: Path) -> str:
    """A name that fits into a host name, from the directory's."""
    name = re.sub(r"[^a-z0-9]+", "-", directory.name.lower()).strip("-")
    name = name[:MAX_NAME_LENGTH].strip("-") or "site"
    return name if project_name_fault(name) is None else f"{name}-site"


def _required(directory: Path) -> tuple[str, ...]:
    """Names that .env.example leaves without a value."""
    file = directory / _EXAMPLE
    if not file.is_file():
        return ()
    found, _ = read_env_example(file.read_bytes(), _EXAMPLE)
    return tuple(item.name for item in found if item.required)


def _to_set(manifest: Manifest) -> tuple[str, ...]:
    """Required variables that no service brings."""
    brought = manifest.services.variables
    return tuple(name for name in manifest.variables.required if name not in brought)


def _report_written(
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
    framework = (detection.framework, "bold")
    session.say(Text.assemble(("✓ ", "bold green"), f"wrote {target.name} for ", framework))
    for reason in detection.reasons:
        session.say(f"  because {reason}", style="dim")
    for note in notes:
        session.say(Text.assemble(("! ", "bold yellow"), note))
    if required:
        session.say(f"Set these variables first; {_EXAMPLE} gives no value for them:")
        session.say(f"  gantry env set {' '.join(required)}   (asks for each value)")
    session.say("Next: gantry deploy")


def _site(session: Session, project: str, environment: str) -> str:
    name = project_name(session, project)
    environments = session.api.get(ProjectBody, api_path("projects", name)).environments
    addresses = {body.name: body.url for body in environments}
    if environment not in addresses:
        raise NotFoundError(
            "environment.unknown",
            f"{name} has no environment {environment!r}; it has {', '.join(addresses) or 'none yet'}",
            hint=f"gantry deploy --to {environment}",
        )
    return addresses[environment]


def _wait_until_gone(session: Session, project: str, environment: str | None) -> None:
    """Returns when nothing of it is being deleted any more.

    Raises:
        TransientError: `destroy.slow` it takes longer than a process may take to end.
    """
    since_s = session.clock.monotonic_s()
    while _is_going(session, project, environment):
        if session.clock.monotonic_s() - since_s > _DESTROY_TIMEOUT_S:
            raise TransientError(
                "destroy.slow",
                f"{project} is still being deleted; that continues without this terminal",
                hint="gantry status shows what is left",
            )
        session.pause(_INTERVAL_DESTROY_S)


def _is_going(session: Session, project: str, environment: str | None) -> bool:
    try:
        body = session.api.get(ProjectBody, api_path("projects", project))
    except NotFoundError:
        return False
    # Somebody may deploy anew under the same name meanwhile: that is not ours to wait for.
    if environment is not None:
        return any(found.removing for found in body.environments if found.name == environment)
    return not body.environments or any(found.removing for found in body.environments)


def _confirm(session: Session, target: str) -> None:
    session.say(f"This deletes {target} with its releases, variables, databases and caches.")
    session.say("It cannot be undone.", style="bold")
    typed = prompt(f"Type {target} to confirm", default="", show_default=False, err=True)
    if typed.strip() != target:
        raise UserError(
            "destroy.not-confirmed",
            f"{typed.strip()!r} is not {target!r}; nothing was deleted",
            hint="type the name exactly, or use --yes",
        )
