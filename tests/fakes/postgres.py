"""A database server without databases: it remembers what was granted."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gantry.engines.postgres.protocol import DatabaseGrant, DatabaseServer, DatabaseStatus, Loan
from gantry.engines.runtime.protocol import Client
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import TransientError, UserError
from tests.fakes.machine import POSTGRES, Machine

_UNREACHABLE = "database.unreachable"


class FakeDatabaseServer:
    """The Postgres server of a machine; no SQL."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    async def start(self) -> None:
        """See `DatabaseServer.start`."""
        self.machine.may_refuse("database.start-failed", "start")
        self.machine.serve(POSTGRES)

    async def revive(self) -> None:
        """See `DatabaseServer.revive`."""
        if POSTGRES in self.machine.processes:
            self.machine.serve(POSTGRES)

    async def ensure(self, grant: DatabaseGrant) -> str:
        """See `DatabaseServer.ensure`."""
        self._check(grant.database)
        self.machine.databases[grant.database] = grant
        self.machine.may_lose_reply(_UNREACHABLE, "ensure")
        return f"postgresql://{grant.role}:{grant.password}@127.0.0.1:15432/{grant.database}"

    async def drop(self, database: str, role: str) -> None:
        """See `DatabaseServer.drop`."""
        self._check(database)
        self.machine.databases.pop(database, None)
        self.machine.may_lose_reply(_UNREACHABLE, "drop")

    async def lend(self, loan: Loan) -> str:
        """See `DatabaseServer.lend`."""
        self._check(loan.name)
        self._check(loan.database)
        self.machine.loans[loan.name] = loan
        self.machine.may_lose_reply(_UNREACHABLE, "lend")
        role = f"gantry_loan_{loan.name}"
        return f"postgresql://{role}:{loan.password}@127.0.0.1:15432/{loan.database}"

    async def end_loans(self) -> int:
        """See `DatabaseServer.end_loans`."""
        now, loans = self.machine.clock.now(), self.machine.loans
        over = [name for name, loan in loans.items() if loan.until < now]
        for name in over:
            del loans[name]
        return len(over)

    async def extensions(self) -> Mapping[str, bool]:
        """See `DatabaseServer.extensions`."""
        return {
            "dblink": False,
            "pg_trgm": True,
            "plpgsql": True,
            "uuid-ossp": True,
            "vector": not self.machine.faults.no_vector,
        }

    def client(self, url: str, *, read_only: bool, interactive: bool) -> Client:
        """See `DatabaseServer.client`."""
        if not url.startswith("postgres"):
            raise UserError("database.bad-url", "DATABASE_URL is no address of a database")
        return Client(("psql",), {"PGOPTIONS": "read only" if read_only else "", "URL": url})

    async def status(self) -> DatabaseStatus:
        """See `DatabaseServer.status`."""
        if not self.machine.is_running(POSTGRES):
            return DatabaseStatus(running=False)
        databases = tuple(sorted(self.machine.databases))
        return DatabaseStatus(running=True, version="18.0", databases=databases)

    async def stop(self) -> None:
        """See `DatabaseServer.stop`."""
        self.machine.stop(POSTGRES)

    def _check(self, database: str) -> None:
        if not database.replace("_", "").isalnum() or not database.islower():
            raise UserError("database.bad-name", f"{database!r} cannot be the name of a database")
        if not self.machine.is_running(POSTGRES):
            raise TransientError(_UNREACHABLE, "the server does not run", hint="start it")


if TYPE_CHECKING:
    _guard: DatabaseServer = FakeDatabaseServer(Machine(ManualClock()))
