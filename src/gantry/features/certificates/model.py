"""A certificate as it is stored."""

from dataclasses import dataclass, field
from datetime import datetime

LOCAL = "local"


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """One certificate.

    Attributes:
        name: `local` for all names below the platform's own domain, else the custom domain.
        authority: `local` or `acme`.
    """

    name: str
    hosts: tuple[str, ...]
    authority: str
    chain_pem: str = field(repr=False)
    key_sealed: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime
