"""A name, and what was found out about it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gantry.engines.dns.protocol import Records
from gantry.features.certificates.model import Attempt, StoredCertificate


class NameKind(StrEnum):
    """Whose a name is."""

    CONSOLE = "console"
    ENVIRONMENT = "environment"  # below the platform's own domain
    DOMAIN = "domain"  # a product's own


class DnsState(StrEnum):
    """Whether a name leads to this machine."""

    HERE = "here"
    PARTLY = "partly"  # some of its addresses are another machine's
    ELSEWHERE = "elsewhere"
    MISSING = "missing"  # it has no address
    UNKNOWN = "unknown"  # not looked up yet, or no server answered
    PRIVATE = "private"  # only this machine knows it


class CertificateState(StrEnum):
    """What visitors of a name get."""

    VALID = "valid"
    LOCAL = "local"  # of the platform's own authority, which no browser knows
    PENDING = "pending"  # asked for, or soon
    FAILED = "failed"  # the authority did not sign when it was last asked; there is none
    RENEWAL_FAILED = "renewal-failed"  # there is one still
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Name:
    """A name that sites are found under.

    Attributes:
        project, environment: that it leads to; empty for the console.
    """

    host: str
    kind: NameKind
    project: str = ""
    environment: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What the DNS said of a name, and when it was asked."""

    records: Records
    at: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is known of a name.

    Attributes:
        certificate: that visitors get now; `None` for none.
        trusted: somebody other than the platform itself should sign for it.
        attempt: the last failure to get one.
    """

    name: Name
    look: Look | None
    certificate: StoredCertificate | None
    trusted: bool
    attempt: Attempt | None
    issuer: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a name.

    Attributes:
        advice: what to do, one sentence each; empty when all is well.
    """

    dns: DnsState
    certificate: CertificateState
    advice: tuple[str, ...]

    @property
    def settled(self) -> bool:
        """Whether nothing is to be done or waited for."""
        good = (CertificateState.VALID, CertificateState.LOCAL)
        return self.dns in (DnsState.HERE, DnsState.PRIVATE) and self.certificate in good
