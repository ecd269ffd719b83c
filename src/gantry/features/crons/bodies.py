"""What the API says of scheduled commands and their runs."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from gantry.kernel.bodies import Answer, Open

if TYPE_CHECKING:
    from gantry.features.crons.model import Run

RunStateName = Literal["asked", "running", "succeeded", "failed", "skipped"]


class CronRunBody(Answer):
    """One run of a scheduled command."""

    id: str = Field(
        description="Digits of its moment; unlike those of any other run of the command."
    )
    cron: str
    state: Open[RunStateName] = Field(description="`asked` until the scheduler has started it.")
    scheduled_for: datetime
    asked_by: str = Field("", description="Who asked for it by hand; empty when the schedule did.")
    started_at: datetime | None = None
    finished_at: datetime | None = None
    elapsed_s: float | None = None
    detail: str = Field("", description="How it ended: `exited with 1`, `status 500`.")

    @classmethod
    def of(cls, run: "Run", now: datetime) -> Self:
        """A run as the database has it."""
        ran_until = run.finished_at or now
        begun = run.started_at if run.state != "skipped" else None
        return cls(
            id=run.id,
            cron=run.cron,
            state=run.state.value,
            scheduled_for=run.scheduled_for,
            asked_by=run.asked_by,
            started_at=begun,
            finished_at=run.finished_at,
            elapsed_s=max(0.0, (ran_until - begun).total_seconds()) if begun else None,
            detail=run.detail,
        )


class CronBody(Answer):
    """A scheduled command of an environment."""

    name: str
    schedule: str = Field(description="Cron expression, in UTC.")
    command: str = Field(description="What is run; empty where a path is asked.")
    path: str = Field(
        description="What is asked of the environment's own address; empty where a command is run."
    )
    overlap: Open[Literal["skip", "queue", "allow"]]
    timeout_s: float
    next_at: datetime
    running: int = Field(description="Runs that have begun and not ended.")
    last: CronRunBody | None = Field(description="The newest run; null before the first.")


class CronOutputBody(Answer):
    """A run with what it printed, or what its path answered."""

    run: CronRunBody
    text: str = Field(description="At most the last 256 KiB. Values of variables are masked.")
    kept: bool = Field(
        description="Whether its output is still there: that of the newest 20 runs of each command is."
    )
