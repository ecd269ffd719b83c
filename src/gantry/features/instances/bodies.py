"""What the API says of instances and their logs."""

from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from gantry.engines.runtime.protocol import ProcessState, ProcessStatus
from gantry.features.instances.model import Health, Instance
from gantry.kernel.bodies import Answer, Open

InstanceStateName = Literal["starting", "healthy", "unhealthy", "backing-off", "stopping"]


class InstanceBody(Answer):
    """One instance."""

    id: str
    release: str
    release_number: int
    process: str
    slot: int
    state: Open[InstanceStateName]
    pid: int | None
    port: int | None
    memory_bytes: int
    restarts: int
    started_at: datetime | None
    message: str = Field("", description="Why it is not healthy, or how it ended last.")

    @classmethod
    def of(
        cls,
        instance: Instance,
        *,
        release_number: int,
        process: ProcessStatus | None,
        health: Health | None,
        now: datetime,
    ) -> Self:
        """An instance: what the database wants of it, what its process does, and what its last probes said."""
        running = process is not None and process.state is ProcessState.RUNNING
        state = state_of(instance, health, running=running, now=now)
        return cls(
            id=instance.id,
            release=instance.release,
            release_number=release_number,
            process=instance.process,
            slot=instance.slot,
            state=state,
            pid=process.pid if process is not None and running else None,
            port=instance.port,
            memory_bytes=process.memory_bytes if process is not None and running else 0,
            restarts=instance.restarts,
            started_at=instance.started_at,
            message=_message(instance, health, state),
        )


def state_of(
    instance: Instance, health: Health | None, *, running: bool, now: datetime
) -> InstanceStateName:
    """The state of an instance whose process runs, or does not."""
    if instance.stopping_since is not None or instance.leaving_since is not None:
        return "stopping"
    if instance.started_at is None:
        waits = instance.next_start_at is not None and instance.next_start_at > now
        return "backing-off" if waits else "starting"
    if not running:
        return "unhealthy"
    if instance.healthy_at is None:
        return "starting"
    return "healthy" if health is None or health.healthy else "unhealthy"


def _message(instance: Instance, health: Health | None, state: InstanceStateName) -> str:
    if state in ("starting", "unhealthy") and health is not None and health.message:
        return health.message
    return "" if state == "stopping" else instance.last_exit


class LogBody(Answer):
    """Part of an instance's or a task's log."""

    source: str = Field(description="Id of the instance or task.")
    text: str
    next_offset: int
