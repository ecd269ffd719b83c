"""Certificates in the database; keys are sealed."""

from gantry.engines.database.protocol import Session
from gantry.features.certificates.model import StoredCertificate


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


async def delete(session: Session, name: str) -> None:
    """Forget a certificate whose names nobody wants any more."""
    await session.execute("DELETE FROM certificates WHERE name = %(name)s", {"name": name})
