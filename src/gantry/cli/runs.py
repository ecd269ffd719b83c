"""`gantry run`, `gantry runs`, `gantry psql`, `gantry redis`: commands by hand, where the product runs."""

import os
import sys
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

import rich_click as click
from rich.text import Text

from gantry.cli.command import (
    Group,
    command,
    environment_option,
    json_option,
    pass_session,
    project_option,
    within_environment,
)
from gantry.cli.folder import project_name
from gantry.cli.listing import Listing
from gantry.cli.session import Session
from gantry.cli.terminal import json_array, printable
from gantry.cli.transport import environment_path
from gantry.config.settings import whole_environment
from gantry.features.instances.bodies import LogBody
from gantry.features.runs.bodies import (
    DEFAULT_TIMEOUT_S,
    MAX_TIMEOUT_S,
    RunBody,
    RunEvent,
    RunRequest,
)
from gantry.features.services.loans import USUAL_LOAN_S, LoanBody, LoanRequest
from gantry.kernel.errors import Cancelled, PermanentError, UserError
from gantry.kernel.units import format_ago, format_elapsed, parse_duration

_STYLES = {"running": "cyan", "waiting": "dim", "succeeded": "green", "failed": "red"}
_BROKEN_PIPE = 141
_DATABASE = "database"


class DurationType(click.ParamType[float]):
    """A duration such as `30s`, `10m` or `2h`, in seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        try:
            seconds = parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not 1 <= seconds <= MAX_TIMEOUT_S:
            self.fail(f"{value} is not from 1s to 1d", param, ctx)
        return seconds


timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=DurationType(),
    default=DEFAULT_TIMEOUT_S,
    show_default="1h",
    metavar="DURATION",
    help="It is killed after this; at most 1d.",
)
plain_option = click.option(
    "--no-terminal", "-T", is_flag=True, help="Pipes, also where there is a terminal."
)


@command(
    "run",
    ("a shell in production", "gantry run"),
    ("a command in staging", "gantry run -e staging -- node scripts/seed.mjs"),
    ("a line for a shell", "gantry run 'env | sort | head'"),
    ("input and output through pipes", "gantry run -- pg_dump > dump.sql"),
    ("something long, without waiting", "gantry run --detach --timeout 6h -- npm run reindex"),
)
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[--] [COMMAND]...")
@click.option(
    "--release", type=click.IntRange(1), metavar="NUMBER", help="Release; default: the live one."
)
@timeout_option
@click.option("--detach", "-d", is_flag=True, help="Leave it running; its output is kept.")
@plain_option
@within_environment
def run(
    session: Session,
    argv: tuple[str, ...],
    release: int | None,
    timeout_s: float,
    detach: bool,
    no_terminal: bool,
    environment: str,
    project: str,
) -> None:
    """Run a command, or a shell, where the product runs.

    In a sandbox of its own with the artifact, variables and services of the live release, and the memory of the web
    process; what it writes to its disk is forgotten. On a terminal it has a terminal, else input, output and errors are
    pipes. It ends when you leave, and its exit code is this command's. Who ran what is in the audit log.
    """
    request = RunRequest(
        command=argv,
        release=release,
        timeout_s=timeout_s,
        detach=detach,
        terminal=not detach and not no_terminal and _on_terminal(),
    )
    target = Target(session, project_name(session, project), environment)
    if detach:
        body = target.begin(request)
        if session.as_json:
            session.json(body.model_dump_json())
        else:
            session.say(f"✓ {body.id} runs in {environment} of {target.project}")
            session.say(f"  gantry runs logs {body.id} -f -e {environment}")
        return
    target.run(request)


@command(
    "psql",
    ("a prompt on the database of production", "gantry psql"),
    ("look without changing anything", "gantry psql --read-only"),
    ("one statement, for a script", "gantry psql -e staging -c 'select count(*) from users'"),
    ("a script from a file", "gantry psql -e staging < fix.sql"),
    ("arguments of psql itself", "gantry psql -- --csv -c 'table users'"),
    ("an address for a client of your own, for 8 hours", "gantry psql --url --read-only"),
)
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENT...]")
@click.option(
    "--command",
    "-c",
    "statements",
    multiple=True,
    metavar="SQL",
    help="Run this and end; may be repeated.",
)
@click.option("--read-only", is_flag=True, help="Transactions change nothing unless told to.")
@click.option(
    "--url", "only_url", is_flag=True, help="Print an address for another client instead."
)
@click.option(
    "--for",
    "lent_for_s",
    type=DurationType(),
    default=USUAL_LOAN_S,
    show_default="8h",
    metavar="DURATION",
    help="How long the address of --url is good for, at most 1d.",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask before production is changed.")
@timeout_option
@plain_option
@environment_option()
@project_option
@json_option
@pass_session
def psql(
    session: Session,
    argv: tuple[str, ...],
    statements: tuple[str, ...],
    read_only: bool,
    only_url: bool,
    lent_for_s: float,
    yes: bool,
    timeout_s: float,
    no_terminal: bool,
    environment: str,
    project: str,
) -> None:
    """Open a prompt on an environment's Postgres database.

    The database is the one that the live release finds in DATABASE_URL. psql runs beside it, in a sandbox that has its
    address and nothing else; it needs nothing on this machine. Production asks first, unless nothing can change.

    --url prints an address for a client of your own, such as a graphical one: with a user and a password that end with the
    time of --for. It leads to the machine that Gantry runs on, and to nowhere else.
    """
    target = Target(session, project_name(session, project), environment)
    target.confirm(_DATABASE, yes=yes or read_only)
    if only_url:
        _lend(target, LoanRequest(read_only=read_only, duration_s=lent_for_s))
        return
    given = tuple(part for statement in statements for part in ("-c", statement))
    target.run(
        RunRequest(
            program="postgres",
            command=(*given, *argv),
            read_only=read_only,
            timeout_s=timeout_s,
            terminal=not statements and not no_terminal and _on_terminal(),
        )
    )


@command(
    "redis",
    ("a prompt on the cache of production", "gantry redis"),
    ("one command", "gantry redis -e staging -- DBSIZE"),
)
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before production is changed.")
@timeout_option
@plain_option
@environment_option()
@project_option
@pass_session
def redis(
    session: Session,
    argv: tuple[str, ...],
    yes: bool,
    timeout_s: float,
    no_terminal: bool,
    environment: str,
    project: str,
) -> None:
    """Open a prompt on an environment's Redis cache.

    The cache is the one that the live release finds in REDIS_URL. Production asks first.
    """
    target = Target(session, project_name(session, project), environment)
    target.confirm("cache", yes=yes)
    terminal = not argv and not no_terminal and _on_terminal()
    target.run(RunRequest(program="redis", command=argv, timeout_s=timeout_s, terminal=terminal))


# What stands behind the first word belongs to the command that is run.
run.allow_interspersed_args = psql.allow_interspersed_args = redis.allow_interspersed_args = False


@click.group("runs", cls=Group, invoke_without_command=True)
@environment_option()
@project_option
@json_option
@click.pass_context
def runs(ctx: click.Context, environment: str, project: str) -> None:
    """List commands that people ran by hand, read their output, stop them."""
    if ctx.invoked_subcommand is not None:
        return
    session = ctx.find_object(Session)
    assert session is not None, "every command has one"
    name = project_name(session, project)
    found = session.api.get(tuple[RunBody, ...], environment_path(name, environment, "runs"))
    if session.as_json:
        session.json(json_array(found))
    elif not found:
        session.say(
            f"nothing was run by hand in {environment} of {name} yet: gantry run -e {environment}"
        )
    else:
        session.show(_listed(found, session.clock.now()))


@command(
    "logs",
    ("what a detached run has printed", "gantry runs logs run-7kq2m9xw4t"),
    ("and new lines, until it ends", "gantry runs logs run-7kq2m9xw4t -f"),
    group=runs,
)
@click.argument("run_id", metavar="RUN")
@click.option(
    "--follow",
    "-f",
    is_flag=True,
    help="Keep printing until it ends; its exit code is this command's.",
)
@click.option(
    "--tail",
    "-n",
    type=click.IntRange(0, 5_000),
    default=1_000,
    show_default=True,
    metavar="NUMBER",
    help="Last lines.",
)
@within_environment
def run_logs(
    session: Session, run_id: str, follow: bool, tail: int, environment: str, project: str
) -> None:
    """Show what a detached run has printed. Secrets are masked; nothing is kept of other runs."""
    name = project_name(session, project)
    at = (name, environment, "runs", run_id)
    if not follow:
        body = session.api.get(LogBody, environment_path(*at, "logs", tail=tail))
        if session.as_json:
            session.json(body.model_dump_json())
            return
        click.echo(
            Text.from_ansi(body.text).plain if session.out.is_terminal else body.text, nl=False
        )
        if not body.text:
            session.say(
                "no output"
                if session.api.get(RunBody, environment_path(*at)).detached
                else "nothing is kept of what it printed: it was not detached"
            )
        return
    for event in session.api.stream(RunEvent, environment_path(*at, "events", tail=tail)):
        if session.as_json:
            session.json(event.model_dump_json())
        elif event.text:
            click.echo(event.text, nl=False)
        if event.run is not None:
            _leave(session, event.run)
    raise PermanentError(
        "control.lost",
        "the control plane ended while the run was followed",
        hint=f"gantry runs logs {run_id} -f",
    )


@command("stop", ("end a run", "gantry runs stop run-7kq2m9xw4t"), group=runs)
@click.argument("run_id", metavar="RUN")
@within_environment
def stop(session: Session, run_id: str, environment: str, project: str) -> None:
    """End a run: SIGTERM, and SIGKILL 5 s later."""
    name = project_name(session, project)
    body = session.api.post(RunBody, environment_path(name, environment, "runs", run_id, "stop"))
    if session.as_json:
        session.json(body.model_dump_json())
    elif body.finished_at is not None:
        session.say(f"{run_id} had ended: {body.detail}")
    else:
        session.say(f"✓ {run_id} is told to end")


@dataclass(frozen=True)
class Target:
    """The environment in which something is run."""

    session: Session
    project: str
    environment: str

    def confirm(self, what: str, *, yes: bool) -> None:
        """Ask before production's data can be changed.

        Raises:
            UserError: `run.not-confirmed` nobody is there to be asked.
            Cancelled: `run.declined`.
        """
        if yes or self.environment != "production":
            return
        if not sys.stdin.isatty():
            raise UserError(
                "run.not-confirmed",
                f"this can change the {what} of {self.project} in production, and nobody is here to be asked",
                hint="say --yes" + (", or --read-only" if what == _DATABASE else ""),
            )
        question = f"This is the {what} of {self.project} in production. Open it?"
        if not click.confirm(question, default=False, err=True):
            raise Cancelled("run.declined", "nothing was opened")

    def begin(self, request: RunRequest) -> RunBody:
        """Ask for a run."""
        return self.session.api.post(
            RunBody, environment_path(self.project, self.environment, "runs"), request
        )

    def run(self, request: RunRequest) -> None:
        """Run it, hold it to its end, and end with its exit code."""
        from gantry.cli.holding import hold, window  # noqa: PLC0415 -- needs a WebSocket client

        session = self.session
        body = self.begin(request)
        rows, columns = window()
        at = environment_path(
            self.project, self.environment, "runs", body.id, "hold",
            rows=min(rows, 1_000), columns=min(columns, 1_000), term=whole_environment().get("TERM", "")[:40],
        )  # fmt: skip
        try:
            ended = hold(session, session.api.line(at), terminal=request.terminal)
        except BrokenPipeError:
            # As other programs do whose reader has gone; what is still buffered must not be tried again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            session.exit(_BROKEN_PIPE)
        _leave(session, ended)


def _lend(target: Target, request: LoanRequest) -> None:
    session = target.session
    at = environment_path(target.project, target.environment, "loans")
    body = session.api.post(LoanBody, at, request)
    if session.as_json:
        session.json(body.model_dump_json())
        return
    click.echo(body.url)
    may = "reads" if body.read_only else "reads and writes"
    session.say(f"{may} until {body.until:%Y-%m-%d %H:%M} UTC; keep it to yourself", style="dim")
    if session.remote is not None:
        host = urlsplit(session.remote.url).hostname
        session.say("it leads to the machine of the platform; from here, open a tunnel first:")
        session.say(f"  ssh -N -L {body.port}:{body.host}:{body.port} {host}")


def _leave(session: Session, body: RunBody) -> None:
    """End with the exit code of a run; say why it ended where the code does not."""
    ordinary = body.detail == f"exited with {body.exit_code}"
    if not ordinary and not session.as_json:
        session.say(f"{body.id}: {body.detail}", style="yellow")
    session.exit(body.exit_code if body.exit_code is not None else 1)


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _listed(found: tuple[RunBody, ...], now: datetime) -> Listing:
    rows = Listing("run", "who", "what", "when", "took", "exit", flexible=("what",))
    for body in found:
        rows.add_row(
            body.id,
            body.requested_by,
            printable(body.command),
            format_ago(body.created_at, now),
            format_elapsed(body.elapsed_s),
            _exit(body),
        )
    return rows


def _exit(body: RunBody) -> Text:
    style = _STYLES.get(body.state, "")
    if body.finished_at is None:
        return Text(body.state, style=style)
    return Text(str(body.exit_code) if body.exit_code is not None else body.detail, style=style)
