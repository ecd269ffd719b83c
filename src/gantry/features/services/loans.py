"""An environment's database is lent: an address for a client of somebody's own, with a role and an end of its own."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self
from urllib.parse import unquote, urlsplit

from pydantic import Field

from gantry.engines.database.protocol import Database, Session
from gantry.engines.postgres.protocol import DatabaseServer, Loan
from gantry.features.audit import store as audit
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.services import store
from gantry.features.services.model import Service, ServiceKind
from gantry.features.variables import store as variable_store
from gantry.kernel.bodies import Answer, Request
from gantry.kernel.clock import Clock
from gantry.kernel.errors import ConflictError, UserError
from gantry.kernel.ids import IdSource

MAX_LOAN_S = 24 * 3600.0
USUAL_LOAN_S = 8 * 3600.0
INTERVAL_S = 60.0
_URL = "DATABASE_URL"


class LoanRequest(Request):
    """Lend the environment's Postgres database."""

    read_only: bool = Field(
        default=False, description="The borrower may read every table, and change nothing."
    )
    duration_s: float = Field(
        USUAL_LOAN_S,
        ge=1,
        le=MAX_LOAN_S,
        description="How long new sessions may begin, at most 1 d.",
    )


class LoanBody(Answer):
    """An address for a client on the platform's machine. It is said once, and not kept."""

    url: str = Field(repr=False)
    host: str
    port: int
    user: str
    password: str = Field(repr=False)
    database: str
    read_only: bool
    until: datetime

    @classmethod
    def of(cls, url: str, loan: Loan) -> Self:
        """The address of a loan that was made."""
        parts = urlsplit(url)
        return cls(
            url=url,
            host=parts.hostname or "",
            port=parts.port or 5432,
            user=unquote(parts.username or ""),
            password=loan.password,
            database=loan.database,
            read_only=loan.read_only,
            until=loan.until,
        )


@dataclass(frozen=True, slots=True)
class LoanService:
    """Lends databases, and ends loans that are over."""

    database: Database
    databases: DatabaseServer
    clock: Clock
    ids: IdSource

    async def lend(
        self, project: str, environment: str, request: LoanRequest, *, by: str
    ) -> LoanBody:
        """Lend the database that Gantry provides to an environment.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`.
            ConflictError: `environment.removing`.
            UserError: `loan.no-database`, `loan.not-ours`.
            TransientError: `database.unreachable`, `database.start-failed`.
        """
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            service = await self._service(session, target)
        loan = Loan(
            name=self.ids.new("l").replace("-", "_"),
            password=self.ids.secret(),
            database=service.name,
            owner=service.name,
            until=self.clock.now() + timedelta(seconds=request.duration_s),
            read_only=request.read_only,
        )
        await self.databases.start()
        # Recorded first: nobody gets an address that the audit log does not know.
        async with self.database.transaction() as session:
            await audit.record(
                session,
                at=self.clock.now(),
                actor=by,
                action="database.lend",
                target=f"{project}/{environment}",
                details={
                    "role": loan.name,
                    "read_only": loan.read_only,
                    "until": loan.until.isoformat(),
                },
            )
        return LoanBody.of(await self.databases.lend(loan), loan)

    async def once(self) -> None:
        """End what is over."""
        await self.databases.end_loans()

    async def _service(self, session: Session, target: Environment) -> Service:
        if target.removing:
            raise ConflictError(
                "environment.removing", f"{target.name} of {target.project} is being deleted"
            )
        named = f"{target.name} of {target.project}"
        if _URL in await variable_store.sealed_values(session, target.id):
            raise UserError(
                "loan.not-ours",
                f"{named} has a {_URL} of the team's own, which leads to a database that Gantry does not lend",
                hint=f"gantry psql -e {target.name} opens a prompt on it",
            )
        for service in await store.list_for_environment(session, target.id):
            if service.kind is ServiceKind.POSTGRES:
                return service
        raise UserError(
            "loan.no-database",
            f"{named} has no Postgres database",
            hint="write postgres = true below [services] in gantry.toml, then gantry deploy",
        )
