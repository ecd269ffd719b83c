"""A Postgres server that somebody else runs, found in the configuration by its URL."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict

from gantry.engines.postgres import admin, loans
from gantry.engines.postgres.admin import Address
from gantry.engines.postgres.client import client
from gantry.engines.postgres.protocol import DatabaseGrant, DatabaseServer, DatabaseStatus, Loan
from gantry.engines.runtime.protocol import Client
from gantry.kernel.errors import TransientError, UserError


class ExternalServer:
    """Grants databases on a server that is reached by a URL.

    Parameters:
        url: of an administrator who may create roles and databases.

    Raises:
        UserError: `database.bad-url`.
    """

    def __init__(self, url: str) -> None:
        self._admin = _parse(url)

    async def start(self) -> None:
        """See `DatabaseServer.start`: it runs elsewhere, so this only asks whether it answers."""
        try:
            async with admin.connected(self._admin):
                return
        except TransientError as error:
            raise TransientError(
                "database.start-failed", error.message, hint=error.hint, where=error.where
            ) from error

    async def revive(self) -> None:
        """See `DatabaseServer.revive`. Somebody else keeps it running."""

    async def ensure(self, grant: DatabaseGrant) -> str:
        """See `DatabaseServer.ensure`; also `database.bad-name` and `database.unreachable`."""
        await admin.ensure(self._admin, grant)
        here = self._admin
        return Address(
            here.host, here.port, grant.role, grant.password, grant.database, here.options
        ).url()

    async def drop(self, database: str, role: str) -> None:
        """See `DatabaseServer.drop`; also `database.bad-name` and `database.unreachable`."""
        await admin.drop(self._admin, database, role)

    async def lend(self, loan: Loan) -> str:
        """See `DatabaseServer.lend`."""
        role = await loans.lend(self._admin, loan)
        return replace(self._admin, user=role, password=loan.password, database=loan.database).url()

    async def end_loans(self) -> int:
        """See `DatabaseServer.end_loans`."""
        return await loans.end(self._admin)

    async def extensions(self) -> Mapping[str, bool]:
        """See `DatabaseServer.extensions`."""
        return await admin.extensions(self._admin)

    def client(self, url: str, *, read_only: bool, interactive: bool) -> Client:
        """See `DatabaseServer.client`."""
        return client(url, read_only=read_only, interactive=interactive)

    async def status(self) -> DatabaseStatus:
        """See `DatabaseServer.status`."""
        return await admin.status(self._admin)

    async def stop(self) -> None:
        """See `DatabaseServer.stop`: it is not ours to stop."""


def _parse(url: str) -> Address:
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise _bad_url(str(error).strip()) from None
    if not parts.get("host") or not parts.get("user"):
        raise _bad_url("it names no host or no user")
    mode = parts.get("sslmode")
    return Address(
        host=str(parts["host"]),
        port=int(parts.get("port") or 5432),
        user=str(parts["user"]),
        password=str(parts.get("password") or ""),
        database=str(parts.get("dbname") or "postgres"),
        options=f"sslmode={mode}" if mode else "",
    )


def _bad_url(reason: str) -> UserError:
    # The URL itself holds a password and is not repeated.
    return UserError(
        "database.bad-url",
        f"the URL of the external Postgres server cannot be used: {reason}",
        hint="write it like postgresql://admin:password@db.example.com:5432/postgres",
    )


if TYPE_CHECKING:
    _guard: DatabaseServer = ExternalServer("")
