"""An edge without a proxy: it keeps what it was told, and answers for it."""

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from gantry.engines.edge.checks import check
from gantry.engines.edge.protocol import (
    Backend,
    BackendNumbers,
    BackendStatus,
    Edge,
    EdgeConfig,
    EdgeStatus,
    Endpoint,
    FailedRequest,
)
from gantry.kernel.errors import PermanentError, TransientError

_REFUSED = "the edge does not answer its admin interface: refused"


@dataclass(slots=True)
class Faults:
    """How often the edge misbehaves; chances from 0 to 1.

    Attributes:
        lose_reply: the configuration is taken, the caller gets a `TransientError`.
        refuse: nothing happens, the caller gets a `TransientError`.
    """

    lose_reply: float = 0.0
    refuse: float = 0.0


@dataclass(frozen=True, slots=True)
class Visit:
    """What a visitor gets.

    Attributes:
        release: the backend that answered; empty when the edge did so itself.
    """

    status: int
    release: str = ""


def _all_answer(_: Endpoint) -> bool:
    return True


class FakeEdge:
    """Simulates the edge.

    Parameters:
        answers: whether an instance is well, asked anew for each look.
        rng: decides which calls fail.
    """

    def __init__(
        self, answers: Callable[[Endpoint], bool] = _all_answer, rng: random.Random | None = None
    ) -> None:
        self._answers = answers
        self._rng = rng or random.Random(0)
        self._rejected = ""
        self.faults = Faults()
        self.runs = False
        self.config = EdgeConfig()
        self.applied: list[EdgeConfig] = []
        self.starts = 0
        self.active_requests: dict[str, int] = {}
        self.failed: dict[str, tuple[FailedRequest, ...]] = {}
        self.counted: dict[str, BackendNumbers] = {}

    async def start(self) -> None:
        """See `Edge.start`."""
        self._may_refuse()
        if not self.runs:
            self.runs = True
            self.starts += 1
        self._may_lose_reply()

    async def apply(self, config: EdgeConfig) -> str:
        """See `Edge.apply`."""
        self._may_refuse()
        if not self.runs:
            raise TransientError("edge.unreachable", _REFUSED, hint="gantry status")
        try:
            check(config)
        except PermanentError as error:
            self._rejected = error.message
            raise
        self._rejected = ""
        self.config = config
        self.applied.append(config)
        self._may_lose_reply()
        return self.digest(config)

    async def status(self) -> EdgeStatus:
        """See `Edge.status`."""
        if not self.runs:
            return EdgeStatus(running=False)
        return EdgeStatus(
            running=True,
            applied=self.digest(self.config),
            rejected=self._rejected,
            backends={backend.name: self._seen(backend) for backend in self.config.backends},
        )

    async def numbers(self) -> Mapping[str, BackendNumbers]:
        """See `Edge.numbers`."""
        if not self.runs:
            raise TransientError("edge.unreachable", _REFUSED, hint="gantry status")
        names = (backend.name for backend in self.config.backends)
        return {name: self.counted.get(name, BackendNumbers()) for name in names}

    async def failures(self, backend: str, *, most: int) -> tuple[FailedRequest, ...]:
        """See `Edge.failures`."""
        return self.failed.get(backend, ())[-most:]

    async def stop(self) -> None:
        """See `Edge.stop`."""
        self.runs = False

    def digest(self, config: EdgeConfig) -> str:
        """See `Edge.digest`."""
        text = json.dumps(asdict(config), sort_keys=True, default=lambda one: one.hex())
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def kill(self) -> None:
        """SIGKILL: it is gone, what it was told is not."""
        self.runs = False

    def visit(self, host: str) -> Visit:
        """Ask for the start page of a site.

        Raises:
            ConnectionRefusedError: the edge does not run.
        """
        if not self.runs:
            raise ConnectionRefusedError(host)
        site = next((one for one in self.config.sites if host in one.hosts), None)
        if site is None:
            return Visit(404)
        backend = next((one for one in self.config.backends if one.name == site.backend), None)
        if backend is None or not any(map(self._answers, backend.endpoints)):
            return Visit(503)
        return Visit(200, backend.name)

    def _seen(self, backend: Backend) -> BackendStatus:
        return BackendStatus(
            total=len(backend.endpoints),
            healthy=sum(map(self._answers, backend.endpoints)),
            active_requests=self.active_requests.get(backend.name, 0),
        )

    def _may_refuse(self) -> None:
        if self._rng.random() < self.faults.refuse:
            raise TransientError("edge.unreachable", _REFUSED, hint="gantry status")

    def _may_lose_reply(self) -> None:
        if self._rng.random() < self.faults.lose_reply:
            raise TransientError(
                "edge.unreachable", "the edge's answer was lost", hint="gantry status"
            )


if TYPE_CHECKING:
    _guard: Edge = FakeEdge()
