"""Which certificates there should be, which to ask for now, and which of the stored ones the edge gets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from gantry.features.certificates.model import ACME, ACME_DNS, LOCAL, Attempt, StoredCertificate

# Public authorities refuse whoever asks too often: Let's Encrypt takes five failed proofs of a name an hour.
_PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 20, 60, 180, 360))
_RATE_LIMITED_PAUSE = timedelta(hours=1)
RATE_LIMITED = "certificate.rate-limited"


@dataclass(frozen=True, slots=True)
class Issue:
    """Ask an authority for a certificate.

    Attributes:
        authority: `local`, `acme` or `acme-dns`.
    """

    name: str
    hosts: tuple[str, ...]
    authority: str


@dataclass(frozen=True, slots=True)
class Policy:
    """Who signs for names below the platform's own domain.

    Attributes:
        domain: the platform's.
        public: the ACME server signs for it, besides the local authority.
        wildcard: one certificate for all of them, proven over DNS-01.
    """

    domain: str = "localhost"
    public: bool = False
    wildcard: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """The names that should be answered.

    Attributes:
        own: below the platform's own domain.
        lasting: those of `own` that people know: the console's and the environments'. Each release has a name of its
            own besides, too many for a certificate each at a public authority.
        domains: of products.
    """

    own: tuple[str, ...]
    lasting: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()


def wanted(names: Names, policy: Policy) -> tuple[Issue, ...]:
    """The certificates that there should be.

    One local certificate covers all names below the platform's own domain, because browsers accept no wildcard such as
    `*.localhost`, and because a name must be answered before a public authority has signed for it.
    """
    found = []
    if names.own:
        found.append(Issue(LOCAL, tuple(sorted(set(names.own))), LOCAL))
    if policy.public and policy.wildcard and names.own:
        found.append(Issue(f"wildcard.{policy.domain}", (f"*.{policy.domain}",), ACME_DNS))
    elif policy.public:
        found += [Issue(host, (host,), ACME) for host in sorted(set(names.lasting))]
    found += [Issue(domain, (domain,), ACME) for domain in sorted(set(names.domains))]
    return tuple(found)


def decide(
    issues: Iterable[Issue],
    stored: Iterable[StoredCertificate],
    attempts: Mapping[str, Attempt],
    now: datetime,
) -> tuple[Issue, ...]:
    """What to ask for now: what is missing or past two thirds of its life, and was not refused a moment ago."""
    have = {certificate.name: certificate for certificate in stored}
    return tuple(
        issue
        for issue in issues
        if _lacks(issue, have.get(issue.name), now)
        and now >= next_try(attempts.get(issue.name), now)
    )


def next_try(attempt: Attempt | None, now: datetime) -> datetime:
    """When an authority may be asked again."""
    if attempt is None:
        return now
    pause = _PAUSES[min(attempt.failures, len(_PAUSES)) - 1]
    if attempt.code == RATE_LIMITED:
        pause = max(pause, _RATE_LIMITED_PAUSE)
    return attempt.failed_at + pause


def served(
    issues: Iterable[Issue], stored: Iterable[StoredCertificate], now: datetime
) -> tuple[StoredCertificate, ...]:
    """The stored certificates that the edge gets; the local one first, which also answers unknown names.

    One that is no longer wanted serves on while what replaces it is missing: a wildcard and the single ones before it.
    """
    by_name = {issue.name: issue for issue in issues}
    kept = [item for item in stored if item.name in by_name]
    covered = {host for item in kept if item.authority != LOCAL for host in item.hosts}
    needed = {
        host for issue in by_name.values() if issue.authority != LOCAL for host in issue.hosts
    }
    missing = needed - covered
    for item in stored:
        if item.name not in by_name and now < item.not_after and _serves(item, missing):
            kept.append(item)
    return tuple(sorted(kept, key=lambda item: (item.authority != LOCAL, item.name)))


def _serves(certificate: StoredCertificate, missing: set[str]) -> bool:
    return any(
        covers(host, other) or covers(other, host)
        for host in certificate.hosts
        for other in missing
    )


def covers(pattern: str, host: str) -> bool:
    """Whether a certificate's name is that of a host: `*.example.com` is that of `shop.example.com`."""
    if pattern.startswith("*."):
        return host.partition(".")[2] == pattern[2:]
    return pattern == host


def _lacks(issue: Issue, certificate: StoredCertificate | None, now: datetime) -> bool:
    return (
        certificate is None
        or not set(issue.hosts) <= set(certificate.hosts)
        or certificate.authority != issue.authority
        or _due(certificate, now)
    )


def _due(certificate: StoredCertificate, now: datetime) -> bool:
    life = certificate.not_after - certificate.not_before
    return now >= certificate.not_before + life * 2 / 3
