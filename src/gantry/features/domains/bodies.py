"""What the API says of names."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from pydantic import Field

from gantry.features.certificates.rules import next_try
from gantry.features.domains.model import CertificateState, DnsState, NameKind
from gantry.kernel.bodies import Answer, Open

if TYPE_CHECKING:
    from gantry.features.domains.model import Seen, Verdict


class DomainBody(Answer):
    """A name that sites are found under: what the DNS has of it, its certificate, and what to do."""

    host: str
    kind: Open[NameKind]
    project: str = ""
    environment: str = ""
    dns: Open[DnsState]
    addresses: tuple[str, ...] = Field((), description="What the DNS leads to.")
    alias: str = Field("", description="The name that this one is a CNAME of.")
    looked_at: datetime | None = Field(None, description="When the DNS was last asked.")
    certificate: Open[CertificateState]
    issuer: str = ""
    expires_at: datetime | None = None
    last_error: str = Field("", description="What the authority said when it last did not sign.")
    next_try_at: datetime | None = None
    settled: bool = Field(description="Nothing is to be done or waited for.")
    advice: tuple[str, ...] = Field((), description="What to do, a sentence each.")

    @classmethod
    def of(cls, seen: "Seen", verdict: "Verdict", now: datetime) -> Self:
        """A name with what is said of it."""
        records = seen.look.records if seen.look else None
        have = seen.certificate
        return cls(
            host=seen.name.host,
            kind=seen.name.kind,
            project=seen.name.project,
            environment=seen.name.environment,
            dns=verdict.dns,
            addresses=records.addresses if records else (),
            alias=records.alias if records else "",
            looked_at=seen.look.at if seen.look else None,
            certificate=verdict.certificate,
            issuer=seen.issuer,
            expires_at=have.not_after if have else None,
            last_error=seen.attempt.message if seen.attempt else "",
            next_try_at=next_try(seen.attempt, now) if seen.attempt else None,
            settled=verdict.settled,
            advice=verdict.advice,
        )
