"""Where TLS certificates come from: the local authority for `*.localhost`, ACME for real domains."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from cryptography import x509
from cryptography.x509.oid import NameOID

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


def issuer_of(chain_pem: str) -> str:
    """Who signed the first certificate of a chain, for people; empty where it cannot be read."""
    try:
        issuer = x509.load_pem_x509_certificate(chain_pem.encode()).issuer
    except ValueError:
        return ""
    for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        if found := issuer.get_attributes_for_oid(kind):
            return str(found[0].value)
    return issuer.rfc4514_string()
