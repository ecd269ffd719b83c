"""Which scheduled commands to start now. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Overlap = Literal["skip", "queue", "allow"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A scheduled command of a live release.

    Attributes:
        command: run as a process of the release; empty when `path` is asked instead.
        path: asked of the environment's own address, with `CRON_SECRET` as bearer token.
        overlap: what happens when a run is due while the one before still runs.
    """

    environment: str
    release: str
    cron: str
    command: str
    path: str
    schedule: str
    overlap: Overlap
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Due:
    """A moment at which a command should start."""

    wanted: Wanted
    at: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was started."""

    environment: str
    cron: str
    scheduled_for: datetime
    process_id: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start a run, or record why it was left out.

    Attributes:
        skipped: empty, or why.
    """

    due: Due
    skipped: str = ""


def decide(due: Iterable[Due], running: Iterable[Run]) -> tuple[Start, ...]:
    """One step for each moment that has come; with `queue`, nothing until the run before has ended."""
    busy = {(run.environment, run.cron) for run in running}
    steps = []
    for item in due:
        if (
            item.wanted.environment,
            item.wanted.cron,
        ) not in busy or item.wanted.overlap == "allow":
            steps.append(Start(item))
        elif item.wanted.overlap == "skip":
            steps.append(Start(item, skipped="the run before had not ended"))
    return tuple(steps)
