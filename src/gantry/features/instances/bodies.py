"""What the API says of instances and their logs."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from gantry.kernel.bodies import Answer

InstanceStateName = Literal["starting", "healthy", "unhealthy", "backing-off", "stopping"]


class InstanceBody(Answer):
    """One instance."""

    id: str
    release: str
    release_number: int
    process: str
    slot: int
    state: InstanceStateName
    pid: int | None
    port: int | None
    memory_bytes: int
    restarts: int
    started_at: datetime | None
    message: str = Field("", description="Why it is not healthy, or how it ended last.")


class LogBody(Answer):
    """Part of an instance's or a task's log."""

    source: str = Field(description="Id of the instance or task.")
    text: str
    next_offset: int
