"""`gantry env`: the variables of an environment."""

import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import rich_click as click
from click import prompt
from rich.table import Table

from gantry.cli.command import (
    Group,
    command,
    environment_option,
    json_option,
    pass_session,
    project_option,
)
from gantry.cli.folder import project_name
from gantry.cli.session import Session
from gantry.cli.terminal import json_array, table
from gantry.cli.transport import environment_path
from gantry.config.env_example import parse_dotenv
from gantry.features.variables.bodies import ProvidedBody, VariableBody, VariablesRequest
from gantry.kernel.errors import UserError
from gantry.kernel.units import format_ago


@click.group("env", cls=Group)
def env() -> None:
    """Set, list, remove and import an environment's variables."""


@command(
    "set",
    ("a plain value", "gantry env set LOG_LEVEL=debug"),
    ("a secret, typed without showing it", "gantry env set SESSION_SECRET"),
    ("a secret from a file or another program", "gantry env set TLS_KEY - < key.pem"),
    ("several, in staging", "gantry env set A=1 B=2 -e staging"),
    group=env,
)
@click.argument("assignments", nargs=-1, required=True, metavar="NAME=VALUE...")
@environment_option()
@project_option
@json_option
@pass_session
def set_(session: Session, assignments: tuple[str, ...], environment: str, project: str) -> None:
    """Set variables, all or none. They take effect with the next release.

    NAME alone asks for the value without showing it, and NAME - reads it from standard input, so that a secret
    appears in no shell history and in no list of processes.
    """
    _change(session, project, environment, put=_values(session, assignments))


@command(
    "list",
    ("names, where they come from, and who set them when", "gantry env list -e staging"),
    group=env,
)
@environment_option()
@project_option
@json_option
@pass_session
def list_(session: Session, environment: str, project: str) -> None:
    """List the variables of an environment. Values are never shown.

    After those that were set come those that the live release has from gantry.toml and from its services; one that is
    set wins over them.
    """
    at = environment_path(project_name(session, project), environment, "variables")
    found = session.api.get(tuple[VariableBody, ...], at)
    provided = session.api.get(tuple[ProvidedBody, ...], f"{at}/provided")
    if session.as_json:
        session.json(json_array((*found, *provided)))
    elif found or provided:
        session.out.print(_table(found, provided, session.clock.now()))
    else:
        session.say(f"no variables in {environment} yet: gantry env set NAME=VALUE")


@command(
    "unset",
    ("remove two", "gantry env unset OLD_KEY OLDER_KEY"),
    group=env,
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@environment_option()
@project_option
@json_option
@pass_session
def unset(session: Session, names: tuple[str, ...], environment: str, project: str) -> None:
    """Remove variables, all or none. Running instances keep them until the next release."""
    _change(session, project, environment, remove=names)


@command(
    "import",
    ("everything in a file", "gantry env import .env.production"),
    ("into staging", "gantry env import .env -e staging"),
    group=env,
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@environment_option()
@project_option
@json_option
@pass_session
def import_(session: Session, file: Path, environment: str, project: str) -> None:
    """Set every variable of a .env file. Variables that are not in the file stay as they are."""
    text = (session.cwd / file).read_text(encoding="utf-8")
    values = {entry.name: entry.value for entry in parse_dotenv(text, where=str(file))}
    if not values:
        raise UserError("env.empty", f"{file} sets no variables", where=str(file))
    _change(session, project, environment, put=values)


def _values(session: Session, assignments: tuple[str, ...]) -> dict[str, str]:
    values: dict[str, str] = {}
    left = list(assignments)
    while left:
        assignment = left.pop(0)
        name, equals, value = assignment.partition("=")
        if not equals:
            from_stdin = bool(left) and left[0] == "-"
            if from_stdin:
                left.pop(0)
            value = _read(name) if from_stdin else _ask(session, name)
        if name in values:
            raise UserError("env.twice", f"{name} is given twice", hint="give each name once")
        values[name] = value
    return values


def _read(name: str) -> str:
    # A file that an editor wrote, and `echo`, end with a newline that nobody means.
    value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not value:
        raise UserError("env.empty", f"standard input gave no value for {name}")
    return value


def _ask(session: Session, name: str) -> str:
    if not session.err.is_terminal or not sys.stdin.isatty():
        raise UserError(
            "env.no-value",
            f"there is no value for {name}, and no terminal to ask for it",
            hint=f"gantry env set {name}=VALUE, or from standard input: gantry env set {name} -",
        )
    return str(prompt(name, hide_input=True, err=True))


def _change(
    session: Session,
    project: str,
    environment: str,
    *,
    put: dict[str, str] | None = None,
    remove: tuple[str, ...] = (),
) -> None:
    name = project_name(session, project)
    request = VariablesRequest(set=put or {}, unset=remove)
    at = environment_path(name, environment, "variables")
    left = session.api.patch(tuple[VariableBody, ...], at, request)
    if session.as_json:
        session.json(json_array(left))
        return
    done = "set" if put else "removed"
    session.say(f"{done} {', '.join(put or remove)} in {environment} of {name}")
    session.say(f"takes effect with the next release: gantry deploy --to {environment}", "dim")


def _table(
    variables: Iterable[VariableBody], provided: Iterable[ProvidedBody], now: datetime
) -> Table:
    rows = table("variable", "from", "set", "by", flexible=("variable",))
    for variable in variables:
        rows.add_row(
            variable.name, "env set", format_ago(variable.updated_at, now), variable.updated_by
        )
    for other in provided:
        rows.add_row(other.name, other.source, "", "")
    return rows
