"""Certificates in the database; keys are sealed."""

from datetime import datetime

from gantry.engines.database.protocol import Session
from gantry.features.certificates.model import Attempt, StoredCertificate


async def list_all(session: Session) -> tuple[StoredCertificate, ...]:
    """Every certificate."""
    rows = await session.rows(
        """SELECT name, hosts, authority, chain_pem, key_sealed, not_before, not_after
           FROM certificates ORDER BY authority <> 'local', name"""
    )
    return tuple(
        StoredCertificate(
            **{**row, "hosts": tuple(row["hosts"]), "key_sealed": bytes(row["key_sealed"])}
        )
        for row in rows
    )


async def put(session: Session, certificate: StoredCertificate) -> None:
    """Store a certificate in place of the one of the same name."""
    await session.execute(
        """INSERT INTO certificates
               (name, hosts, authority, chain_pem, key_sealed, not_before, not_after)
           VALUES (%(name)s, %(hosts)s, %(authority)s, %(chain)s, %(key)s, %(before)s, %(after)s)
           ON CONFLICT (name) DO UPDATE SET hosts = %(hosts)s, authority = %(authority)s,
               chain_pem = %(chain)s, key_sealed = %(key)s, not_before = %(before)s,
               not_after = %(after)s""",
        {
            "name": certificate.name,
            "hosts": list(certificate.hosts),
            "authority": certificate.authority,
            "chain": certificate.chain_pem,
            "key": certificate.key_sealed,
            "before": certificate.not_before,
            "after": certificate.not_after,
        },
    )


async def list_attempts(session: Session) -> tuple[Attempt, ...]:
    """The certificates that were refused when they were last asked for."""
    rows = await session.rows(
        "SELECT name, failures, code, message, failed_at FROM certificate_attempts ORDER BY name"
    )
    return tuple(Attempt(**row) for row in rows)


async def put_failure(
    session: Session, name: str, *, code: str, message: str, at: datetime
) -> None:
    """Note that an authority did not sign."""
    await session.execute(
        """INSERT INTO certificate_attempts (name, failures, code, message, failed_at)
           VALUES (%(name)s, 1, %(code)s, %(message)s, %(at)s)
           ON CONFLICT (name) DO UPDATE SET failures = certificate_attempts.failures + 1,
               code = %(code)s, message = %(message)s, failed_at = %(at)s""",
        {"name": name, "code": code, "message": message, "at": at},
    )


async def forget_failure(session: Session, name: str) -> None:
    """An authority signed, or is to be asked again now."""
    await session.execute("DELETE FROM certificate_attempts WHERE name = %(name)s", {"name": name})
