"""Brings the control plane's database to the present shape, with yoyo-migrations."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import psycopg
import yoyo
from psycopg.conninfo import conninfo_to_dict

from gantry.kernel.errors import PermanentError

FOLDER = Path(__file__).parent / "migrations"


async def migrate(url: str, folder: Path = FOLDER) -> int:
    """Apply every migration that the database lacks, each in a transaction of its own; how many were applied.

    Parameters:
        url: libpq connection string or URL.

    Raises:
        PermanentError: `state.migration-failed` naming the migration; the database is as after the one before.
    """
    return await asyncio.to_thread(_migrate, url, folder)


def _migrate(url: str, folder: Path) -> int:
    migrations = yoyo.read_migrations(str(folder))
    try:
        with yoyo.get_backend(_yoyo_url(url)) as backend, backend.lock():
            missing = backend.to_apply(migrations)
            backend.apply_migrations(missing)
            return len(missing)
    except psycopg.Error as error:
        raise PermanentError(
            "state.migration-failed",
            f"the control plane's database cannot be brought to the present shape: {error}",
            hint="the log names the migration; the database is as it was before it",
        ) from error


def _yoyo_url(url: str) -> str:
    fields = conninfo_to_dict(url)
    host = str(fields.get("host", ""))
    user = quote(str(fields.get("user", "")), safe="")
    password = quote(str(fields.get("password", "")), safe="")
    login = f"{user}:{password}@" if password else f"{user}@"
    name = quote(str(fields.get("dbname", "postgres")), safe="")
    port = fields.get("port", 5432)
    if host.startswith("/"):
        return f"postgresql+psycopg://{login}/{name}?host={quote(host, safe='')}&port={port}"
    return f"postgresql+psycopg://{login}{host}:{port}/{name}"
