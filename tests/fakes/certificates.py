"""An authority that signs nothing: certificates that only look like some."""

from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING

from gantry.engines.certificates.protocol import Authority, Issued, PublishChallenges
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import TransientError, UserError
from tests.fakes.machine import Machine

_LIFE = timedelta(days=90)


class FakeAuthority:
    """Issues at once.

    Parameters:
        proves: publish a challenge for each name first, as ACME does.

    Attributes:
        refused: names that it says no to.
        rate_limited: it asks everybody to wait.
    """

    def __init__(self, machine: Machine, *, proves: bool = False) -> None:
        self.machine = machine
        self.refused: Collection[str] = ()
        self.rate_limited = False
        self._proves = proves

    async def issue(self, hosts: tuple[str, ...], publish: PublishChallenges) -> Issued:
        """See `Authority.issue`."""
        self._may_fail(hosts)
        number = len(self.machine.issued) + 1
        if self._proves:
            await publish({f"token-{number}-{host}": f"answer-{number}-{host}" for host in hosts})
        now = self.machine.clock.now()
        issued = Issued(
            hosts=hosts,
            chain_pem=f"certificate {number} for {' '.join(hosts)}\n",
            not_before=now,
            not_after=now + _LIFE,
            key_pem=f"key {number}\n",
        )
        self.machine.issued.append(issued)
        return issued

    def _may_fail(self, hosts: tuple[str, ...]) -> None:
        self.machine.may_refuse("certificate.unreachable", "issue")
        if self.rate_limited:
            raise TransientError(
                "certificate.rate-limited", "the certificate authority asks to wait: an hour"
            )
        for host in hosts:
            if host in self.refused:
                raise UserError(
                    "certificate.refused", f"the certificate authority rejected the request: {host}"
                )


if TYPE_CHECKING:
    _guard: Authority = FakeAuthority(Machine(ManualClock()))
