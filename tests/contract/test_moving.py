"""A platform's data moves to another home by an encrypted file: real clusters on both sides."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from pyrage import x25519

from gantry.app.engines import LocalEngines, make_engines
from gantry.app.lock import HomeLock
from gantry.app.moving.move import bring_in, export
from gantry.app.moving.sealed import Key, Lock
from gantry.config.settings import Settings
from gantry.engines.database.migrate import migrate
from gantry.engines.postgres.admin import Address
from gantry.engines.postgres.protocol import DatabaseGrant
from gantry.kernel.errors import ConflictError, TransientError, UserError

pytestmark = pytest.mark.real

GRANT = DatabaseGrant("shop_production", "shop_production", "a-password")
OWN = x25519.Identity.generate()
LOCK, KEY = Lock(recipients=(str(OWN.to_public()),)), Key(identity=str(OWN))


def quiet(_: str) -> None:
    return None


async def stop(engines: LocalEngines) -> None:
    await engines.data.stop()
    await engines.system.stop()
    await engines.runtime.aclose()


@pytest.fixture
async def old(tmp_path: Path) -> AsyncIterator[Settings]:
    """A home with a control plane's database, a product's database with a row, an artifact and keys; it is in use."""
    settings = Settings(tmp_path / "old")
    for folder in (settings.paths.run, settings.paths.keys, settings.paths.artifacts / "abc"):
        folder.mkdir(parents=True)
    (settings.paths.artifacts / "abc" / "server.mjs").write_text("export default 1;")
    (settings.paths.keys / "operator.token").write_text("of the old machine")
    engines = make_engines(settings)
    lock = HomeLock(settings.paths.lock).acquire()
    try:
        await migrate(await engines.start_system_database())
        await engines.data.start()
        url = await engines.data.ensure(GRANT)
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute("CREATE TABLE things (name text PRIMARY KEY)")
            await connection.execute("INSERT INTO things VALUES ('a row')")
        yield settings
    finally:
        lock.release()
        await stop(engines)


async def test_everything_that_cannot_be_made_again_arrives(old: Settings, tmp_path: Path) -> None:
    file, new = tmp_path / "platform.gantry", Settings(tmp_path / "new")
    said: list[str] = []
    await asyncio.to_thread(export, old, file, LOCK, said.append)
    assert f"copying the database {GRANT.database}" in said
    assert not list(old.home.glob(".moving-*")), "what was copied in between is gone"
    domain = await asyncio.to_thread(bring_in, new, file, KEY, quiet)
    assert domain == "localhost"
    assert (new.paths.artifacts / "abc" / "server.mjs").read_text() == "export default 1;"
    assert (new.paths.keys / "age.key").read_text() == (old.paths.keys / "age.key").read_text()
    assert not (new.paths.keys / "operator.token").exists()
    engines = make_engines(new)
    try:
        url = await engines.start_system_database()
        async with await psycopg.AsyncConnection.connect(url) as connection:
            found = await connection.execute("SELECT count(*) FROM projects")
            assert await found.fetchone() == (0,)
        await engines.data.start()
        # By the product's own role and password, before anything was granted again.
        address = engines.data.admin_address()
        own = Address("127.0.0.1", address.port, GRANT.role, GRANT.password, GRANT.database)
        async with await psycopg.AsyncConnection.connect(own.url()) as connection:
            found = await connection.execute("SELECT name FROM things")
            assert await found.fetchall() == [("a row",)]
            await connection.execute("CREATE TABLE more ()")
    finally:
        await stop(engines)


async def test_a_home_that_has_a_platform_is_left_alone(old: Settings, tmp_path: Path) -> None:
    file = tmp_path / "platform.gantry"
    file.write_text("x")
    taken = Settings(tmp_path / "taken")
    (taken.home / "keys").mkdir(parents=True)
    with pytest.raises(ConflictError) as caught:
        bring_in(taken, file, KEY, quiet)
    assert caught.value.code == "import.not-empty"
    with pytest.raises(ConflictError) as caught:
        bring_in(old, file, KEY, quiet)
    assert caught.value.code == "control.running"


def test_what_fails_leaves_the_home_empty_for_the_next_try(tmp_path: Path) -> None:
    file, new = tmp_path / "platform.gantry", Settings(tmp_path / "new")
    file.write_text("not an export")
    with pytest.raises(UserError) as caught:
        bring_in(new, file, KEY, quiet)
    assert caught.value.code == "import.not-an-export"
    assert [path.name for path in new.home.iterdir()] == ["control.lock"]


def test_databases_are_copied_while_the_platform_runs(tmp_path: Path) -> None:
    with pytest.raises(TransientError) as caught:
        export(Settings(tmp_path), tmp_path / "x", LOCK, quiet)
    assert caught.value.code == "control.down"


def test_a_postgres_of_ones_own_stays_where_it_is(tmp_path: Path) -> None:
    settings = Settings(tmp_path, database_url="postgresql://db")
    with pytest.raises(UserError, match="Postgres of your own"):
        export(settings, tmp_path / "x", LOCK, quiet)
    with pytest.raises(UserError, match="Postgres of your own"):
        bring_in(settings, tmp_path / "x", KEY, quiet)
