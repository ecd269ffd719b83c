"""A database server without databases: it remembers what was granted."""

from typing import TYPE_CHECKING

from gantry.engines.postgres.protocol import DatabaseGrant, DatabaseServer, DatabaseStatus
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
