"""Maintenance of an environment: visitors get a page in place of the product, and listed addresses the product."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pydantic import Field

from gantry.engines.database.protocol import Database, Row, Session
from gantry.engines.edge.protocol import MAX_MESSAGE, network_of
from gantry.features.audit import store as audit
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.routes.bodies import ClosedBody
from gantry.kernel.bodies import Answer, Request
from gantry.kernel.clock import Clock
from gantry.kernel.errors import UserError
from gantry.kernel.units import counted

TITLE = "Down for maintenance"
MESSAGE = "This site is being worked on. Please try again in a little while."
MAX_ALLOWED = 64

# What the edge and the console make of it, see `closed_query`.
CLOSED = f"SELECT environment, '{TITLE}' AS title, message, allowed FROM maintenance"


class MaintenanceRequest(Request):
    """How an environment is closed to its visitors."""

    message: str = Field(MESSAGE, description="The sentence that visitors read.")
    allow: tuple[str, ...] = Field(
        (),
        description="Addresses and networks whose visitors get the product: `203.0.113.7`, `2001:db8::/32`.",
    )


class MaintenanceBody(Answer):
    """Whether an environment is closed for maintenance."""

    project: str
    environment: str
    closed: ClosedBody | None = Field(description="What its visitors get; null while it is open.")
    begun_at: datetime | None = None
    begun_by: str = ""


@dataclass(frozen=True, slots=True)
class MaintenanceService:
    """Closes environments to visitors, and opens them. The edge follows within a second.

    Attributes:
        wake: called when there is something for the edge to do.
    """

    database: Database
    clock: Clock
    wake: Callable[[], None]

    async def get(self, project: str, environment: str) -> MaintenanceBody:
        """Whether an environment is closed.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`.
        """
        async with self.database.transaction() as session:
            return await _read(
                session, await projects.get_environment(session, project, environment)
            )

    async def begin(
        self, project: str, environment: str, request: MaintenanceRequest, *, by: str
    ) -> MaintenanceBody:
        """Close an environment, or say anew how it is closed.

        Raises:
            UserError: `maintenance.bad-message`, `maintenance.bad-address`, `maintenance.too-many`.
            NotFoundError: `project.unknown`, `environment.unknown`.
        """
        message, allowed = _checked_message(request.message), _networks(request.allow)
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            now = self.clock.now()
            await session.execute(
                """INSERT INTO maintenance (environment, message, allowed, begun_at, begun_by)
                   VALUES (%(environment)s, %(message)s, %(allowed)s, %(at)s, %(by)s)
                   ON CONFLICT (environment)
                   DO UPDATE SET message = EXCLUDED.message, allowed = EXCLUDED.allowed""",
                {
                    "environment": target.id,
                    "message": message,
                    "allowed": allowed,
                    "at": now,
                    "by": by,
                },
            )
            await audit.record(
                session,
                at=now,
                actor=by,
                action="maintenance.on",
                target=f"{project}/{environment}",
                details={"message": message, "allowed": allowed},
            )
            body = await _read(session, target)
        self.wake()
        return body

    async def end(self, project: str, environment: str, *, by: str) -> MaintenanceBody:
        """Open an environment. One that is open stays so.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`.
        """
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            ended = await session.execute(
                "DELETE FROM maintenance WHERE environment = %(environment)s",
                {"environment": target.id},
            )
            if ended:
                await audit.record(
                    session,
                    at=self.clock.now(),
                    actor=by,
                    action="maintenance.off",
                    target=f"{project}/{environment}",
                )
        self.wake()
        return MaintenanceBody(project=project, environment=environment, closed=None)


async def _read(session: Session, environment: Environment) -> MaintenanceBody:
    row: Row | None = await session.one(
        "SELECT message, allowed, begun_at, begun_by FROM maintenance WHERE environment = %(id)s",
        {"id": environment.id},
    )
    body = MaintenanceBody(project=environment.project, environment=environment.name, closed=None)
    if row is None:
        return body
    closed = ClosedBody(title=TITLE, message=row["message"], allowed=row["allowed"])
    return body.model_copy(
        update={"closed": closed, "begun_at": row["begun_at"], "begun_by": row["begun_by"]}
    )


def _checked_message(message: str) -> str:
    """In one line."""
    line = " ".join(message.split())
    if not line or min(line) < " " or len(line) > MAX_MESSAGE:
        raise UserError(
            "maintenance.bad-message",
            f"the message has {len(line)} characters; a page shows from 1 to {MAX_MESSAGE} printable ones",
            hint='gantry maintenance on --message "Back at noon."',
        )
    return line


def _networks(addresses: tuple[str, ...]) -> list[str]:
    """As the edge takes them, each once."""
    if len(addresses) > MAX_ALLOWED:
        raise UserError(
            "maintenance.too-many",
            f"{counted(len(addresses), 'address', 'addresses')}; the limit is {MAX_ALLOWED}",
            hint="name a network in place of its addresses: 203.0.113.0/24",
        )
    found: dict[str, None] = {}
    for address in addresses:
        try:
            found[str(network_of(address.strip()))] = None
        except ValueError as error:
            raise UserError(
                "maintenance.bad-address",
                f"{address[:80]!r} is not an address or a network that visitors can come from",
                hint="write 203.0.113.7, or a network such as 203.0.113.0/24",
            ) from error
    return list(found)
