"""Services in the database."""

from datetime import datetime

from gantry.engines.database.protocol import Session
from gantry.features.services.model import Service, ServiceKind


async def list_for_environment(session: Session, environment_id: str) -> tuple[Service, ...]:
    """What an environment has."""
    rows = await session.rows(
        """SELECT environment, kind, name, secret_sealed FROM services
           WHERE environment = %(environment)s ORDER BY kind""",
        {"environment": environment_id},
    )
    return tuple(
        Service(
            environment=row["environment"],
            kind=ServiceKind(row["kind"]),
            name=row["name"],
            secret_sealed=bytes(row["secret_sealed"]),
        )
        for row in rows
    )


async def insert(session: Session, service: Service, *, at: datetime) -> None:
    """Record a service unless the environment has one of its kind."""
    await session.execute(
        """INSERT INTO services (environment, kind, name, secret_sealed, created_at)
           VALUES (%(environment)s, %(kind)s, %(name)s, %(secret)s, %(at)s)
           ON CONFLICT (environment, kind) DO NOTHING""",
        {
            "environment": service.environment,
            "kind": service.kind,
            "name": service.name,
            "secret": service.secret_sealed,
            "at": at,
        },
    )
