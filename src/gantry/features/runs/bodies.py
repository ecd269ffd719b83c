"""What the API says of runs."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field

from gantry.kernel.bodies import Answer, ErrorBody, Open, Request

if TYPE_CHECKING:
    from gantry.features.projects.model import Environment
    from gantry.features.runs.model import Run

MAX_ARGUMENTS = 1_000
MAX_ARGUMENT_CHARS = 100_000
MAX_TIMEOUT_S = 86_400.0
DEFAULT_TIMEOUT_S = 3_600.0
MAX_ROWS = 1_000
# Of what a holder sends: in one message, and in all that the program has not taken yet.
MAX_MESSAGE_BYTES = 65_536
MAX_UNTAKEN_BYTES = 262_144

Rows = Annotated[int, Field(ge=1, le=MAX_ROWS)]


class RunRequest(Request):
    """A command to run once."""

    program: Literal["command", "postgres", "redis"] = Field(
        "command",
        description="`command`: of the product. `postgres`, `redis`: the program that talks to that service.",
    )
    command: tuple[Annotated[str, Field(max_length=MAX_ARGUMENT_CHARS)], ...] = Field(
        (),
        max_length=MAX_ARGUMENTS,
        description="Program and arguments; a single one is a line for a shell, none is a shell. For a service: the "
        "arguments of its program.",
    )
    release: int | None = Field(
        None, ge=1, description="Number of the release to run it in; null for the live one."
    )
    terminal: bool = Field(default=False, description="Give it a terminal; else three pipes.")
    detach: bool = Field(
        default=False,
        description="Nobody holds it: it is started at once, and what it prints is kept as a log.",
    )
    read_only: bool = Field(
        default=False, description="For `postgres`: transactions change nothing unless told to."
    )
    timeout_s: float = Field(
        DEFAULT_TIMEOUT_S, ge=1, le=MAX_TIMEOUT_S, description="It is killed after this."
    )


class RunBody(Answer):
    """One run."""

    id: str
    project: str
    environment: str
    release: str
    release_number: int
    program: Open[Literal["command", "postgres", "redis"]]
    command: str = Field(description="The command line, with secrets masked.")
    terminal: bool
    detached: bool
    requested_by: str
    origin: str = Field(description="The address that it seemed to come from.")
    state: Open[Literal["waiting", "running", "succeeded", "failed"]]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    exit_code: int | None
    detail: str = Field(description="How it ended, in words; while it is told to end, why.")
    elapsed_s: float | None = Field(description="Since it was started, to its end or until now.")

    @classmethod
    def of(cls, run: "Run", environment: "Environment", now: datetime) -> Self:
        """A run as it is now."""
        until = run.finished_at or now
        return cls(
            id=run.id,
            project=environment.project,
            environment=environment.name,
            release=run.release,
            release_number=run.release_number,
            program=run.program.value,
            command=run.command,
            terminal=run.terminal,
            detached=run.detached,
            requested_by=run.requested_by,
            origin=run.origin,
            state=run.state.value,
            created_at=run.created_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
            exit_code=run.exit_code,
            detail=run.detail or run.stop_reason,
            elapsed_s=None
            if run.started_at is None
            else max(0.0, round((until - run.started_at).total_seconds(), 3)),
        )


class RunEvent(Answer):
    """What happened to a run that is followed: one of these."""

    text: str = Field("", description="Lines that it printed.")
    run: RunBody | None = Field(None, description="How it ended; the last event.")


class FromHolder(Request):
    """What the holder of a run says, besides what it types: one of these.

    Attributes:
        rows, columns: its terminal has another size now.
        end: no more input will come.
        stop: tell the program to end.
    """

    rows: Rows | None = None
    columns: Rows | None = None
    end: bool = False
    stop: bool = False


class ToHolder(Answer):
    """What the holder of a run is told, besides what it prints: one of these.

    Attributes:
        taken: so many more bytes of its input were taken.
        ended: how it ended; the last message.
        error: why it could not be started; the last message.
    """

    taken: int = 0
    ended: RunBody | None = None
    error: ErrorBody | None = None
