"""Variables in the database, sealed."""

from collections.abc import Mapping
from datetime import datetime

from gantry.engines.database.protocol import Session
from gantry.features.variables.model import Variable


async def list_variables(session: Session, environment_id: str) -> tuple[Variable, ...]:
    """Names and dates, by name."""
    rows = await session.rows(
        """SELECT name, updated_at, updated_by FROM variables
           WHERE environment = %(environment)s ORDER BY name""",
        {"environment": environment_id},
    )
    return tuple(Variable(**row) for row in rows)


async def sealed_values(session: Session, environment_id: str) -> Mapping[str, bytes]:
    """Name -> sealed value."""
    rows = await session.rows(
        "SELECT name, sealed FROM variables WHERE environment = %(environment)s ORDER BY name",
        {"environment": environment_id},
    )
    return {row["name"]: bytes(row["sealed"]) for row in rows}


async def put(
    session: Session, environment_id: str, name: str, sealed: bytes, *, at: datetime, by: str
) -> None:
    """Set one variable."""
    await session.execute(
        """INSERT INTO variables (environment, name, sealed, updated_at, updated_by)
           VALUES (%(environment)s, %(name)s, %(sealed)s, %(at)s, %(by)s)
           ON CONFLICT (environment, name)
           DO UPDATE SET sealed = %(sealed)s, updated_at = %(at)s, updated_by = %(by)s""",
        {"environment": environment_id, "name": name, "sealed": sealed, "at": at, "by": by},
    )


async def delete(session: Session, environment_id: str, name: str) -> bool:
    """Remove one variable; whether there was one."""
    count = await session.execute(
        "DELETE FROM variables WHERE environment = %(environment)s AND name = %(name)s",
        {"environment": environment_id, "name": name},
    )
    return count > 0
