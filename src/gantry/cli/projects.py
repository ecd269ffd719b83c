"""`gantry open`, `destroy` and `schema`: a project's addresses, its end, and how its file is checked."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import rich_click as click
from click import launch, prompt

from gantry.cli.command import (
    EnvironmentType,
    command,
    environment_option,
    pass_session,
    project_option,
)
from gantry.cli.folder import project_name
from gantry.cli.session import Session
from gantry.cli.transport import path as api_path
from gantry.config.schema import schema_text
from gantry.config.settings import whole_environment
from gantry.features.accounts.bodies import LoginLinkBody
from gantry.features.platform.bodies import ProjectBody
from gantry.kernel.errors import NotFoundError, TransientError, UserError

_DESTROY_TIMEOUT_S = 120.0
_INTERVAL_DESTROY_S = 0.5
# Variables that say that a browser has a place to appear, or which one is wanted.
_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER")


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
    if not only_print and not _browse(address):
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


def _browse(address: str) -> bool:
    """Start a browser, where there is a screen for one."""
    environment = whole_environment()
    if sys.platform != "darwin" and not any(environment.get(name) for name in _SCREENS):
        return False
    with _silent():
        return launch(address) == 0


@contextmanager
def _silent() -> Iterator[None]:
    """What is started meanwhile has no place to write to: a browser's chatter is not for this terminal."""
    kept = {number: os.dup(number) for number in (1, 2)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in kept:
            os.dup2(nowhere, number)
        yield
    finally:
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


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
