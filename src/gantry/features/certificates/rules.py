"""Which certificates to issue now."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from gantry.features.certificates.model import LOCAL, StoredCertificate


@dataclass(frozen=True, slots=True)
class Issue:
    """Ask an authority for a certificate.

    Attributes:
        authority: `local` or `acme`.
    """

    name: str
    hosts: tuple[str, ...]
    authority: str


def decide(
    local_hosts: Iterable[str],
    domains: Iterable[str],
    stored: Iterable[StoredCertificate],
    now: datetime,
) -> tuple[Issue, ...]:
    """What is missing, or past two thirds of its life.

    One local certificate covers all names below the platform's own domain, because browsers accept no wildcard
    such as `*.localhost`; each custom domain has its own.
    """
    have = {certificate.name: certificate for certificate in stored}
    issues = []
    wanted = tuple(sorted(set(local_hosts)))
    local = have.get(LOCAL)
    if wanted and (local is None or not set(wanted) <= set(local.hosts) or _due(local, now)):
        issues.append(Issue(LOCAL, wanted, "local"))
    for domain in sorted(set(domains)):
        certificate = have.get(domain)
        if certificate is None or _due(certificate, now):
            issues.append(Issue(domain, (domain,), "acme"))
    return tuple(issues)


def _due(certificate: StoredCertificate, now: datetime) -> bool:
    life = certificate.not_after - certificate.not_before
    return now >= certificate.not_before + life * 2 / 3
