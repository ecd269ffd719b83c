"""An instance: one running process of a release."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Instance:
    """One slot of one process kind of one release. Its process has the same id.

    Attributes:
        process: `web`, `worker.<name>`.
        port: loopback port that it keeps across restarts; `None` for workers.
        started_at: when its process was last started; `None` while it waits to be started (again).
        healthy_at: when it was first healthy since then.
        restarts: times that it was started again since it was made because it had ended by its own fault.
        failures: ends in a row that were its own fault; decides the back-off.
        next_start_at: not to be started before this.
        leaving_since: when it became one too many; the edge sends it no new visitors.
        stopping_since: when it was told to end.
        last_exit: how it ended last, in words; empty where it was told to.
        last_fault, last_fault_at: the reason of the last of its restarts in two or three words, and when it was.
        killed_for: why Gantry killed it, until its end is recorded.
        out_of_memory_kills: of its restarts, how many followed its being killed for its memory.
        leaving_since: when the edge was to send it no further visitors.
    """

    id: str
    release: str
    process: str
    slot: int
    port: int | None
    created_at: datetime
    started_at: datetime | None
    healthy_at: datetime | None
    restarts: int
    failures: int
    next_start_at: datetime | None
    stopping_since: datetime | None
    last_exit: str
    killed_for: str = ""
    out_of_memory_kills: int = 0
    leaving_since: datetime | None = None
    last_fault: str = ""
    last_fault_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rolling:
    """How instances are exchanged while visitors are on them, see `exchange.py`.

    Attributes:
        before: instances that were made before this moment are replaced; `None`: none is.
        busy: the edge still has requests or streams on the release.
        requests_s: how long requests may take that an instance still has.
    """

    before: datetime | None = None
    busy: bool = False
    requests_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Want:
    """How many instances of one process kind of one release should run.

    Attributes:
        probed: it has a port, and is healthy when it answers there; else it is healthy when it stays up.
        start_deadline_s: it must be healthy this long after its start.
        terminate_s: from SIGTERM to SIGKILL.
        renew_before: instances that were started before this moment are ended and made anew, so that streams that
            are open on them are told to go elsewhere.
        rolling: how instances are exchanged; `None`: one that is not wanted is told to end at once.
    """

    release: str
    process: str
    count: int
    probed: bool
    start_deadline_s: float
    terminate_s: float
    renew_before: datetime | None = None
    rolling: Rolling | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """What the last probes of an instance said.

    Attributes:
        healthy: the last probe was answered well.
        failures: probes in a row that were not.
        message: what was wrong with the last one, in words.
    """

    healthy: bool
    failures: int = 0
    message: str = ""
