"""An edge without a proxy: it keeps what it was told, and answers for the machine's instances."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gantry.engines.edge.checks import check, reason_of, rejected
from gantry.engines.edge.protocol import (
    AccessLog,
    Backend,
    BackendNumbers,
    BackendStatus,
    Edge,
    EdgeConfig,
    EdgeStatus,
    FailedRequest,
)
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import PermanentError, TransientError
from tests.fakes.machine import EDGE, Machine

_UNREACHABLE = "edge.unreachable"


class FakeEdge:
    """The edge of a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    async def start(self) -> None:
        """See `Edge.start`."""
        self.machine.may_refuse("edge.start-failed", "start")
        self.machine.serve(EDGE)
        self.machine.may_lose_reply("edge.start-failed", "start")

    async def apply(self, config: EdgeConfig) -> str:
        """See `Edge.apply`."""
        machine = self.machine
        machine.may_refuse(_UNREACHABLE, "apply")
        self._must_run()
        try:
            if machine.faults.refuse_edge:
                raise rejected("it does not like them")
            check(config)
        except PermanentError as error:
            machine.edge_rejected = reason_of(error)
            raise
        machine.edge_rejected = ""
        machine.edge_config, machine.edge_applied = config, self.digest(config)
        machine.edge_configs.append(config)
        machine.may_lose_reply(_UNREACHABLE, "apply")
        return machine.edge_applied

    async def status(self) -> EdgeStatus:
        """See `Edge.status`."""
        machine = self.machine
        if not machine.is_running(EDGE):
            return EdgeStatus(running=False)
        config = machine.edge_config
        return EdgeStatus(
            running=True,
            applied=machine.edge_applied,
            rejected=machine.edge_rejected,
            backends={backend.name: self._observed(backend) for backend in config.backends},
        )

    async def numbers(self) -> Mapping[str, BackendNumbers]:
        """See `Edge.numbers`."""
        self._must_run()
        names = (backend.name for backend in self.machine.edge_config.backends)
        return {name: self.machine.counted.get(name, BackendNumbers()) for name in names}

    async def failures(self, backend: str, *, most: int) -> tuple[FailedRequest, ...]:
        """See `Edge.failures`."""
        return tuple(failed for name, failed in self.machine.failed if name == backend)[-most:]

    async def requests(self, cursor: str = "") -> AccessLog:
        """See `Edge.requests`."""
        logged = self.machine.requests
        return AccessLog(tuple(logged[int(cursor or 0) :]), str(len(logged)))

    async def limited(self) -> Mapping[str, Mapping[int, int]]:
        """See `Edge.limited`."""
        return self.machine.limited if self.machine.is_running(EDGE) else {}

    async def stop(self) -> None:
        """See `Edge.stop`."""
        self.machine.stop(EDGE)

    def digest(self, config: EdgeConfig) -> str:
        """See `Edge.digest`."""
        # What a `repr` leaves out, because it is secret, is part of the configuration.
        keys = [certificate.key_pem for certificate in config.certificates]
        cookies = [site.canary.key.hex() for site in config.sites if site.canary is not None]
        text = "\n".join((repr(config), *keys, *cookies))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _observed(self, backend: Backend) -> BackendStatus:
        machine = self.machine
        return BackendStatus(
            total=len(backend.endpoints),
            healthy=sum(machine.is_well(item, backend.health_path) for item in backend.endpoints),
            active_requests=machine.active_requests.get(backend.name, 0),
            requests=machine.counted.get(backend.name, BackendNumbers()).requests,
        )

    def _must_run(self) -> None:
        if not self.machine.is_running(EDGE):
            message = "the edge does not answer its admin interface: refused"
            raise TransientError(_UNREACHABLE, message, hint="gantry status")


if TYPE_CHECKING:
    _guard: Edge = FakeEdge(Machine(ManualClock()))
