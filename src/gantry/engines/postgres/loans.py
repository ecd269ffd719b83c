"""Roles of people who use a product's database for a while, with a client of their own."""

from psycopg import sql

from gantry.engines.postgres.admin import LOCK, Address, check_names, connected, hashed
from gantry.engines.postgres.protocol import Loan

# No role of a product begins like this and has an end.
_PREFIX = "gantry_loan_"
_MAX_SESSIONS = 10
_OVER = "SELECT rolname FROM pg_roles WHERE rolname LIKE %s AND rolvaliduntil < now() ORDER BY 1"
_WHERE = """SELECT DISTINCT datname FROM pg_shdepend JOIN pg_database
    ON pg_database.oid = dbid OR (classid = 'pg_database'::regclass AND pg_database.oid = objid)
    WHERE refclassid = 'pg_authid'::regclass AND refobjid = %s::regrole"""


async def lend(administrator: Address, loan: Loan) -> str:
    """Make the role; its name.

    Raises:
        UserError: `database.bad-name`.
        TransientError: `database.unreachable`.
    """
    name = _PREFIX + loan.name
    check_names(name, loan.database, loan.owner)
    role, owner = sql.Identifier(name), sql.Identifier(loan.owner)
    # A reader inherits the right to read. Others have none of their own: they act as the owner from their first word on.
    inherits = sql.SQL("INHERIT" if loan.read_only else "NOINHERIT")
    async with connected(administrator) as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        await connection.execute(
            sql.SQL(
                "CREATE ROLE {} LOGIN {} NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT {} PASSWORD {} VALID UNTIL {}"
            ).format(
                role,
                inherits,
                sql.Literal(_MAX_SESSIONS),
                sql.Literal(hashed(connection, name, loan.password)),
                sql.Literal(loan.until.isoformat()),
            )
        )
        await connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                sql.Identifier(loan.database), role
            )
        )
        if loan.read_only:
            await connection.execute(sql.SQL("GRANT pg_read_all_data TO {}").format(role))
            given = sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(role)
        else:
            await connection.execute(sql.SQL("GRANT {} TO {}").format(owner, role))
            given = sql.SQL("ALTER ROLE {} SET role = {}").format(role, sql.Literal(loan.owner))
        await connection.execute(given)
    return name


async def end(administrator: Address) -> int:
    """End the sessions of loans that are over, and delete their roles; how many.

    Raises:
        TransientError: `database.unreachable`.
    """
    async with connected(administrator) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        cursor = await connection.execute(_OVER, (_PREFIX.replace("_", r"\_") + "%",))
        over = [str(row[0]) for row in await cursor.fetchall()]
        for name in over:
            await connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s",
                (name,),
            )
            cursor = await connection.execute(_WHERE, (name,))
            for (database,) in await cursor.fetchall():
                await _forget(administrator, str(database), name)
            await connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))
    return len(over)


async def _forget(administrator: Address, database: str, name: str) -> None:
    """Take back what the role was given in one database; it owns nothing."""
    async with connected(administrator.at(database)) as connection:
        await connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
