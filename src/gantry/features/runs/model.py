"""A run: one command that somebody ran by hand in an environment."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Program(StrEnum):
    """What runs."""

    COMMAND = "command"  # of the product, or a shell in its place
    POSTGRES = "postgres"  # psql on the environment's database
    REDIS = "redis"  # a prompt on the environment's cache


class RunState(StrEnum):
    """What became of a run."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Who holds its terminal or its pipes ends it by leaving, unless it is detached.

    Attributes:
        environment, release: identities.
        command: what was asked for, in words, with secrets masked.
        terminal: it has one; else its input and output are pipes.
        detached: nobody holds it, and its output is kept as a log.
        requested_by, origin: the account, and the address that it seemed to come from.
        argv_sealed: its arguments, until it was started.
        stopping_since, stop_reason: when and why it was told to end.
        exit_code: `None` while it runs, and where it was never started or was lost.
        detail: how it ended, in words.
    """

    id: str
    environment: str
    release: str
    release_number: int
    program: Program
    command: str
    terminal: bool
    detached: bool
    read_only: bool
    timeout_s: float
    requested_by: str
    origin: str
    state: RunState
    created_at: datetime
    argv_sealed: bytes | None = field(default=None, repr=False)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    stopping_since: datetime | None = None
    stop_reason: str = ""
    exit_code: int | None = None
    detail: str = ""

    @property
    def process_id(self) -> str:
        """Of its process; `commands_of` finds all of an environment."""
        return f"{commands_of(self.environment)}{self.id.removeprefix('run-')}"


def commands_of(environment: str) -> str:
    """What the processes of all runs of an environment begin with."""
    return f"run-{environment}-"
