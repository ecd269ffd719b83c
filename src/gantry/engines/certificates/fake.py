"""An authority that signs nothing: certificates that only look like some, for tests and the simulation."""

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from gantry.engines.certificates.protocol import Authority, Issued, PublishChallenges
from gantry.kernel.clock import Clock, ManualClock
from gantry.kernel.errors import TransientError, UserError


@dataclass(slots=True)
class Faults:
    """How the authority misbehaves.

    Attributes:
        unreachable, rate_limited: chances from 0 to 1 that an order fails.
        refused: names that it says no to.
    """

    unreachable: float = 0.0
    rate_limited: float = 0.0
    refused: frozenset[str] = frozenset()


class FakeAuthority:
    """Issues at once.

    Parameters:
        proves: publish a challenge for each name first, as ACME does.
        life: how long certificates are valid.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        proves: bool = False,
        life: timedelta = timedelta(days=90),
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._proves = proves
        self._life = life
        self._rng = rng or random.Random(0)
        self.faults = Faults()
        self.issued: list[Issued] = []

    async def issue(self, hosts: tuple[str, ...], publish: PublishChallenges) -> Issued:
        """See `Authority.issue`."""
        self._may_fail(hosts)
        number = len(self.issued) + 1
        if self._proves:
            await publish({f"token-{number}-{host}": f"answer-{number}-{host}" for host in hosts})
        now = self._clock.now()
        issued = Issued(
            hosts=hosts,
            chain_pem=f"certificate {number} for {' '.join(hosts)}\n",
            not_before=now,
            not_after=now + self._life,
            key_pem=f"key {number}\n",
        )
        self.issued.append(issued)
        return issued

    def _may_fail(self, hosts: tuple[str, ...]) -> None:
        if self._rng.random() < self.faults.unreachable:
            raise TransientError(
                "certificate.unreachable", "the certificate authority does not answer"
            )
        if self._rng.random() < self.faults.rate_limited:
            raise TransientError(
                "certificate.rate-limited", "the certificate authority asks to wait: an hour"
            )
        for host in hosts:
            if host in self.faults.refused:
                raise UserError(
                    "certificate.refused", f"the certificate authority rejected the request: {host}"
                )


if TYPE_CHECKING:
    _guard: Authority = FakeAuthority(ManualClock())
