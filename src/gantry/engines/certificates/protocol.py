"""Where TLS certificates come from: the local authority for `*.localhost`, ACME for real domains."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

PublishChallenges = Callable[[Mapping[str, str]], Awaitable[None]]
"""Puts `token -> key authorization` before the world on port 80, and returns once it is there."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that an authority issued."""

    hosts: tuple[str, ...]
    chain_pem: str
    not_before: datetime
    not_after: datetime
    key_pem: str = field(repr=False)


class Authority(Protocol):
    """Issues certificates."""

    async def issue(self, hosts: tuple[str, ...], publish: PublishChallenges) -> Issued:
        """A new certificate for exactly `hosts`, with a new key.

        Raises:
            UserError: `certificate.refused` the authority says no to a name (the message has its words).
            TransientError: `certificate.unreachable`, `certificate.rate-limited` with when to try again.
        """
        ...
