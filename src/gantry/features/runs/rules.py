"""What to do with runs that nobody holds any more, and what is written of one. Pure."""

import re
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gantry.engines.runtime.protocol import ProcessState, ProcessStatus
from gantry.features.runs.model import Program, Run, RunState
from gantry.kernel.errors import ConflictError, GantryError, UserError
from gantry.kernel.redact import MASK
from gantry.kernel.units import counted, format_duration

MAX_OPEN_IN_ENVIRONMENT = 5
MAX_OPEN = 20
MAX_COMMAND_SHOWN = 500
# Between the answer to a request and the client's coming for it.
ATTACH_TIMEOUT = timedelta(seconds=30)
# What a detached run needs, such as its database, may be away for this long.
START_TIMEOUT = timedelta(minutes=10)
# From SIGTERM to SIGKILL.
TERMINATE_TIMEOUT = timedelta(seconds=5)
LEFT = "whoever held it went away"
_LOST = "was lost, as when the machine is restarted"
_NOT_STARTED = f"could not be started within {format_duration(START_TIMEOUT.total_seconds())}"
_URL_PASSWORD = re.compile(r"(://[^/\s:@'\"]*:)[^@\s'\"]+@")
_NAMED_SECRET = re.compile(
    r"((?:passw(?:or)?d|passphrase|secret|token|api[-_]?key|private[-_]?key|credentials?)[\w-]*(?:=|\s+))"
    r"('[^']*'|\"[^\"]*\"|[^\s'\"]+)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Start:
    """Start a detached run, or adopt it where the answer to an earlier start was lost."""

    run: Run


@dataclass(frozen=True, slots=True)
class Terminate:
    """Tell it to end."""

    run: Run
    reason: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End it by force."""

    run: Run


@dataclass(frozen=True, slots=True)
class End:
    """Record how it ended."""

    run: Run
    exit_code: int | None
    detail: str


Action = Start | Terminate | Kill | End


def decide(
    runs: Iterable[Run],
    processes: Mapping[str, ProcessStatus],
    held: Collection[str],
    now: datetime,
) -> tuple[Action, ...]:
    """At most one step for each run that has not ended.

    Parameters:
        held: runs whose terminal or pipes a client of this control plane holds; their ends are recorded there.
    """
    steps = (
        _step(run, processes.get(run.process_id), held=run.id in held, now=now) for run in runs
    )
    return tuple(step for step in steps if step is not None)


def _step(run: Run, process: ProcessStatus | None, *, held: bool, now: datetime) -> Action | None:
    if run.state is RunState.WAITING:
        return _begin(run, held=held, now=now)
    if process is None or process.state is not ProcessState.RUNNING:
        if held or _is_being_started(run, process, now):
            return None
        return ending(run, process, left=not run.detached)
    if run.stopping_since is not None:
        return Kill(run) if now - run.stopping_since >= TERMINATE_TIMEOUT else None
    return None if held or run.detached else Terminate(run, LEFT)


def _is_being_started(run: Run, process: ProcessStatus | None, now: datetime) -> bool:
    started_at = run.started_at or run.created_at
    return process is None and now - started_at < ATTACH_TIMEOUT


def _begin(run: Run, *, held: bool, now: datetime) -> Action | None:
    if run.stopping_since is not None:
        return End(run, None, run.stop_reason)
    if run.detached:
        late = now - run.created_at >= START_TIMEOUT
        return End(run, None, _NOT_STARTED) if late else Start(run)
    if held or now - run.created_at < ATTACH_TIMEOUT:
        return None
    return End(run, None, "nobody came to hold it")


def ending(run: Run, process: ProcessStatus | None, *, left: bool = False) -> End:
    """How a run whose process does not run has ended.

    Parameters:
        left: nobody held it at its end, who should have.
    """
    if process is None or process.exit_code is None:
        return End(run, None, run.stop_reason or _LOST)
    code = process.exit_code
    if process.timed_out:
        detail = f"had run for {format_duration(run.timeout_s)}, its time limit"
    elif process.out_of_memory:
        detail = "used more memory than it may"
    elif run.stop_reason:
        detail = run.stop_reason
    elif left and code > 128:
        detail = LEFT  # its terminal or its pipes closed
    else:
        detail = f"ended by signal {code - 128}" if code > 128 else f"exited with {code}"
    return End(run, code, detail)


def readable(error: GantryError, run: Run, argv: Sequence[str]) -> GantryError:
    """What went wrong at a start, in the words of whoever typed the command."""
    if error.code != "runtime.no-program" or not argv or run.program is not Program.COMMAND:
        return error
    return UserError(
        "run.no-program",
        f"release {run.release_number} has no program {argv[0].split()[0]!r} that could be run",
        hint="gantry run 'echo $PATH; ls' shows where it is looked for, and what there is",
    )


def check_room(open_runs: Sequence[Run], environment: str) -> None:
    """Refuse one run more than there may be at once.

    Raises:
        ConflictError: `run.too-many`.
    """
    here = sum(run.environment == environment for run in open_runs)
    for count, limit, where in (
        (here, MAX_OPEN_IN_ENVIRONMENT, "in this environment"),
        (len(open_runs), MAX_OPEN, "on this platform"),
    ):
        if count >= limit:
            raise ConflictError(
                "run.too-many",
                f"{counted(count, 'command')} by hand {'runs' if count == 1 else 'run'} {where} already; the limit is {limit}",
                hint="gantry runs lists them, gantry runs stop RUN ends one",
            )


def shown_command(argv: Sequence[str], program: Program, redact: Callable[[str], str]) -> str:
    """A command line for people and for the audit log, with what looks like a secret masked.

    Parameters:
        redact: masks the known values.
    """
    # Each argument by itself: quoting would change a value so that it is not recognised.
    known = [redact(argument) for argument in argv]
    text = known[0] if len(known) == 1 else shlex.join(known)
    name = {Program.COMMAND: "", Program.POSTGRES: "psql", Program.REDIS: "redis"}[program]
    text = " ".join(part for part in (name, text) if part) or "a shell"
    text = _URL_PASSWORD.sub(rf"\g<1>{MASK}@", text)
    text = _NAMED_SECRET.sub(rf"\g<1>{MASK}", text)
    # A line of a table, not a page: control characters would move its reader's cursor.
    text = "".join(char if char.isprintable() else " " for char in text)
    return text if len(text) <= MAX_COMMAND_SHOWN else text[: MAX_COMMAND_SHOWN - 1] + "…"
