"""What the API says of instances and their logs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from pydantic import Field

from gantry.engines.runtime.protocol import ProcessState
from gantry.kernel.bodies import Answer, Open

if TYPE_CHECKING:
    from gantry.engines.runtime.protocol import ProcessStatus
    from gantry.features.instances.model import Health, Instance

LevelName = Literal["trace", "debug", "info", "warn", "error", "fatal"]
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
    restarts: int = Field(description="Times that it was started again for a fault of its own.")
    restart_reason: str = Field("", description="Why the last time, in two or three words.")
    restarted_at: datetime | None = None
    started_at: datetime | None
    message: str = Field("", description="Why it is not healthy, or how it ended last.")

    @classmethod
    def of(
        cls,
        instance: "Instance",
        *,
        release_number: int,
        process: "ProcessStatus | None",
        health: "Health | None",
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
            restart_reason=instance.last_fault,
            restarted_at=instance.last_fault_at,
            started_at=instance.started_at,
            message=_message(instance, health, state),
        )


def state_of(
    instance: "Instance", health: "Health | None", *, running: bool, now: datetime
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


def _message(instance: "Instance", health: "Health | None", state: InstanceStateName) -> str:
    if state in ("starting", "unhealthy") and health is not None and health.message:
        return health.message
    return "" if state == "stopping" else instance.last_exit


class LineTime(Answer):
    """From which line on which time holds."""

    line: int = Field(description="Number of a line of the text, from 0.")
    at: datetime


class LineLevel(Answer):
    """From which line on which level holds."""

    line: int = Field(description="Number of a line of the text, from 0.")
    level: Open[LevelName] | None = Field(description="Null where lines tell none.")


class Line(NamedTuple):
    """A line of a log, or a part of one."""

    at: datetime | None
    text: str
    level: str | None = None


class LogBody(Answer):
    """Part of an instance's or a task's log."""

    source: str = Field(description="Id of the instance or task.")
    text: str
    next_offset: int
    process: str = Field("", description="`web`, `worker.NAME`; empty of a task.")
    slot: int | None = Field(
        None, description="Which of the process's instances; null of one that is gone."
    )
    release_number: int | None = None
    times: tuple[LineTime, ...] = Field(
        (),
        description="When the lines were written: exact to a second while the platform ran, and never too early.",
    )

    levels: tuple[LineLevel, ...] = Field(
        (),
        description="How urgent lines are, as far as they say so. Lines that continue one have its level.",
    )

    def lines(self) -> Iterator[Line]:
        """Each line with its time and level; the last one may go on in the next body."""
        changes = {change.line: change.at for change in self.times}
        levels = {change.line: change.level for change in self.levels}
        now, level = None, None
        for number, line in enumerate(
            self.text.removesuffix("\n").split("\n") if self.text else ()
        ):
            now, level = changes.get(number, now), levels.get(number, level)
            yield Line(now, line, level)

    def with_lines(self, lines: Sequence[Line], *, ended: bool) -> Self:
        """The same log with these lines.

        Parameters:
            ended: the last one is whole.
        """
        return self.model_copy(
            update={
                "text": "\n".join(line.text for line in lines) + ("\n" if ended else ""),
                "times": line_times(line.at for line in lines if line.at is not None),
                "levels": line_levels(line.level for line in lines),
            }
        )


def merged(bodies: Iterable[LogBody]) -> Iterator[LogBody]:
    """Parts of several logs in the order in which their lines were written, each of lines of one log that follow each other.

    A line without a time stands where the one before it in its log does.
    """
    lines = []
    for place, body in enumerate(bodies):
        now = datetime.min.replace(tzinfo=UTC)
        for number, line in enumerate(body.lines()):
            now = max(now, line.at or now)
            lines.append((now, place, number, line, body))
    left = Counter(entry[1] for entry in lines)
    lines.sort(key=lambda entry: entry[:3])
    for place, group in groupby(lines, key=lambda entry: entry[1]):
        run = list(group)
        body = run[0][-1]
        left[place] -= len(run)
        ended = bool(left[place]) or body.text.endswith("\n")
        yield body.with_lines([entry[3] for entry in run], ended=ended)


def line_levels(levels: Iterable[str | None]) -> tuple[LineLevel, ...]:
    """A level for each line, in short."""
    found: list[LineLevel] = []
    for number, level in enumerate(levels):
        if level != (found[-1].level if found else None):
            found.append(LineLevel(line=number, level=level))
    return tuple(found)


def line_times(times: Iterable[datetime]) -> tuple[LineTime, ...]:
    """A time for each line, in short."""
    found: list[LineTime] = []
    for line, at in enumerate(times):
        if not found or found[-1].at != at:
            found.append(LineTime(line=line, at=at))
    return tuple(found)
