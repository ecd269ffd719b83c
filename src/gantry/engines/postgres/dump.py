"""Copies of databases as files, by Postgres' own programs, and databases made from them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from gantry.engines.postgres import wheel
from gantry.engines.postgres.admin import Address, unreachable
from gantry.kernel.errors import PermanentError

_TIMEOUT_S = 6 * 3600.0
_CONNECT_TIMEOUT_S = 10
_MAX_MESSAGE = 500
_EXISTS = "SELECT 1 FROM pg_database WHERE datname = %s"
_CUT_OFF = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
# Every server has the three.
_LIST = """SELECT datname FROM pg_database
    WHERE datname NOT IN ('postgres', 'template0', 'template1') ORDER BY 1"""


def list_databases(address: Address) -> tuple[str, ...]:
    """The databases of a server but those that every server has."""
    text = _run(address, "psql", "--no-psqlrc", "-At", "-c", _LIST)
    return tuple(line for line in text.splitlines() if line)


def dump(address: Address, database: str, file: Path) -> None:
    """Write one database as it is at this moment, while it is used; its rights and settings with it.

    Raises:
        PermanentError: `database.dump-failed` with Postgres' words.
    """
    _run(
        address, "pg_dump", "--format=custom", "--create", f"--file={file}", f"--dbname={database}"
    )


def dump_roles(address: Address, file: Path) -> None:
    """Write the roles of a server with their passwords' hashes, but the administrator's own.

    Raises:
        PermanentError: `database.dump-failed`.
    """
    text = _run(address, "pg_dumpall", "--roles-only")
    own = {f"CREATE ROLE {wheel.ADMIN};", f"ALTER ROLE {wheel.ADMIN} "}
    kept = [line for line in text.splitlines() if not line.startswith(tuple(own))]
    file.write_text("\n".join(kept) + "\n")
    file.chmod(0o600)


def restore_roles(address: Address, file: Path) -> None:
    """Make the roles of a file on a new server."""
    _run(address, "psql", "--no-psqlrc", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f", str(file))  # fmt: skip


def restore(address: Address, file: Path, *, into: str = "") -> None:
    """Make a database from its file.

    Parameters:
        into: a database that is there and empty; otherwise one with the name that it had is made.
    """
    target = (f"--dbname={into}",) if into else ("--create", "--dbname=postgres")
    _run(address, "pg_restore", "--exit-on-error", *target, str(file))


def set_aside(address: Address, name: str) -> None:
    """Copy the database of `address` on its server under another name, which an earlier copy loses.

    Whoever is connected to it is cut off: Postgres copies what nobody uses.

    Raises:
        TransientError: `database.unreachable`.
        PermanentError: `database.dump-failed`.
    """
    copy, own = sql.Identifier(name), sql.Identifier(address.database)
    with _apart(address) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(copy))
        connection.execute(_CUT_OFF, (address.database,))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(copy, own))


def bring_back(address: Address, name: str) -> None:
    """Put the copy in the place of the database, which is deleted; without a copy nothing happens.

    Raises:
        TransientError: `database.unreachable`.
        PermanentError: `database.dump-failed`.
    """
    copy, own = sql.Identifier(name), sql.Identifier(address.database)
    with _apart(address) as connection:
        if connection.execute(_EXISTS, (name,)).fetchone() is None:
            return
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(own))
        connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(copy, own))


def forget_aside(address: Address, name: str) -> None:
    """Delete the copy; none is no error.

    Raises:
        TransientError: `database.unreachable`.
        PermanentError: `database.dump-failed`.
    """
    with _apart(address) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


@contextmanager
def _apart(address: Address) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A session that is in none of the databases that are copied."""
    try:
        with psycopg.connect(
            address.at("template1").url(),
            autocommit=True,
            connect_timeout=_CONNECT_TIMEOUT_S,
        ) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise unreachable(address, error) from error
    except psycopg.Error as error:
        raise PermanentError(
            "database.dump-failed",
            f"the control plane's database cannot be copied: {str(error).strip()[-_MAX_MESSAGE:]}",
        ) from error


def _run(address: Address, program: str, *arguments: str) -> str:
    env = {
        "PATH": os.defpath,
        "LC_ALL": "C.UTF-8",
        "PGHOST": address.host,
        "PGPORT": str(address.port),
        "PGUSER": address.user,
        "PGPASSWORD": address.password,
        "PGDATABASE": address.database,
    }
    done = subprocess.run(
        (str(wheel.programs() / "bin" / program), *arguments),
        env=env,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise PermanentError(
            "database.dump-failed",
            f"{program} ended with {done.returncode}: {done.stderr.strip()[-_MAX_MESSAGE:]}",
        )
    return done.stdout
