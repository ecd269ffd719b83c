"""A certificate as it is stored, and the last failure to get one."""

from dataclasses import dataclass, field
from datetime import datetime

LOCAL = "local"  # the platform's own authority
ACME = "acme"  # proven over HTTP-01
ACME_DNS = "acme-dns"  # proven over DNS-01


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """One certificate.

    Attributes:
        name: `local` for all names below the platform's own domain, `wildcard.<domain>` for the one that an authority
            signs for all of them, else the host name.
        authority: `local`, `acme` or `acme-dns`.
    """

    name: str
    hosts: tuple[str, ...]
    authority: str
    chain_pem: str = field(repr=False)
    key_sealed: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last time that an authority did not sign.

    Attributes:
        name: of the certificate.
        failures: in a row.
        code, message: of the error.
    """

    name: str
    failures: int
    code: str
    message: str
    failed_at: datetime
