"""Database in Postgres, through a small pool of connections.

A task may be cancelled wherever it waits, again and again: a client that hangs up ends its request that way. What happens
to a connection between two transactions is therefore done by tasks of our own, which the caller waits for but cannot
cancel, and nothing about a connection is ever switched, so there is nothing to switch back.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from gantry.engines.database.protocol import Database, Parameters, Row, Session
from gantry.kernel.errors import ConflictError, TransientError, UserError

_log = logging.getLogger(__name__)

_Connection = psycopg.AsyncConnection[DictRow]
_Result = TypeVar("_Result")

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

    def __init__(self, connection: _Connection) -> None:
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


class PostgresDatabase:
    """A pool that opens when it is entered.

    Parameters:
        url: libpq connection string.
        most_connections: upper bound of the pool; one is kept open when idle.
    """

    def __init__(self, url: str, *, most_connections: int = 6) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pool: AsyncConnectionPool[_Connection] = AsyncConnectionPool(
            url,
            connection_class=_Connection,
            kwargs={
                "row_factory": dict_row,
                "options": f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} -c timezone=UTC",
            },
            min_size=1,
            max_size=most_connections,
            max_idle=60,
            timeout=5,
            reconnect_timeout=_RECONNECT_S,
            check=_begin,
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
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """See `Database.transaction`."""
        try:
            connection = await self._take()
            try:
                yield PostgresSession(connection)
            except BaseException:
                await asyncio.shield(self._spawn(self._end(connection, _roll_back(connection))))
                raise
            await asyncio.shield(self._spawn(self._end(connection, connection.commit())))
        except _CONFLICTS as error:
            raise ConflictError(
                "state.conflict", f"the change was refused: {_first_line(error)}", hint="try again"
            ) from error
        except errors.DiskFull as error:
            raise TransientError(
                "state.disk-full",
                f"the disk of the control plane's database is full: {_first_line(error)}",
                hint="gantry doctor shows how much is free; make room, and what is waiting continues",
            ) from error
        except psycopg.DataError as error:
            raise UserError(
                "state.bad-value",
                f"the control plane's database cannot hold a value: {_first_line(error)}",
                hint="leave out NUL characters",
            ) from error
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise _unreachable(error) from error

    async def _take(self) -> _Connection:
        """A connection in a transaction that has begun. One that comes after the caller has gone goes back."""
        taking = self._spawn(self._pool.getconn())
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(self._give_back)
            raise

    def _give_back(self, taking: asyncio.Task[_Connection]) -> None:
        if not taking.cancelled() and taking.exception() is None:
            connection = taking.result()
            self._spawn(self._end(connection, _roll_back(connection)))

    async def _end(self, connection: _Connection, ending: Coroutine[Any, Any, None]) -> None:
        """End the transaction and give its connection back; the pool replaces one that is of no more use."""
        try:
            await ending
        finally:
            await self._pool.putconn(connection)

    def _spawn(self, coroutine: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _begin(connection: _Connection) -> None:
    """Begin a transaction: the round trip shows that the server is there, and its status that there is one.

    The pool's own check switches the connection to autocommit for its question and back; cancelled in between, it leaves
    it so, and later "transactions" on it are none.
    """
    await connection.execute(b"")
    if connection.info.transaction_status != TransactionStatus.INTRANS:
        await connection.close()
        raise psycopg.OperationalError("the connection is in no transaction")


async def _roll_back(connection: _Connection) -> None:
    if connection.closed:
        return
    try:
        await connection.rollback()
    except psycopg.Error as error:
        # Not in place of the error that is the reason for it.
        _log.warning("a transaction was not rolled back, its connection is closed: %s", error)
        await connection.close()


def _constant(sql: str) -> bytes:
    # psycopg asks for literal strings to keep values out of statements. Ours are constants of `store.py`, composed
    # of constants, with every value a parameter; bytes are its way to say so.
    return sql.encode()


def _unreachable(error: Exception) -> TransientError:
    return TransientError(
        "state.unreachable",
        f"the control plane's database does not answer: {_first_line(error)}",
        hint="gantry doctor checks it; gantry up starts it",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


if TYPE_CHECKING:
    _guard: Database = PostgresDatabase("")
