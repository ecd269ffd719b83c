"""What an administrator of a Postgres server does for projects; the same for embedded and external servers."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from urllib.parse import quote

import psycopg
from psycopg import errors, sql

from gantry.engines.postgres.protocol import DatabaseGrant, DatabaseStatus
from gantry.kernel.clock import Clock
from gantry.kernel.errors import TransientError, UserError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_NOT_OURS = frozenset({"postgres", "template0", "template1"})
_CONNECT_TIMEOUT_S = 5
_CONFIGURE_TIMEOUT_S = 10.0
_INTERVAL_CONFIGURE_S = 0.02
# One grant at a time on a server, also from several control planes: two that create the same role would collide.
LOCK = 0x6761_6E74_7279

Connection = psycopg.AsyncConnection[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is reached and as whom.

    Attributes:
        host: name or address, or the folder of a unix socket.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str = "postgres"
    options: str = ""

    def at(self, database: str) -> "Address":
        """Another database of the same server."""
        return replace(self, database=database)

    def url(self) -> str:
        """A `postgresql://` URL that every driver understands."""
        who = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        name = quote(self.database, safe="")
        if self.host.startswith("/"):
            query = f"host={quote(self.host, safe='')}&port={self.port}"
            return f"postgresql://{who}@/{name}?{query}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{who}@{host}:{self.port}/{name}" + (
            f"?{self.options}" if self.options else ""
        )


@asynccontextmanager
async def connected(address: Address) -> AsyncIterator[Connection]:
    """A session outside of any transaction.

    Raises:
        TransientError: `database.unreachable`.
    """
    try:
        connection = await psycopg.AsyncConnection.connect(
            address.url(), autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S
        )
        async with connection:
            yield connection
    except psycopg.OperationalError as error:
        raise unreachable(address, error) from error


def unreachable(address: Address, error: psycopg.OperationalError) -> TransientError:
    """The error for a server that does not answer."""
    return TransientError(
        "database.unreachable",
        f"the Postgres server at {address.host} does not answer: {str(error).strip()}",
        hint="gantry doctor",
        where=address.host,
    )


async def ensure(admin: Address, grant: DatabaseGrant) -> None:
    """Make role, database and privileges as granted.

    Raises:
        UserError: `database.bad-name`.
        TransientError: `database.unreachable`.
    """
    check_names(grant.database, grant.role)
    async with connected(admin) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        await _ensure_role(connection, grant)
        await _ensure_database(connection, grant)
    async with connected(admin.at(grant.database)) as connection:
        await connection.execute(
            sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(grant.role))
        )


async def configure(admin: Address, settings: Mapping[str, str], clock: Clock) -> None:
    """Give a server settings that it can take while it runs; returns when new sessions have them.

    Raises:
        TransientError: `database.unreachable`; `database.not-configured` it does not take them.
    """
    deadline_s = clock.monotonic_s() + _CONFIGURE_TIMEOUT_S
    while not await _is_configured(admin, settings):
        if clock.monotonic_s() > deadline_s:
            raise TransientError(
                "database.not-configured",
                f"the Postgres server at {admin.host} does not take its settings: {', '.join(settings)}",
                hint="gantry doctor",
                where=admin.host,
            )
        await clock.sleep(_INTERVAL_CONFIGURE_S)


async def _is_configured(admin: Address, settings: Mapping[str, str]) -> bool:
    """Whether a new session has the settings. If not, the server is told."""
    async with connected(admin) as connection:
        differ = {}
        for name, value in settings.items():
            row = await (await connection.execute("SELECT current_setting(%s)", (name,))).fetchone()
            if row != (value,):
                differ[name] = value
        for name, value in differ.items():
            change = sql.SQL("ALTER SYSTEM SET {} = {}")
            await connection.execute(change.format(sql.Identifier(name), sql.Literal(value)))
        if differ:
            await connection.execute("SELECT pg_reload_conf()")
    return not differ


async def _ensure_role(connection: Connection, grant: DatabaseGrant) -> None:
    row = await (
        await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (grant.role,))
    ).fetchone()
    verb = sql.SQL("CREATE" if row is None else "ALTER")
    await connection.execute(
        sql.SQL(
            "{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT {} PASSWORD {}"
        ).format(
            verb,
            sql.Identifier(grant.role),
            sql.Literal(grant.connection_limit),
            sql.Literal(hashed(connection, grant.role, grant.password)),
        )
    )


def hashed(connection: Connection, role: str, password: str) -> str:
    """A password as the server keeps it: neither its log nor its list of running statements ever sees the password."""
    return connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()


async def _ensure_database(connection: Connection, grant: DatabaseGrant) -> None:
    database, role = sql.Identifier(grant.database), sql.Identifier(grant.role)
    row = await (
        await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (grant.database,))
    ).fetchone()
    if row is None:
        await connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(database))
    await connection.execute(
        sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database),
    )
    # CREATE is for schemas of its own and for extensions; the database itself stays the administrator's.
    await connection.execute(
        sql.SQL("GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {} TO {}").format(database, role)
    )
    # On a server of somebody else these may belong to another administrator; then they are not ours to close.
    with suppress(errors.InsufficientPrivilege):
        await connection.execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
    # An administrator who is no superuser must be a member of the role to give it the schema.
    await connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))


async def drop(admin: Address, database: str, role: str) -> None:
    """Delete a database with its sessions, and its role.

    Raises:
        UserError: `database.bad-name`.
        TransientError: `database.unreachable`.
    """
    check_names(database, role)
    async with connected(admin) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        await connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
        )
        await connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


async def extensions(administrator: Address) -> dict[str, bool]:
    """See `DatabaseServer.extensions`.

    Raises:
        TransientError: `database.unreachable`.
    """
    async with connected(administrator) as connection:
        cursor = await connection.execute(
            "SELECT name, bool_or(trusted) FROM pg_available_extension_versions GROUP BY name"
        )
        return {str(name): bool(trusted) for name, trusted in await cursor.fetchall()}


async def status(admin: Address) -> DatabaseStatus:
    """What runs. Never raises."""
    try:
        async with connected(admin) as connection:
            version = await (await connection.execute("SHOW server_version")).fetchone()
            found = await connection.execute(
                "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY 1"
            )
            names = tuple(str(row[0]) for row in await found.fetchall())
    except (TransientError, psycopg.Error):
        return DatabaseStatus(running=False)
    assert version is not None, "SHOW has one row"
    return DatabaseStatus(running=True, version=str(version[0]), databases=names)


def check_names(*names: str) -> None:
    """Refuse names that no database or role of a product has.

    Raises:
        UserError: `database.bad-name`.
    """
    for name in names:
        if not _NAME.fullmatch(name) or name in _NOT_OURS or name.startswith("pg_"):
            raise UserError(
                "database.bad-name",
                f"{name!r} cannot be the name of a database or role here",
                hint="use small letters, digits and _, such as smart_sign_production",
                where=name,
            )
