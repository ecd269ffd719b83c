"""One of several control planes on the same database acts; the others wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg

from gantry.kernel.clock import Clock
from gantry.kernel.tasks import TaskSet

# Any number that no other program uses on this database; the same in every version of Gantry.
_LOCK = 0x6761_6E74_7279_0001
_CONNECT_TIMEOUT_S = 5


@asynccontextmanager
async def hold_leadership(
    url: str, clock: Clock, *, every_s: float = 1.0
) -> AsyncIterator[asyncio.Event]:
    """Wait until this control plane leads, and lead for the length of the block.

    The lock belongs to a session, so the database itself ends it when the holder dies.

    Parameters:
        url: libpq connection string; the session is not one of the pool's.
        every_s: how often a follower asks, and how often the leader makes sure that its session lives.

    Yields:
        set when leadership was lost with the session: stop acting and enter again.
    """
    connection = await _acquire(url, clock, every_s)
    lost = asyncio.Event()
    tasks = TaskSet()
    tasks.spawn(_watch(connection, lost, clock, every_s), name="leadership")
    try:
        yield lost
    finally:
        await tasks.aclose()
        await connection.close()


async def _acquire(url: str, clock: Clock, every_s: float) -> psycopg.AsyncConnection:
    while True:
        # An unreachable database has no leader: ask again.
        with suppress(psycopg.OperationalError):
            connection = await psycopg.AsyncConnection.connect(
                url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S
            )
            if await _locks(connection):
                return connection
        await clock.sleep(every_s)


async def _locks(connection: psycopg.AsyncConnection) -> bool:
    """Whether the session got the lock; one that did not is closed, also when asking failed or was cancelled."""
    got = False
    try:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,))
        row = await cursor.fetchone()
        got = row is not None and bool(row[0])
    finally:
        if not got:
            await connection.close()
    return got


async def _watch(
    connection: psycopg.AsyncConnection, lost: asyncio.Event, clock: Clock, every_s: float
) -> None:
    while not lost.is_set():
        await clock.sleep(every_s)
        try:
            async with asyncio.timeout(every_s + _CONNECT_TIMEOUT_S):
                await connection.execute("SELECT 1")
        except (psycopg.OperationalError, TimeoutError):
            lost.set()
