"""The control plane's memory, on a real Postgres: transactions, errors, migrations, leadership."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from gantry.engines.database.leadership import hold_leadership
from gantry.engines.database.migrate import migrate
from gantry.engines.database.postgres import PostgresDatabase
from gantry.kernel.clock import SystemClock
from gantry.kernel.errors import ConflictError, PermanentError, TransientError, UserError

pytestmark = [pytest.mark.real, pytest.mark.own_database]


@pytest.fixture
async def table(database: PostgresDatabase) -> str:
    async with database.transaction() as session:
        await session.execute("CREATE TABLE things (id int PRIMARY KEY, name text)")
    return "things"


async def test_what_a_block_did_is_kept_when_it_ends_well(
    database: PostgresDatabase, table: str
) -> None:
    async with database.transaction() as session:
        for number in (1, 2):
            assert (
                await session.execute(
                    "INSERT INTO things VALUES (%(id)s, %(name)s)", {"id": number, "name": "x'y"}
                )
                == 1
            )
    async with database.transaction() as session:
        assert await session.rows("SELECT * FROM things ORDER BY id") == [
            {"id": 1, "name": "x'y"},
            {"id": 2, "name": "x'y"},
        ]
        assert await session.one("SELECT name FROM things WHERE id = %(id)s", {"id": 9}) is None
        assert await session.execute("DELETE FROM things") == 2


async def test_what_a_block_did_is_undone_when_it_raises(
    database: PostgresDatabase, table: str
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as session:
            await session.execute("INSERT INTO things VALUES (1)")
            raise ZeroDivisionError
    async with database.transaction() as session:
        assert await session.rows("SELECT * FROM things") == []


async def test_a_second_row_of_the_same_key_is_a_conflict(
    database: PostgresDatabase, table: str
) -> None:
    with pytest.raises(ConflictError) as caught:
        async with database.transaction() as session:
            await session.execute("INSERT INTO things VALUES (1), (1)")
    assert caught.value.code == "state.conflict"


async def test_a_text_that_it_cannot_hold_is_refused_and_nothing_is_kept(
    database: PostgresDatabase, table: str
) -> None:
    with pytest.raises(UserError) as refused:
        async with database.transaction() as session:
            await session.execute("INSERT INTO things VALUES (1, 'kept?')")
            await session.execute("INSERT INTO things VALUES (2, %(name)s)", {"name": "a\0b"})
    assert refused.value.code == "state.bad-value"
    async with database.transaction() as session:
        assert await session.rows("SELECT * FROM things") == []


async def test_more_than_one_row_where_one_was_promised_is_a_defect(
    database: PostgresDatabase,
) -> None:
    with pytest.raises(AssertionError):
        async with database.transaction() as session:
            await session.one("SELECT * FROM generate_series(1, 2)")


async def test_more_transactions_than_connections_wait_for_one_another(
    database: PostgresDatabase, table: str
) -> None:
    async def insert(number: int) -> None:
        async with database.transaction() as session:
            await session.execute("INSERT INTO things VALUES (%(id)s)", {"id": number})

    async with asyncio.TaskGroup() as group:
        for number in range(30):
            group.create_task(insert(number))
    async with database.transaction() as session:
        assert await session.one("SELECT count(*) AS n FROM things") == {"n": 30}


async def test_sessions_that_the_server_ended_are_replaced(
    database: PostgresDatabase, postgres_url: str
) -> None:
    async with database.transaction() as session:
        await session.rows("SELECT 1")
    with psycopg.connect(postgres_url) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
    async with database.transaction() as session:
        assert await session.one("SELECT 1 AS n") == {"n": 1}


async def test_a_session_that_is_cut_in_the_middle_is_told_so(
    database: PostgresDatabase, postgres_url: str
) -> None:
    with pytest.raises(TransientError) as caught:
        async with database.transaction() as session:
            pid = (await session.rows("SELECT pg_backend_pid() AS pid"))[0]["pid"]
            with psycopg.connect(postgres_url) as other:
                other.execute("SELECT pg_terminate_backend(%s)", (pid,))
            await session.rows("SELECT 1")
    assert caught.value.code == "state.unreachable"


async def test_a_database_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(TransientError) as caught:
        await migrate(f"host={tmp_path} user=x dbname=y", tmp_path)
    assert caught.value.code == "state.unreachable"


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    (tmp_path / "0001.one.sql").write_text("CREATE TABLE m1 (id int);")
    (tmp_path / "0002.two.sql").write_text("-- depends: 0001.one\nALTER TABLE m1 ADD name text;")
    return tmp_path


async def test_migrations_are_applied_once(postgres_url: str, migrations: Path) -> None:
    assert await migrate(postgres_url, migrations) == 2
    assert await migrate(postgres_url, migrations) == 0
    (migrations / "0003.three.sql").write_text("CREATE TABLE m3 (id int);")
    assert await migrate(postgres_url, migrations) == 1


async def test_two_control_planes_migrate_once(postgres_url: str, migrations: Path) -> None:
    applied = await asyncio.gather(*(migrate(postgres_url, migrations) for _ in range(3)))
    assert sorted(applied) == [0, 0, 2]


async def test_a_migration_that_fails_changes_nothing_and_is_named(
    postgres_url: str, migrations: Path
) -> None:
    bad = migrations / "0003.bad.sql"
    bad.write_text("CREATE TABLE m3 (id int); SELECT 1/0;")
    with pytest.raises(PermanentError) as caught:
        await migrate(postgres_url, migrations)
    assert (caught.value.code, caught.value.where) == ("state.migration-failed", "0003.bad")
    with psycopg.connect(postgres_url) as session:
        assert session.execute("SELECT to_regclass('m1')::text, to_regclass('m3')").fetchone() == (
            "m1",
            None,
        )
    bad.write_text("CREATE TABLE m3 (id int);")
    assert await migrate(postgres_url, migrations) == 1


async def test_the_lock_of_a_migration_that_was_killed_does_not_stay(
    postgres_url: str, migrations: Path
) -> None:
    await migrate(postgres_url, migrations)
    with psycopg.connect(postgres_url) as session:
        session.execute("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")
    (migrations / "0003.three.sql").write_text("CREATE TABLE m3 (id int);")
    async with asyncio.timeout(5):
        assert await migrate(postgres_url, migrations) == 1


async def test_one_leads_and_the_next_takes_over(postgres_url: str) -> None:
    order: list[str] = []
    first_leads, first_may_go = asyncio.Event(), asyncio.Event()

    async def lead(name: str) -> None:
        async with hold_leadership(postgres_url, SystemClock(), every_s=0.02):
            order.append(name)
            first_leads.set()
            await first_may_go.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(lead("first"))
        await first_leads.wait()
        group.create_task(lead("second"))
        await asyncio.sleep(0.1)
        assert order == ["first"]
        first_may_go.set()
    assert order == ["first", "second"]


async def test_a_leader_hears_that_its_session_ended(postgres_url: str) -> None:
    async with hold_leadership(postgres_url, SystemClock(), every_s=0.02) as lost:
        with psycopg.connect(postgres_url) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                " AND pid <> pg_backend_pid()"
            )
        async with asyncio.timeout(5):
            await lost.wait()


async def test_a_follower_that_is_cancelled_leaves_no_session_behind(postgres_url: str) -> None:
    async with hold_leadership(postgres_url, SystemClock()):
        for turns in range(30):
            follower = asyncio.create_task(_lead(postgres_url))
            for _ in range(turns):
                await asyncio.sleep(0)
            # With a little time the driver gets as far as to ask; without, it is still connecting.
            await asyncio.sleep(0.002 * (turns % 6))
            follower.cancel()
            with pytest.raises(asyncio.CancelledError):
                await follower
        # Nothing is left to the garbage collector: these are the sessions that the server still has.
        with psycopg.connect(postgres_url, autocommit=True) as other:
            sessions = await _settled(other)
    assert sessions == 1, "the leader's own"


async def _lead(url: str) -> None:
    async with hold_leadership(url, SystemClock(), every_s=0.001):
        raise AssertionError("there are two leaders")


async def _settled(connection: psycopg.Connection) -> int:
    """Sessions that asked for the lock and live on; a server notices that a client left a moment later."""
    count = 0
    for _ in range(50):
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        ).fetchone()
        count = int(row[0]) if row is not None else 0
        if count == 1:
            break
        await asyncio.sleep(0.02)
    return count
