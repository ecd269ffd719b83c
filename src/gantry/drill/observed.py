"""What was observed in a drill: by visitors over the public port, by instances themselves, and of the control plane.

Times are seconds on the clock of the load, from when the deploy was requested.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gantry.drill.schedule import Fault

_SILENCES_THE_CONTROL_PLANE = (
    Fault.CONTROL_KILLED,
    Fault.CONTROL_HANGS,
    Fault.SYSTEM_DATABASE_KILLED,
    Fault.DISK_FULL,
)


class VisitorKind(StrEnum):
    """What a visitor does with what they are given."""

    STRANGER = "strangers"  # keep no cookie: each request is drawn anew
    REGULAR = "regulars"  # keep their cookie
    PAGE = "old pages"  # ask with the deployment that they were loaded from
    READER = "readers"  # ask for what the edge may keep, without a cookie


@dataclass(frozen=True, slots=True)
class Answers:
    """Count of whole answers to strangers and readers in a slot of time, by release."""

    at_s: float
    by_release: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Switch:
    """A change of the release that answers a visitor; also their first answer."""

    at_s: float
    release: str


@dataclass(frozen=True, slots=True)
class VisitorHistory:
    """Releases that answered one regular or one old page, in the order of the requests.

    Attributes:
        page: the release that a page was loaded from.
        cookie: a regular was given one.
    """

    kind: VisitorKind
    switches: tuple[Switch, ...]
    page: str = ""
    cookie: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that a visitor would have seen fail.

    Attributes:
        release: which answered; empty or `edge` when no instance did.
        began_s: when it was sent; a request that found no connection was not.
        order: number of the order that it was; empty for a GET.
    """

    at_s: float
    reason: str
    release: str = ""
    began_s: float = 0.0
    order: str = ""

    @property
    def from_release(self) -> bool:
        """Whether a release answered, and not the edge or nobody."""
        return self.release not in ("", "edge")


@dataclass(frozen=True, slots=True)
class ProcessRun:
    """One run of an instance's process, as it reported itself ten times a second.

    Attributes:
        port: of the instance; its next run has the same.
        told_to_end_s: when it was told to end; `None` when it never was.
    """

    id: str
    release: str
    port: int
    first_s: float
    last_s: float
    told_to_end_s: float | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A POST that arrived at an instance.

    Attributes:
        run: identity of the process that got it.
    """

    number: str
    at_s: float
    run: str


@dataclass(frozen=True, slots=True)
class Copies:
    """Count of requests that arrived with `x-gantry-mirror`."""

    release: str
    method: str
    count: int


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """What came of one fault of the schedule.

    Attributes:
        to_s: when it was undone; of what is only killed, the same as `at_s`.
        hit: something was hit; there may have been nothing to do it to.
        release, port: of the instance that was hit.
    """

    fault: Fault
    at_s: float
    to_s: float
    detail: str
    hit: bool = True
    release: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class CandidateShare:
    """What the candidate might get, as the control plane reported it at one time.

    Attributes:
        percent: of the visitors; 100 once the rollout has passed.
        taken_back: the rollout has ended otherwise.
    """

    at_s: float
    percent: float
    taken_back: bool = False


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """One stage of the rollout, as it was in the end.

    Attributes:
        percent: of the visitors; 0 for a mirror.
        done: it has ended and the next followed.
        outcome: of its verdict; empty for none.
    """

    percent: float
    mirror: bool = False
    done: bool = True
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class EdgeOutage:
    """A time in which the edge was killed or stopped on purpose, until it answered again.

    Attributes:
        hung_s: how long it was stopped; 0 when it was killed.
    """

    from_s: float
    to_s: float
    hung_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ObservedDrill:
    """Everything that was observed in one drill.

    Attributes:
        previous, candidate: identities of the releases; `candidate` is empty when there never was one.
        deploy: how the deploy ended (`succeeded`, `failed`, ...), or its state when the time to wait for it was over.
        deploy_ended: it is in a final state.
        ended_s: when that was observed first.
        code: the deploy's error, such as `rollout.failed`; empty for none.
        rollout: how the rollout ended, empty when there was none.
        reason: the message of the deploy's error.
        live: the release that the status says is live in the end.
        served_by: the release that answered a real request in the end.
        outages: when the edge could not answer.
        histories: of regulars and of old pages.
        runs, orders, copies: what instances reported.
        cache_hits: answers that came from the edge's cache.
        slowest_s: of all requests.
        injected: what came of each fault, in the order in which they were begun.
    """

    previous: str
    candidate: str
    deploy: str
    deploy_ended: bool
    ended_s: float
    code: str
    rollout: str
    reason: str
    live: str
    served_by: str
    requests: int
    failures: tuple[Failure, ...]
    answers: tuple[Answers, ...]
    shares: tuple[CandidateShare, ...]
    stages: tuple[StageOutcome, ...]
    outages: tuple[EdgeOutage, ...]
    histories: tuple[VisitorHistory, ...]
    runs: tuple[ProcessRun, ...]
    orders: tuple[Order, ...]
    copies: tuple[Copies, ...]
    cache_hits: int
    slowest_s: float = 0.0
    took_s: float = 0.0
    injected: tuple[InjectedFault, ...] = ()

    def hits(self, *faults: Fault) -> tuple[InjectedFault, ...]:
        """Faults of these kinds that hit something."""
        return tuple(
            injected for injected in self.injected if injected.hit and injected.fault in faults
        )

    @property
    def taken_back_s(self) -> float:
        """When the candidate was observed to be taken back; where nobody saw it, when the deploy ended."""
        return next((share.at_s for share in self.shares if share.taken_back), self.ended_s)

    def histories_of(self, kind: VisitorKind) -> tuple[VisitorHistory, ...]:
        """Histories of visitors of this kind."""
        return tuple(history for history in self.histories if history.kind is kind)

    def control_silent_s(self, from_s: float, to_s: float) -> float:
        """How much of that time the control plane was kept from answering and acting."""
        return sum(
            max(0.0, min(injected.to_s, to_s) - max(injected.at_s, from_s))
            for injected in self.hits(*_SILENCES_THE_CONTROL_PLANE)
        )
