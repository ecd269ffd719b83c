"""Runs of scheduled commands."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

CRON_PREFIX = "cron-"
"""Begins the id of every process of a scheduled command."""


class RunState(StrEnum):
    """State of a run."""

    ASKED = "asked"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def is_open(self) -> bool:
        """It has not ended."""
        return self in (RunState.ASKED, RunState.RUNNING)


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a scheduled command.

    Attributes:
        environment: its identity.
        cron: name of the command in the manifest.
        scheduled_for: the moment of the schedule, or when somebody asked for it.
        process_id: of its process; also of a request to a path, which has none.
        asked_by: account of whoever asked for it by hand; empty when the schedule did.
        release: identity of the release that it ran with; empty until it starts.
        detail: how it ended, in words.
        output: what a path answered, at most 4 KB; `None` of a command, whose output is in its process's log.
    """

    environment: str
    cron: str
    scheduled_for: datetime
    process_id: str
    state: RunState = RunState.RUNNING
    asked_by: str = ""
    release: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    detail: str = ""
    output: str | None = None

    @property
    def id(self) -> str:
        """Which run of its command it is: the digits of its moment."""
        return self.process_id.rpartition("-")[2]


def run_at(environment: str, cron: str, moment: datetime, *, asked_by: str = "") -> Run:
    """The run of a moment: of the schedule, or asked for by `asked_by`.

    Two people may ask within a second; of a schedule's moment there is only one run.
    """
    digits = f"{moment:%Y%m%d%H%M%S%f}" if asked_by else f"{moment:%Y%m%d%H%M%S}"
    return Run(
        environment,
        cron,
        moment,
        f"{CRON_PREFIX}{environment}-{cron}-{digits}",
        state=RunState.ASKED if asked_by else RunState.RUNNING,
        asked_by=asked_by,
    )
