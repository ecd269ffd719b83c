"""Copies of databases as files, by Postgres' own programs, and databases made from them."""

import os
import subprocess
from pathlib import Path

from gantry.engines.postgres import wheel
from gantry.engines.postgres.admin import Address
from gantry.kernel.errors import PermanentError

_TIMEOUT_S = 6 * 3600.0
_MAX_MESSAGE = 500
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
