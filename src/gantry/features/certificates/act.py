"""Issues the certificates that are missing, and opens the stored ones for the edge."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from gantry.engines.certificates.protocol import Authority
from gantry.engines.database.protocol import Database
from gantry.engines.dns.protocol import Resolver
from gantry.engines.edge.protocol import Certificate
from gantry.engines.secrets.protocol import SecretBox
from gantry.features.certificates import store
from gantry.features.certificates.model import ACME, LOCAL, StoredCertificate
from gantry.features.certificates.rules import Issue
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError, TransientError
from gantry.kernel.tasks import TaskSet

MAX_MESSAGE = 1_000
_log = logging.getLogger(__name__)

Publish = Callable[[], Awaitable[None]]
"""Makes the edge answer the present challenges."""


@dataclass(slots=True)
class CertificateIssuer:
    """Asks authorities for certificates.

    Attributes:
        authorities: `local`; `acme` where real domains are possible; `acme-dns` where a DNS provider is set.
        wake: called when there is a certificate for the edge.
        challenges: what the edge must answer for authorities that look: token -> answer.
    """

    database: Database
    authorities: Mapping[str, Authority]
    box: SecretBox
    tasks: TaskSet
    clock: Clock
    wake: Callable[[], None]
    resolver: Resolver
    challenges: dict[str, str] = field(default_factory=dict)
    _issuing: set[str] = field(default_factory=set)
    _opened: dict[tuple[str, object], Certificate] = field(default_factory=dict)

    async def issue(self, issues: Iterable[Issue], publish: Publish) -> bool:
        """Issue what is missing; whether any of it is stored on return."""
        stored = False
        for issue in issues:
            if issue.authority == LOCAL:
                await self._issue(issue, publish)
                stored = True
            elif issue.name not in self._issuing:
                # An authority on the internet may take minutes; nothing waits for it.
                self._issuing.add(issue.name)
                self.tasks.spawn(self._issue_domain(issue, publish), name=issue.name)
        return stored

    def opened(self, stored: Iterable[StoredCertificate]) -> tuple[Certificate, ...]:
        """Certificates with their private keys, each decrypted once."""
        return tuple(self._open(certificate) for certificate in stored)

    async def _issue_domain(self, issue: Issue, publish: Publish) -> None:
        try:
            await self._issue(issue, publish)
        except GantryError as error:
            _log.warning("certificate for %s: [%s] %s", issue.name, error.code, error)
            await self._note_failure(issue, error)
        finally:
            self._issuing.discard(issue.name)

    async def _require_record(self, host: str) -> None:
        """Without a record no authority can look, and each try counts. Where no server answers, the authority decides."""
        records = await self.resolver.look(host)
        if not records.error and not records.addresses:
            raise TransientError("certificate.no-record", f"{host} has no DNS record yet")

    async def _note_failure(self, issue: Issue, error: GantryError) -> None:
        """For people, and so that the authority is not asked again at once."""
        async with self.database.transaction() as session:
            await store.put_failure(
                session,
                issue.name,
                code=error.code,
                message=error.message[:MAX_MESSAGE],
                at=self.clock.now(),
            )

    async def _issue(self, issue: Issue, publish: Publish) -> None:
        authority = self.authorities.get(issue.authority)
        if authority is None:
            raise TransientError(
                "certificate.no-authority", f"no authority for {', '.join(issue.hosts)}"
            )

        if issue.authority == ACME:
            await self._require_record(issue.hosts[0])
        asked: list[str] = []

        async def answer(challenges: Mapping[str, str]) -> None:
            asked.extend(challenges)
            self.challenges.update(challenges)
            await publish()

        try:
            issued = await authority.issue(issue.hosts, answer)
        finally:
            for token in asked:
                self.challenges.pop(token, None)
        stored = StoredCertificate(
            name=issue.name,
            hosts=issued.hosts,
            authority=issue.authority,
            chain_pem=issued.chain_pem,
            key_sealed=self.box.seal(issued.key_pem),
            not_before=issued.not_before,
            not_after=issued.not_after,
        )
        async with self.database.transaction() as session:
            await store.put(session, stored)
            await store.forget_failure(session, issue.name)
        self.wake()
        _log.info(
            "certificate %s for %d names until %s", issue.name, len(issued.hosts), issued.not_after
        )

    def _open(self, stored: StoredCertificate) -> Certificate:
        key = (stored.name, stored.not_after)
        if key not in self._opened or self._opened[key].chain_pem != stored.chain_pem:
            self._opened[key] = Certificate(
                name=stored.name,
                hosts=stored.hosts,
                chain_pem=stored.chain_pem,
                key_pem=self.box.open(stored.key_sealed),
            )
        return self._opened[key]
