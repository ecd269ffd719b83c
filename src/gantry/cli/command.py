"""How commands are declared: with examples, and with the options that many of them share."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click
from click.shell_completion import CompletionItem
from rich.markup import escape

from gantry.cli.folder import default_environment
from gantry.cli.session import Session
from gantry.kernel.errors import UserError
from gantry.kernel.units import parse_duration

ENVIRONMENTS = ("development", "staging", "production")
DEFAULT_ENVIRONMENT = "production"
_CLOCK_FORMATS = ("%H:%M", "%H:%M:%S")

_F = TypeVar("_F", bound=Callable[..., Any])

Example = tuple[str, str]
"""What it is for, and the command line that does it."""


class Command(click.RichCommand):
    """A command whose help ends with examples."""

    examples: tuple[Example, ...] = ()


class Group(click.RichGroup):
    """A command that has commands. Its help lists them in the order of their declaration."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def command(
    name: str, *examples: Example, group: click.Group | None = None
) -> Callable[[Callable[..., object]], Command]:
    """Declare a command with its examples, in a group if there is one."""

    def declare(function: Callable[..., object]) -> Command:
        made = click.command(name, cls=Command, epilog=_epilog(examples))(function)
        made.examples = examples
        if group is not None:
            group.add_command(made)
        return made

    return declare


def _epilog(examples: tuple[Example, ...]) -> str:
    # rich-click makes a line of each paragraph, and a blank line of an empty one.
    blocks = [
        f"[dim]# {escape(purpose)}[/]\n\n[bold cyan]{escape(line)}[/]" for purpose, line in examples
    ]
    return "\n\n \n\n".join(["[bold]Examples[/]", *blocks])


class EnvironmentType(click.ParamType[str]):
    """The name of an environment. The control plane decides whether it exists; the shell completes the usual ones."""

    name = "environment"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in ENVIRONMENTS if name.startswith(incomplete)]


yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask: everything is meant.")
detach_option = click.option(
    "--detach", is_flag=True, help="Print the deploy's id and return without waiting."
)


def json_option(function: _F) -> _F:
    """`--json`: the result as one JSON document on standard output."""

    def remember(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        session = ctx.find_object(Session)
        if value and session is not None:
            session.as_json = True

    return click.option(
        "--json",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=remember,
        help="Print the result as JSON.",
    )(function)


def project_option(function: _F) -> _F:
    """`--project`: the project whose environment is meant."""
    # Before other options: which environment is meant by default is said by the project's file.
    return click.option(
        "--project",
        "-p",
        default="",
        is_eager=True,
        help="Project; default: that of the nearest gantry.toml.",
    )(function)


def environment_option(*names: str, default: str = "") -> Callable[[_F], _F]:
    """`--environment`, with further names: `--to` where it is a destination.

    Parameters:
        default: where it is always the same; else it is what the project's gantry.toml says.
    """
    return click.option(
        *names,
        "--environment",
        "-e",
        "environment",
        type=EnvironmentType(),
        default=default or None,
        show_default=default or "production, or default_environment in gantry.toml",
        callback=_named_or_default,
        help="Target environment." if names else "Environment.",
    )


def _named_or_default(ctx: click.Context, _param: click.Parameter, value: str | None) -> str:
    session = ctx.find_object(Session)
    if value or session is None or ctx.params.get("project"):
        return value or DEFAULT_ENVIRONMENT
    return default_environment(session, ctx.params.get("path"))


def moment_of(given: str, now: datetime, *, option: str) -> datetime:
    """What people write for a moment: `30m` ago, `09:30` of today or else of yesterday, or a date with a time.

    Raises:
        UserError: `cli.bad-time`.
    """
    local = now.astimezone()
    try:
        return now - timedelta(seconds=parse_duration(given))
    except ValueError:
        pass
    for form in _CLOCK_FORMATS:
        try:
            at = datetime.strptime(given, form).time()  # noqa: DTZ007 -- a time of day
        except ValueError:
            continue
        today = local.replace(hour=at.hour, minute=at.minute, second=at.second, microsecond=0)
        return (today if today <= local else today - timedelta(days=1)).astimezone(UTC)
    try:
        return datetime.fromisoformat(given).astimezone(UTC)
    except ValueError:
        raise UserError(
            "cli.bad-time",
            f"--{option} {given!r} is no time",
            hint="write how long ago (30m, 2h, 1d), a time of day (09:30), or a date with a time (2026-01-31T09:30)",
        ) from None


pass_session = click.make_pass_decorator(Session)


def within_environment(function: _F) -> Callable[..., object]:
    """The options of a command about one environment, and the session: `--environment`, `--project`, `--json`."""
    return environment_option()(project_option(json_option(pass_session(function))))


directory_argument = click.argument(
    "path",
    required=False,
    is_eager=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
