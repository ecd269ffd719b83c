"""`gantry env`: the variables of an environment."""

import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import rich_click as click
from click import confirm, prompt
from rich.text import Text

from gantry.cli.command import (
    EnvironmentType,
    Group,
    command,
    environment_option,
    json_option,
    pass_session,
    project_option,
    within_environment,
)
from gantry.cli.deploy_following import see_through
from gantry.cli.folder import project_name
from gantry.cli.listing import Listing
from gantry.cli.session import Session
from gantry.cli.terminal import json_array
from gantry.cli.transport import environment_path
from gantry.config.env_example import parse_dotenv
from gantry.features.deploys.bodies import DeployBody
from gantry.features.variables.bodies import (
    CopyRequest,
    DifferenceBody,
    ProvidedBody,
    VariableBody,
    VariablesRequest,
)
from gantry.features.variables.model import DifferenceState
from gantry.kernel.errors import Cancelled, NotFoundError, UserError
from gantry.kernel.units import counted, format_ago

_apply_option = click.option(
    "--apply", is_flag=True, help="Then make a release that has the change: gantry redeploy."
)


@click.group("env", cls=Group)
def env() -> None:
    """Set, list, remove, import, copy and compare variables."""


@command(
    "set",
    ("a plain value", "gantry env set LOG_LEVEL=debug"),
    ("a secret: you are prompted for it, and nothing is shown", "gantry env set SESSION_SECRET"),
    ("a secret from a file or another program", "gantry env set TLS_KEY - < key.pem"),
    ("several plain ones, in staging", "gantry env set LOG_LEVEL=debug CACHE=off -e staging"),
    ("and make a release that has it", "gantry env set SESSION_SECRET --apply"),
    group=env,
)
@click.argument("assignments", nargs=-1, required=True, metavar="NAME[=VALUE]...")
@environment_option()
@project_option
@_apply_option
@json_option
@pass_session
def set_(
    session: Session, assignments: tuple[str, ...], environment: str, project: str, apply: bool
) -> None:
    """Set variables, all or none. They take effect with the next release, or with --apply at once.

    NAME alone prompts for the value and shows nothing of it; NAME - reads it from standard input. So a secret
    appears in no shell history and in no list of processes.
    """
    put = _values(session, assignments)
    _change(session, project, environment, put=put, apply=apply)


@command(
    "list",
    ("names, where they come from, and who set them when", "gantry env list -e staging"),
    group=env,
)
@within_environment
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
        session.show(_table(found, provided, session.clock.now()))
    else:
        session.say(f"no variables in {environment} yet: gantry env set NAME -e {environment}")


@command(
    "unset",
    ("remove two", "gantry env unset OLD_KEY OLDER_KEY"),
    ("and make a release without it", "gantry env unset OLD_KEY --apply"),
    group=env,
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@environment_option()
@project_option
@_apply_option
@json_option
@pass_session
def unset(
    session: Session, names: tuple[str, ...], environment: str, project: str, apply: bool
) -> None:
    """Remove variables, all or none. Running instances keep them until the next release."""
    _change(session, project, environment, remove=names, apply=apply)


@command(
    "copy",
    ("everything that staging has, to production", "gantry env copy staging production"),
    ("two of them, without asking", "gantry env copy staging production API_URL MAIL_FROM --yes"),
    group=env,
)
@click.argument("source", metavar="FROM", type=EnvironmentType())
@click.argument("target", metavar="TO", type=EnvironmentType())
@click.argument("names", nargs=-1, metavar="[NAME]...")
@project_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
@pass_session
def copy(
    session: Session, source: str, target: str, names: tuple[str, ...], project: str, yes: bool
) -> None:
    """Set variables of one environment to what they are in another. Values are never shown.

    Says first which are new and which are replaced, and asks. Variables that are equal already stay as they are.
    """
    name = project_name(session, project)
    found = _differences(session, name, target, source)
    unknown = [given for given in names if given not in found or found[given] == "only-here"]
    if unknown:
        raise UserError(
            "variable.unknown",
            f"{source} of {name} has no variable {unknown[0]!r}",
            hint=f"gantry env list -e {source} shows them",
        )
    states = {item: found[item] for item in names or found}
    new = [item for item, state in states.items() if state == "only-there"]
    replaced = [item for item, state in states.items() if state == "differs"]
    if not new and not replaced:
        session.say(f"nothing to copy: {target} has the same values already")
        if session.as_json:
            session.json("[]")
        return
    if not yes:
        _ask_copy(session, target, new, replaced)
    request = CopyRequest(from_environment=source, names=(*new, *replaced))
    at = environment_path(name, target, "variables", "copy")
    left = session.api.post(tuple[VariableBody, ...], at, request)
    if session.as_json:
        session.json(json_array(left))
        return
    session.say(f"copied {', '.join((*new, *replaced))} from {source} to {target} of {name}")
    session.say(f"takes effect with the next release: gantry redeploy --to {target}", "dim")


def _ask_copy(session: Session, target: str, new: list[str], replaced: list[str]) -> None:
    if session.as_json or not session.err.is_terminal or not sys.stdin.isatty():
        raise UserError(
            "env.copy-not-confirmed",
            f"{target} would get {counted(len(new), 'new value')} and lose {len(replaced)} of its own, and nobody can be asked",
            hint="if that is meant: gantry env copy FROM TO --yes",
        )
    if new:
        session.say(f"new in {target}: {', '.join(new)}")
    if replaced:
        session.say(f"replaced in {target}: {', '.join(replaced)}", style="yellow")
    if not confirm("Copy them?", default=False, err=True):
        raise Cancelled("cli.declined", "nothing was copied")


@command(
    "diff",
    ("what production lacks, or has otherwise", "gantry env diff staging production"),
    group=env,
)
@click.argument("first", metavar="A", type=EnvironmentType())
@click.argument("second", metavar="B", type=EnvironmentType())
@project_option
@json_option
@pass_session
def diff(session: Session, first: str, second: str, project: str) -> None:
    """Compare the variables of two environments. Says whether values are equal, and never shows them."""
    name = project_name(session, project)
    at = environment_path(name, first, "variables", "diff", other=second)
    found = session.api.get(tuple[DifferenceBody, ...], at)
    if session.as_json:
        session.json(json_array(found))
    elif found:
        rows = Listing("variable", "", flexible=("variable",))
        states = {
            "equal": Text("equal", style="dim"),
            "differs": Text("differs", style="yellow"),
            "only-here": Text(f"only in {first}", style="yellow"),
            "only-there": Text(f"only in {second}", style="yellow"),
        }
        for body in found:
            rows.add_row(body.name, states.get(body.state, Text(body.state)))
        session.show(rows)
    else:
        session.say(f"neither {first} nor {second} has variables")


def _differences(
    session: Session, project: str, environment: str, other: str
) -> dict[str, DifferenceState]:
    """Name -> how a variable of `environment` stands to that of `other`; one that was never made has none."""
    try:
        at = environment_path(project, environment, "variables", "diff", other=other)
        found = session.api.get(tuple[DifferenceBody, ...], at)
    except NotFoundError as error:
        at = environment_path(project, other, "variables")
        if error.code != "environment.unknown":
            raise
        return {body.name: "only-there" for body in session.api.get(tuple[VariableBody, ...], at)}
    return {body.name: body.state for body in found}


@command(
    "import",
    ("everything in a file", "gantry env import .env.production"),
    ("into staging", "gantry env import .env -e staging"),
    group=env,
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@within_environment
def import_(session: Session, file: Path, environment: str, project: str) -> None:
    """Set every variable of a .env file. Variables that are not in the file stay as they are."""
    text = (session.cwd / file).read_text(encoding="utf-8")
    values = {entry.name: entry.value for entry in parse_dotenv(text, where=str(file))}
    if not values:
        raise UserError("env.empty", f"{file} sets no variables", where=str(file))
    _change(session, project, environment, put=values, apply=False)


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
            hint=f"gantry env set {name} - reads it from standard input",
        )
    return str(prompt(name, hide_input=True, err=True))


def _change(
    session: Session,
    project: str,
    environment: str,
    *,
    put: dict[str, str] | None = None,
    remove: tuple[str, ...] = (),
    apply: bool,
) -> None:
    name = project_name(session, project)
    request = VariablesRequest(set=put or {}, unset=remove)
    at = environment_path(name, environment, "variables")
    left = session.api.patch(tuple[VariableBody, ...], at, request)
    if session.as_json and not apply:
        session.json(json_array(left))
        return
    done = "set" if put else "removed"
    session.say(f"{done} {', '.join(put or remove)} in {environment} of {name}")
    if apply:
        redeploy = environment_path(name, environment, "redeploy")
        see_through(session, session.api.post(DeployBody, redeploy), detach=False)
    else:
        sentence = f"takes effect with the next release: gantry redeploy --to {environment}"
        session.say(sentence, "dim")


def _table(
    variables: Iterable[VariableBody], provided: Iterable[ProvidedBody], now: datetime
) -> Listing:
    rows = Listing("variable", "from", "set", "by", flexible=("variable",))
    for variable in variables:
        rows.add_row(
            variable.name, "env set", format_ago(variable.updated_at, now), variable.updated_by
        )
    for other in provided:
        rows.add_row(other.name, other.source, "", "")
    return rows
