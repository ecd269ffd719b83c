"""Whoever is cancelled in the middle of a transaction leaves no trace of it, wherever in the middle that was.

A client that hangs up cancels its request. That is done here on purpose, at the first place where a transaction waits, at
the second, and so on until it ends before its turn comes; on a pool of one connection, so that the next transaction
gets the very connection that the cancelled one had.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from enum import Enum, auto
from typing import Any

import psycopg
import pytest
from psycopg import waiting

from gantry.engines.database.postgres import PostgresDatabase

pytestmark = [pytest.mark.real, pytest.mark.own_database]


class Hangup(Enum):
    """How a task is cancelled."""

    # While what it waits for has not come.
    WAITING = auto()
    # In the moment when what it waits for has come, but before it could go on.
    ANSWERED = auto()
    # While it waits, and again at everything that it waits for afterwards, as cancel scopes do.
    INSISTING = auto()


class CancelledAt:
    """Awaits a coroutine, and cancels it where it waits for the `turn`-th time.

    Attributes:
        reached: whether the coroutine waited so often.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None], turn: int, hangup: Hangup) -> None:
        self.reached = False
        self._coroutine = coroutine
        self._turn = turn
        self._hangup = hangup

    def __await__(self) -> Generator[Any, Any, None]:
        task = asyncio.current_task()
        assert task is not None
        waits, error = 0, None
        with suppress(StopIteration):
            while True:
                future = (
                    self._coroutine.send(None) if error is None else self._coroutine.throw(error)
                )
                waits, error = waits + 1, None
                hit = waits == self._turn
                self.reached |= hit
                if (hit and self._hangup is Hangup.WAITING) or (
                    self.reached and self._hangup is Hangup.INSISTING
                ):
                    task.cancel()
                try:
                    yield future
                except BaseException as raised:  # noqa: BLE001 -- thrown on into the coroutine
                    error = raised
                else:
                    if hit and self._hangup is Hangup.ANSWERED:
                        error = asyncio.CancelledError()


@pytest.fixture
async def database(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PostgresDatabase]:
    # The driver waits at some places only when the process has been busy for a while: here it always does.
    monkeypatch.setattr(waiting, "MAX_BUSY_TIME", 0.0)
    opened = PostgresDatabase(postgres_url, most_connections=1)
    await opened.open()
    async with opened.transaction() as session:
        await session.execute("CREATE TABLE things (name text)")
    yield opened
    await opened.aclose()


async def _insert_two(database: PostgresDatabase, name: str) -> None:
    async with database.transaction() as session:
        await session.execute("INSERT INTO things VALUES (%(name)s)", {"name": name})
        await session.execute("INSERT INTO things VALUES (%(name)s)", {"name": name})


async def _refuse(database: PostgresDatabase) -> None:
    with suppress(ZeroDivisionError):
        async with database.transaction() as session:
            await session.execute("INSERT INTO things VALUES ('refused')")
            raise ZeroDivisionError


async def _alone(database: PostgresDatabase, victim: Awaitable[None]) -> None:
    await victim


async def _behind_another(database: PostgresDatabase, victim: Awaitable[None]) -> None:
    """The only connection is given back while the victim waits for it."""

    async def wait_for_victim() -> None:
        with suppress(asyncio.CancelledError):
            await victim

    async with asyncio.TaskGroup() as group, database.transaction() as session:
        group.create_task(wait_for_victim())
        await session.execute("SELECT 1")


async def _before_another(database: PostgresDatabase, victim: Awaitable[None]) -> None:
    """Somebody waits for the connection that the victim has."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_insert_two(database, "another"))
        with suppress(asyncio.CancelledError):
            await victim


async def _check(database: PostgresDatabase, postgres_url: str) -> None:
    """The next transaction is one, what was begun is whole or not there, and no connection is lost."""
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as session:
            await session.execute("LOCK TABLE things IN EXCLUSIVE MODE")
            await session.execute("INSERT INTO things VALUES ('undone')")
            raise ZeroDivisionError
    async with database.transaction() as session:
        counts = {
            row["name"]: row["n"]
            for row in await session.rows("SELECT name, count(*) AS n FROM things GROUP BY name")
        }
        await session.execute("DELETE FROM things")
    assert counts.get("victim", 2) == 2
    assert counts.keys() <= {"victim", "another"}
    async with asyncio.timeout(5):
        while _sessions(postgres_url) != 1:
            await asyncio.sleep(0)


def _sessions(postgres_url: str) -> int:
    with psycopg.connect(postgres_url) as other:
        row = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("hangup", Hangup)
@pytest.mark.parametrize("company", [_alone, _behind_another, _before_another])
@pytest.mark.parametrize("refused", [False, True], ids=["committed", "rolled back"])
async def test_a_transaction_that_is_cancelled_anywhere_leaves_the_next_one_whole(
    database: PostgresDatabase,
    postgres_url: str,
    company: Callable[[PostgresDatabase, Awaitable[None]], Coroutine[Any, Any, None]],
    hangup: Hangup,
    refused: bool,
) -> None:
    turn, reached = 0, True
    while reached:
        turn += 1
        victim = CancelledAt(
            _refuse(database) if refused else _insert_two(database, "victim"), turn, hangup
        )

        async def request(victim: CancelledAt = victim) -> None:
            await victim

        # As the server does it: every request is a task of its own.
        await asyncio.wait([asyncio.create_task(company(database, request()))])
        reached = victim.reached
        await _check(database, postgres_url)
    assert turn > 3, "for the connection, for each statement, and for the end"
