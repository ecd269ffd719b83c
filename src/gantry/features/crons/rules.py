"""Which scheduled commands to start now. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from croniter import croniter

from gantry.features.crons.model import Run

Overlap = Literal["skip", "queue", "allow"]

BUSY = "the run before had not ended"


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
    """A moment at which a command should start.

    Attributes:
        asked: the run that waits for it, where somebody asked by hand.
    """

    wanted: Wanted
    at: datetime
    asked: Run | None = None


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
        name = (item.wanted.environment, item.wanted.cron)
        if name not in busy or item.wanted.overlap == "allow":
            steps.append(Start(item))
            busy.add(name)
        elif item.wanted.overlap == "skip":
            steps.append(Start(item, skipped=BUSY))
    return tuple(steps)


def last_due(schedule: str, since: datetime, now: datetime) -> datetime | None:
    """The last moment in (since, now] at which the cron expression `schedule` fires (UTC)."""
    moment: datetime = croniter(schedule, now + timedelta(microseconds=1)).get_prev(datetime)
    return moment if since < moment <= now else None


def next_due(schedule: str, now: datetime) -> datetime:
    """The first moment after `now` at which the cron expression `schedule` fires (UTC)."""
    moment: datetime = croniter(schedule, now).get_next(datetime)
    return moment
