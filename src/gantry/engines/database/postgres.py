"""State in Postgres, through a small pool of connections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from gantry.engines.database.protocol import Parameters, Row, Session, State
from gantry.kernel.errors import ConflictError, TransientError

_CONFLICTS = (
    errors.UniqueViolation,
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
)
# A statement of the control plane takes milliseconds; one that takes this long waits for a lock that is not coming.
_STATEMENT_TIMEOUT_MS = 10_000
# A pool that has lost every connection gives up after so long, and the next request begins anew: otherwise its pauses
# between tries grow to minutes, and a database that is back is not noticed.
_RECONNECT_S = 2.0


class PostgresSession:
    """One transaction on one connection."""

    def __init__(self, connection: psycopg.AsyncConnection[DictRow]) -> None:
        self._connection = connection

    async def rows(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        cursor = await self._connection.execute(_constant(sql), parameters)
        return await cursor.fetchall()

    async def one(self, sql: str, parameters: Parameters | None = None) -> Row | None:
        found = await self.rows(sql, parameters)
        assert len(found) <= 1, "the caller promised at most one row"
        return found[0] if found else None

    async def execute(self, sql: str, parameters: Parameters | None = None) -> int:
        cursor = await self._connection.execute(_constant(sql), parameters)
        return cursor.rowcount


class PostgresState:
    """A pool that opens when it is entered.

    Parameters:
        url: libpq connection string.
        most_connections: upper bound of the pool; one is kept open when idle.
    """

    def __init__(self, url: str, *, most_connections: int = 6) -> None:
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[DictRow]] = AsyncConnectionPool(
            url,
            connection_class=psycopg.AsyncConnection[DictRow],
            kwargs={
                "row_factory": dict_row,
                "options": f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} -c timezone=UTC",
            },
            min_size=1,
            max_size=most_connections,
            max_idle=60,
            timeout=5,
            reconnect_timeout=_RECONNECT_S,
            check=AsyncConnectionPool.check_connection,
            open=False,
        )

    async def open(self) -> None:
        """Connect.

        Raises:
            TransientError: `state.unreachable`.
        """
        try:
            await self._pool.open(wait=True, timeout=10)
        except PoolTimeout as error:
            raise _unreachable(error) from error

    async def aclose(self) -> None:
        """Give every connection back. Safe to call twice."""
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """See `State.transaction`."""
        try:
            async with self._pool.connection() as connection:
                yield PostgresSession(connection)
        except _CONFLICTS as error:
            raise ConflictError(
                "state.conflict", f"the change was refused: {_first_line(error)}", hint="try again"
            ) from error
        except errors.DiskFull as error:
            raise TransientError(
                "state.disk-full",
                f"the disk of the control plane's database is full: {_first_line(error)}",
                hint="gantry doctor shows how much is free; make room, and what waits goes on",
            ) from error
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise _unreachable(error) from error


def _constant(sql: str) -> bytes:
    # psycopg asks for literal strings to keep values out of statements. Ours are constants of `store.py`, composed
    # of constants, with every value a parameter; bytes are its way to say so.
    return sql.encode()


def _unreachable(error: Exception) -> TransientError:
    return TransientError(
        "state.unreachable",
        f"the control plane's database does not answer: {_first_line(error)}",
        hint="gantry doctor looks at it; gantry up starts it",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


if TYPE_CHECKING:
    _guard: State = PostgresState("")
