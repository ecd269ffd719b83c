"""Brings the control plane's database to the present shape, with yoyo-migrations."""

import asyncio
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
import yoyo
from psycopg.conninfo import conninfo_to_dict
from yoyo.exceptions import LockTimeout

from gantry.kernel.errors import PermanentError, TransientError

FOLDER = Path(__file__).parent / "migrations"
# One migration at a time on a database; ends with the session, whatever happens to the process.
_LOCK = 0x6761_6E74_7279_0002


async def migrate(url: str, folder: Path = FOLDER) -> int:
    """Apply every migration that the database lacks, each in a transaction of its own; how many were applied.

    Parameters:
        url: libpq connection string or URL.

    Raises:
        PermanentError: `state.migration-failed` naming the migration; the database is as after the one before.
        TransientError: `state.unreachable`.
    """
    return await asyncio.to_thread(_migrate, url, folder)


def _migrate(url: str, folder: Path) -> int:
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as guard:
            guard.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            return _apply(url, folder)
    except psycopg.OperationalError as error:
        raise TransientError(
            "state.unreachable",
            f"the control plane's database does not answer: {str(error).strip()}",
            hint="gantry doctor",
        ) from error


def _apply(url: str, folder: Path) -> int:
    applied = 0
    with yoyo.get_backend(_yoyo_url(url)) as backend:
        # yoyo's own lock is a row, which a killed process leaves behind. Who is here holds the real one.
        backend.break_lock()
        for migration in backend.to_apply(yoyo.read_migrations(str(folder))):
            try:
                with backend.lock():
                    backend.apply_one(migration)
            except (psycopg.Error, LockTimeout) as error:
                raise PermanentError(
                    "state.migration-failed",
                    f"migration {migration.id} of the control plane's database failed: {str(error).strip()}",
                    hint="the database is as it was before it; report this with the message",
                    where=migration.id,
                ) from error
            applied += 1
    return applied


def _yoyo_url(url: str) -> str:
    fields = {name: str(value) for name, value in conninfo_to_dict(url).items() if value}
    host = fields.pop("host", "")
    login = quote(fields.pop("user", ""), safe="")
    if "password" in fields:
        login += ":" + quote(fields.pop("password"), safe="")
    name = fields.pop("dbname", "postgres")
    where = ""
    if host.startswith("/"):
        fields["host"] = host
    else:
        where = (f"[{host}]" if ":" in host else host) + ":" + fields.pop("port", "5432")
    query = f"?{urlencode(fields)}" if fields else ""
    return f"postgresql+psycopg://{login}@{where}/{name}{query}"
