"""What was seen in a drill. Times are seconds on the clock of the load, from when the deploy was asked for."""

from dataclasses import dataclass

from gantry.features.drills.model import Fault
from gantry.features.drills.visitors import Answers, Copies, Failure, Life, Order, Trail


@dataclass(frozen=True, slots=True)
class Deed:
    """What came of one fault of the schedule.

    Attributes:
        to_s: when it was mended; of what is only killed, the same as `at_s`.
        did: something was hit; there may have been nobody to do it to.
        release, port: of the instance that was hit.
    """

    fault: Fault
    at_s: float
    to_s: float
    detail: str
    did: bool = True
    release: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """What the candidate might get, as the control plane said it at one time.

    Attributes:
        percent: of the visitors; 100 once the rollout has passed.
        taken_back: the rollout has ended otherwise.
    """

    at_s: float
    percent: float
    taken_back: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
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
class Away:
    """A time in which the edge was killed or stopped on purpose, until it answered again.

    Attributes:
        hung_s: how long it was stopped; 0 when it was killed.
    """

    from_s: float
    to_s: float
    hung_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that was observed in one drill.

    Attributes:
        before, candidate: identities of the releases; `candidate` is empty when there never was one.
        deploy: how the deploy ended (`succeeded`, `failed`, ...), or its state when patience ended.
        deploy_ended: it is in a final state.
        ended_s: when that was seen first.
        code: the deploy's error, such as `rollout.failed`; empty for none.
        rollout: how the rollout ended, empty when there was none.
        reason: in the rollout's or the deploy's own words.
        live, reached: what the status says is live, and what a real request reached in the end.
        away: when the edge could not answer.
        trails: of regulars and of old pages.
        lives, orders, copies: what instances said.
        kept: answers that came from the edge's cache.
        slowest_s: of all requests.
        done: what came of each fault, in the order in which they were begun.
    """

    before: str
    candidate: str
    deploy: str
    deploy_ended: bool
    ended_s: float
    code: str
    rollout: str
    reason: str
    live: str
    reached: str
    requests: int
    failures: tuple[Failure, ...]
    answers: tuple[Answers, ...]
    shares: tuple[Share, ...]
    stages: tuple[Stage, ...]
    away: tuple[Away, ...]
    trails: tuple[Trail, ...]
    lives: tuple[Life, ...]
    orders: tuple[Order, ...]
    copies: tuple[Copies, ...]
    kept: int
    slowest_s: float = 0.0
    took_s: float = 0.0
    done: tuple[Deed, ...] = ()

    def did(self, *faults: Fault) -> tuple[Deed, ...]:
        """The deeds of these kinds that hit something."""
        return tuple(deed for deed in self.done if deed.did and deed.fault in faults)

    @property
    def taken_back_s(self) -> float:
        """When the candidate was seen to be taken back; where nobody saw it, when the deploy ended."""
        return next((one.at_s for one in self.shares if one.taken_back), self.ended_s)

    def silent_s(self, from_s: float, to_s: float) -> float:
        """How much of that time the control plane was kept from speaking and acting."""
        return sum(
            max(0.0, min(deed.to_s, to_s) - max(deed.at_s, from_s))
            for deed in self.did(*_SILENCES_THE_CONTROL_PLANE)
        )


_SILENCES_THE_CONTROL_PLANE = frozenset(
    {
        Fault.CONTROL_KILLED,
        Fault.CONTROL_HANGS,
        Fault.SYSTEM_DATABASE_KILLED,
        Fault.DISK_FULL,
    }
)
