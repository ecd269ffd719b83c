"""A database server in memory, for tests and the simulation."""

import random
from typing import TYPE_CHECKING

from gantry.engines.postgres.protocol import DatabaseGrant, DatabaseServer, DatabaseStatus
from gantry.kernel.errors import TransientError, UserError


class FakeServer:
    """Remembers grants; no SQL.

    Parameters:
        lose_reply: chance that a grant or a deletion happens and its reply is lost.
    """

    def __init__(self, rng: random.Random | None = None, *, lose_reply: float = 0.0) -> None:
        self._rng = rng or random.Random(0)
        self._lose_reply = lose_reply
        self._running = self._ended = False
        self.grants: dict[str, DatabaseGrant] = {}

    async def start(self) -> None:
        """See `DatabaseServer.start`."""
        self._running, self._ended = True, False

    async def revive(self) -> None:
        """See `DatabaseServer.revive`."""
        if self._ended:
            await self.start()

    async def ensure(self, grant: DatabaseGrant) -> str:
        """See `DatabaseServer.ensure`."""
        self._check(grant.database)
        self.grants[grant.database] = grant
        self._may_lose_reply()
        return f"postgresql://{grant.role}:{grant.password}@127.0.0.1:15432/{grant.database}"

    async def drop(self, database: str, role: str) -> None:
        """See `DatabaseServer.drop`."""
        self._check(database)
        self.grants.pop(database, None)
        self._may_lose_reply()

    async def status(self) -> DatabaseStatus:
        """See `DatabaseServer.status`."""
        if not self._running:
            return DatabaseStatus(running=False)
        return DatabaseStatus(running=True, version="18.0", databases=tuple(sorted(self.grants)))

    async def stop(self) -> None:
        """See `DatabaseServer.stop`."""
        self._running, self._ended = False, self._running

    def crash(self) -> None:
        """The server dies; what was granted is kept."""
        self._running, self._ended = False, self._running

    def _check(self, database: str) -> None:
        if not database.replace("_", "").isalnum() or not database.islower():
            raise UserError("database.bad-name", f"{database!r} cannot be the name of a database")
        if not self._running:
            raise TransientError("database.unreachable", "the server does not run", hint="start it")

    def _may_lose_reply(self) -> None:
        if self._rng.random() < self._lose_reply:
            raise TransientError("database.unreachable", "the reply was lost (simulated)")


if TYPE_CHECKING:
    _guard: DatabaseServer = FakeServer()
