"""What every database server promises."""

import asyncio
import contextlib
import hmac
import os
import shutil
import signal
import socket
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from gantry.config.paths import Paths
from gantry.engines.postgres import wheel
from gantry.engines.postgres.external import ExternalServer
from gantry.engines.postgres.protocol import DatabaseGrant, DatabaseServer, Loan
from gantry.engines.postgres.server import DATA, SYSTEM, PostgresServer
from gantry.engines.runtime import procfs, sandbox
from gantry.engines.runtime.folder import ProcessFolder
from gantry.engines.runtime.process import ProcessRuntime
from gantry.kernel.clock import ManualClock, SystemClock
from gantry.kernel.errors import TransientError, UserError
from gantry.kernel.ids import SystemIds
from tests.fakes.machine import Machine
from tests.fakes.postgres import FakeDatabaseServer
from tests.support.runtime import gone, until

SHOP = DatabaseGrant("shop_production", "shop_production", "pass'word \"1%")
BLOG = DatabaseGrant("blog_production", "blog_production", "another")
real = pytest.mark.real
_EARLY_S = 15.0  # the deadline of a start is 60 s


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[ProcessRuntime]:
    tmp_path.chmod(0o700)
    runtime = ProcessRuntime(Paths(tmp_path), SystemClock())
    yield runtime
    for process_id in await runtime.statuses():
        await runtime.remove(process_id)
    await runtime.aclose()


def _server(home: Path, runtime: ProcessRuntime) -> PostgresServer:
    return PostgresServer(
        DATA, paths=Paths(home), runtime=runtime, clock=SystemClock(), ids=SystemIds()
    )


async def _create(home: Path) -> None:
    runtime = ProcessRuntime(Paths(home), SystemClock())
    server = _server(home, runtime)
    await server.start()
    await server.stop()
    await runtime.aclose()


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A home with a cluster that was made, started and ended: making one takes longer than everything else here."""
    home = tmp_path_factory.mktemp("created")
    home.chmod(0o700)
    asyncio.run(_create(home))
    return Paths(home)


@pytest.fixture
def postgres(runtime: ProcessRuntime, tmp_path: Path, created: Paths) -> PostgresServer:
    """A server with a copy of that cluster, which was never started here."""
    own, cluster = Paths(tmp_path), DATA.name
    shutil.copytree(created.postgres / cluster, own.postgres / cluster)
    password = f"postgres-{cluster}.password"
    own.keys.mkdir(mode=0o700)
    shutil.copy(created.keys / password, own.keys / password)
    return _server(tmp_path, runtime)


@pytest.fixture(
    params=["fake", pytest.param("embedded", marks=real), pytest.param("external", marks=real)]
)
async def server(request: pytest.FixtureRequest, postgres: PostgresServer) -> DatabaseServer:
    match request.param:
        case "fake":
            return FakeDatabaseServer(Machine(ManualClock()))
        case "embedded":
            return postgres
        case _:
            await postgres.start()
            return ExternalServer(postgres.admin_address().url())


async def test_a_grant_can_be_repeated_and_dropped(server: DatabaseServer) -> None:
    await server.start()
    await server.start()
    first = await server.ensure(SHOP)
    assert await server.ensure(SHOP) == first
    await server.ensure(BLOG)
    status = await server.status()
    assert status.running
    assert status.version.startswith("18")
    assert status.databases == ("blog_production", "shop_production")
    await server.drop(SHOP.database, SHOP.role)
    await server.drop(SHOP.database, SHOP.role)
    assert (await server.status()).databases == ("blog_production",)


async def test_it_is_revived_only_when_it_was_started_and_has_ended(server: DatabaseServer) -> None:
    if isinstance(server, ExternalServer):
        pytest.skip("somebody else keeps it running")
    await server.revive()
    assert not (await server.status()).running
    await server.start()
    await server.ensure(SHOP)
    await server.revive()
    await server.stop()
    assert not (await server.status()).running
    await server.revive()
    status = await server.status()
    assert status.running
    assert SHOP.database in status.databases


async def test_a_loan_ends(server: DatabaseServer) -> None:
    await server.start()
    url = await server.ensure(SHOP)
    now = datetime.now(UTC)
    if isinstance(server, FakeDatabaseServer):
        now = server.machine.clock.now()
    over, open_ = now - timedelta(seconds=5), now + timedelta(hours=1)
    lent = await server.lend(Loan("a", "pw-a", SHOP.database, SHOP.role, over))
    assert lent.rpartition("@")[2] == url.rpartition("@")[2], "the same place"
    assert "gantry_loan_a:pw-a@" in lent
    await server.lend(Loan("b", "pw-b", SHOP.database, SHOP.role, open_))
    await server.lend(Loan("c", "pw-c", SHOP.database, SHOP.role, over, read_only=True))
    assert await server.end_loans() == 2
    assert await server.end_loans() == 0
    await server.drop(SHOP.database, SHOP.role)
    with pytest.raises(UserError, match="cannot be the name"):
        await server.lend(Loan('a"b', "pw", SHOP.database, SHOP.role, open_))


async def test_the_extensions_that_a_product_may_create_are_known(server: DatabaseServer) -> None:
    found = await server.extensions()
    assert [name for name in ("plpgsql", "pg_trgm", "vector") if found.get(name)] == [
        "plpgsql",
        "pg_trgm",
        "vector",
    ]
    assert found["dblink"] is False
    assert "postgis" not in found


@real
async def test_what_is_told_of_extensions_is_so(postgres: PostgresServer) -> None:
    await postgres.start()
    url = await postgres.ensure(SHOP)
    told = await postgres.extensions()
    assert {"uuid-ossp", "citext", "hstore", "moddatetime"} <= {n for n, may in told.items() if may}
    assert told.get("pgcrypto") is None, "nothing is fetched here"
    with psycopg.connect(url, autocommit=True) as session:
        for name, may in told.items():
            create = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE").format(
                sql.Identifier(name)
            )
            if may:
                session.execute(create)
            else:
                with pytest.raises(psycopg.Error):
                    session.execute(create)


@real
async def test_a_borrower_acts_as_the_owner_and_has_nothing_of_their_own(
    postgres: PostgresServer,
) -> None:
    await postgres.start()
    url = await postgres.ensure(SHOP)
    await postgres.ensure(BLOG)
    until = datetime.now(UTC) + timedelta(hours=1)
    lent = await postgres.lend(Loan("w", "pw", SHOP.database, SHOP.role, until))
    reads = await postgres.lend(Loan("r", "pw", SHOP.database, SHOP.role, until, read_only=True))
    with psycopg.connect(lent, autocommit=True) as session:
        session.execute("CREATE TABLE goods AS SELECT 1 AS id")
        assert session.execute("SELECT current_user, session_user").fetchone() == (
            SHOP.role,
            "gantry_loan_w",
        )
        session.execute("SET ROLE NONE")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT * FROM goods")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("CREATE TABLE mine (id int)")
    with psycopg.connect(url) as session:
        owner = session.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'goods'")
        assert owner.fetchone() == (SHOP.role,)
        session.execute("GRANT SELECT ON goods TO gantry_loan_w")
    with psycopg.connect(reads, autocommit=True) as session:
        assert session.execute("SELECT id FROM goods").fetchone() == (1,)
        session.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("INSERT INTO goods VALUES (2)")
    for other in ("blog_production", "postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(lent.removesuffix(SHOP.database) + other)


@real
async def test_sessions_of_a_loan_that_is_over_are_ended(postgres: PostgresServer) -> None:
    await postgres.start()
    await postgres.ensure(SHOP)
    until = datetime.now(UTC) + timedelta(hours=1)
    lent = await postgres.lend(Loan("w", "pw", SHOP.database, SHOP.role, until))
    session = psycopg.connect(lent, autocommit=True)
    with psycopg.connect(postgres.admin_address().url(), autocommit=True) as admin:
        admin.execute("ALTER ROLE gantry_loan_w VALID UNTIL '2020-01-01'")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(lent)
    assert await postgres.end_loans() == 1
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    session.close()


async def test_names_are_checked(server: DatabaseServer) -> None:
    await server.start()
    for name in ("Shop", 'a"b', "", "drop table"):
        with pytest.raises(UserError) as caught:
            await server.ensure(DatabaseGrant(name, name, "x"))
        assert caught.value.code == "database.bad-name"


@real
async def test_what_does_not_run_says_so(postgres: PostgresServer) -> None:
    assert not (await postgres.status()).running
    await postgres.start()
    await postgres.stop()
    assert not (await postgres.status()).running
    with pytest.raises(TransientError) as caught:
        await postgres.ensure(SHOP)
    assert caught.value.code == "database.unreachable"


@real
async def test_a_configuration_that_it_refuses_is_said_at_once(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    settings = Paths(tmp_path).postgres / "data" / "data" / "postgresql.auto.conf"
    before = settings.read_text()
    settings.write_text(f"{before}\nmax_wal_size = 'very much'\n")
    async with asyncio.timeout(_EARLY_S):
        with pytest.raises(TransientError) as caught:
            await postgres.start()
    assert caught.value.code == "database.start-failed"
    assert "very much" in str(caught.value) or "max_wal_size" in str(caught.value)
    settings.write_text(before)
    await postgres.start()
    assert (await postgres.status()).running


@real
@pytest.mark.parametrize(
    ("file", "program"), [("port", "Postgres server"), ("tls-port", "what encrypts connections")]
)
async def test_a_port_that_is_taken_is_said_at_once(
    postgres: PostgresServer, tmp_path: Path, file: str, program: str
) -> None:
    await postgres.start()
    await postgres.stop()
    port = int((Paths(tmp_path).postgres / "data" / file).read_text())
    with socket.create_server(("127.0.0.1", port)):
        async with asyncio.timeout(_EARLY_S):
            with pytest.raises(TransientError) as caught:
                await postgres.start()
    assert caught.value.code == "database.start-failed"
    assert program in str(caught.value)
    assert "ddress already in use" in str(caught.value)
    await postgres.start()
    assert (await postgres.status()).running


@real
async def test_a_role_reaches_its_own_database_only(postgres: PostgresServer) -> None:
    await postgres.start()
    url = await postgres.ensure(SHOP)
    await postgres.ensure(BLOG)
    assert "@127.0.0.1:" in url
    with psycopg.connect(url) as session:
        session.execute("CREATE TABLE goods (id int)")
        session.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        owner = session.execute(
            "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'public'"
        ).fetchone()
        role = session.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolconnlimit FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        settings = session.execute(
            "SELECT current_setting('fsync'), current_setting('file_copy_method')"
        ).fetchone()
    assert owner == (SHOP.role,)
    assert role == (False, False, False, 50)
    assert settings == ("on", "clone")
    for other in ("blog_production", "postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(url.removesuffix("shop_production") + other)


@real
async def test_a_new_password_replaces_the_old_one(postgres: PostgresServer) -> None:
    await postgres.start()
    old = await postgres.ensure(SHOP)
    new = await postgres.ensure(DatabaseGrant(SHOP.database, SHOP.role, "changed", 3))
    psycopg.connect(new).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(old)


@real
async def test_it_comes_back_after_kill_9_with_what_was_committed(
    postgres: PostgresServer, runtime: ProcessRuntime
) -> None:
    await postgres.start()
    url = await postgres.ensure(SHOP)
    with psycopg.connect(url) as session:
        session.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
    status = (await runtime.statuses())["postgres-data"]
    assert status.pid is not None
    for seen in procfs.Machine().tree(status.pid):
        with contextlib.suppress(ProcessLookupError):  # they die with the first
            os.kill(seen.pid, signal.SIGKILL)
    await postgres.start()
    assert await postgres.ensure(SHOP) == url, "the port is kept"
    with psycopg.connect(url) as session:
        assert session.execute("SELECT count(*) FROM t").fetchone() == (1000,)


@real
async def test_it_comes_back_after_its_shim_was_killed(
    postgres: PostgresServer, runtime: ProcessRuntime, tmp_path: Path
) -> None:
    await postgres.start()
    url = await postgres.ensure(SHOP)
    shim = ProcessFolder(Paths(tmp_path).processes / "postgres-data").shim()
    assert shim is not None
    os.kill(shim.pid, signal.SIGKILL)
    await until(lambda: gone(shim.pid))
    await postgres.start()
    with psycopg.connect(url) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


@real
async def test_stopping_ends_open_sessions(
    postgres: PostgresServer, runtime: ProcessRuntime
) -> None:
    await postgres.start()
    with psycopg.connect(await postgres.ensure(SHOP)) as session:
        session.execute("SELECT 1")
        await postgres.stop()
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    status = (await runtime.statuses())["postgres-data"]
    assert status.exit_code == 0
    await postgres.start()
    assert (await postgres.status()).databases == (SHOP.database,)


@real
async def test_a_new_control_plane_finds_the_server(
    postgres: PostgresServer, runtime: ProcessRuntime, tmp_path: Path
) -> None:
    await postgres.start()
    before = (await runtime.statuses())["postgres-data"].pid
    later = ProcessRuntime(Paths(tmp_path), SystemClock())
    again = _server(tmp_path, later)
    await again.start()
    assert (await later.statuses())["postgres-data"].pid == before
    await later.aclose()


@real
async def test_the_system_cluster_is_on_a_socket_only(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    server = PostgresServer(
        SYSTEM, paths=Paths(tmp_path), runtime=runtime, clock=SystemClock(), ids=SystemIds()
    )
    await server.start()
    url = await server.ensure(DatabaseGrant("gantry_control", "gantry_control", "pw"))
    with psycopg.connect(url) as session:
        assert session.execute("SHOW listen_addresses").fetchone() == ("",)
    password = tmp_path / "keys" / "postgres-system.password"
    assert password.stat().st_mode & 0o777 == 0o600


@real
@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
async def test_without_sandboxes_the_home_must_be_reachable(
    runtime: ProcessRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "probe", lambda: sandbox.Support(reason="not permitted"))
    # Not in pytest's folder, which pytest closes again and again.
    with tempfile.TemporaryDirectory(prefix="gantry-test-") as home:
        server = PostgresServer(
            DATA, paths=Paths(Path(home)), runtime=runtime, clock=SystemClock(), ids=SystemIds()
        )
        with pytest.raises(UserError) as caught:
            await server.start()
        assert caught.value.code == "database.unreachable-folder"
        assert "GANTRY_HOME=/var/lib/gantry" in caught.value.hint
        Path(home).chmod(0o711)
        programs = (*wheel.programs().parents, *Path(sys.executable).resolve().parents)
        if all(place.stat().st_mode & 0o001 for place in programs):
            await server.start()
            assert (await server.status()).running
            await server.stop()
            return
        # A checkout in /root: the programs are closed to others too.
        with pytest.raises(UserError) as caught:
            await server.start()
        assert caught.value.code == "database.unreachable-folder"
        assert "or its programs" in caught.value.message


async def test_a_bad_url_of_an_external_server_is_refused() -> None:
    for url in ("postgresql://", "mysql://x", "host="):
        with pytest.raises(UserError) as caught:
            ExternalServer(url)
        assert caught.value.code == "database.bad-url"


@pytest.fixture
def hosted(runtime: ProcessRuntime, tmp_path: Path, postgres: PostgresServer) -> PostgresServer:
    """The same server, as the platform runs it: it may ask for packages."""
    return PostgresServer(
        DATA,
        paths=Paths(tmp_path),
        runtime=runtime,
        clock=SystemClock(),
        ids=SystemIds(),
        environ=os.environ,
    )


@real
async def test_an_owner_creates_what_hosted_servers_offer(hosted: PostgresServer) -> None:
    await hosted.start()
    with psycopg.connect(await hosted.ensure(SHOP), autocommit=True) as session:
        offered = (
            "uuid-ossp pgcrypto vector pg_stat_statements citext pg_trgm hstore ltree unaccent btree_gin btree_gist "
            "fuzzystrmatch intarray tablefunc cube earthdistance moddatetime autoinc insert_username bloom intagg isn lo "
            "seg tcn dict_int dict_xsyn tsm_system_rows tsm_system_time"
        )
        for name in offered.split():
            session.execute(
                sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(name))
            )
        answers = session.execute(
            """SELECT crypt('secret', gen_salt('bf')) LIKE '$2a$%%', encode(digest('a', 'sha1'), 'hex'),
                      encode(hmac('a', 'k', 'sha256'), 'hex'), octet_length(gen_random_bytes(16)),
                      pgp_sym_decrypt(pgp_sym_encrypt('text', 'key'), 'key'), '[1,2]'::vector <-> '[4,6]'"""
        ).fetchone()
        assert answers == (
            True,
            "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8",
            hmac.digest(b"k", b"a", "sha256").hex(),
            16,
            "text",
            5.0,
        )
        counted = session.execute(
            "SELECT sum(calls) > 0 FROM pg_stat_statements WHERE query LIKE 'CREATE EXTENSION%%'"
        ).fetchone()
        assert counted == (True,)


@real
async def test_what_reaches_beyond_a_database_stays_the_administrators(
    hosted: PostgresServer,
) -> None:
    await hosted.start()
    with psycopg.connect(await hosted.ensure(SHOP), autocommit=True) as session:
        for name in (
            "file_fdw",
            "postgres_fdw",
            "dblink",
            "pageinspect",
            "pg_buffercache",
            "pg_surgery",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(name)))
        assert session.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone() == (False,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SET dynamic_library_path = '/tmp'")


@real
async def test_uuid_ossp_makes_what_the_standard_says(postgres: PostgresServer) -> None:
    await postgres.start()
    with psycopg.connect(await postgres.ensure(SHOP), autocommit=True) as session:
        session.execute('CREATE EXTENSION "uuid-ossp"')
        # Around the ends of SHA-1's blocks: 16 bytes of namespace come before the name.
        for name in ("", "a", "x" * 39, "x" * 40, "x" * 47, "x" * 48, "é" * 100):
            for namespace, function in (
                (uuid.NAMESPACE_DNS, "uuid_ns_dns"),
                (uuid.NAMESPACE_X500, "uuid_ns_x500"),
            ):
                question = sql.SQL(
                    "SELECT uuid_generate_v3({space}(), {name}), uuid_generate_v5({space}(), {name})"
                ).format(space=sql.Identifier(function), name=sql.Literal(name))
                assert session.execute(question).fetchone() == (
                    uuid.uuid3(namespace, name),
                    uuid.uuid5(namespace, name),
                )
        for function, version in (("v1", 1), ("v1mc", 1), ("v4", 4)):
            rows = session.execute(
                sql.SQL("SELECT {}() FROM generate_series(1, 3000)").format(
                    sql.Identifier(f"uuid_generate_{function}")
                )
            ).fetchall()
            made = {row[0] for row in rows}
            assert len(made) == 3000
            assert {(one.version, one.variant) for one in made} == {(version, uuid.RFC_4122)}
            if version == 1:
                assert all(one.node >> 40 & 1 for one in made), "no network card's address"
        session.execute("CREATE SCHEMA elsewhere")
        session.execute("SET search_path = elsewhere")
        assert session.execute(
            "SELECT public.uuid_generate_v5(public.uuid_ns_url(), 'a')"
        ).fetchone() == (uuid.uuid5(uuid.NAMESPACE_URL, "a"),)


@real
async def test_without_a_package_index_only_pgcrypto_is_missing(
    runtime: ProcessRuntime, tmp_path: Path, postgres: PostgresServer
) -> None:
    nowhere = {**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/"}
    server = PostgresServer(
        DATA,
        paths=Paths(tmp_path),
        runtime=runtime,
        clock=SystemClock(),
        ids=SystemIds(),
        environ=nowhere,
    )
    await server.start()
    with psycopg.connect(await server.ensure(SHOP), autocommit=True) as session:
        session.execute('CREATE EXTENSION "uuid-ossp"')
        with pytest.raises(psycopg.errors.FeatureNotSupported, match='"pgcrypto" is not available'):
            session.execute("CREATE EXTENSION pgcrypto")


@real
async def test_a_server_that_runs_already_learns_of_the_extensions(
    postgres: PostgresServer,
) -> None:
    await postgres.start()
    with psycopg.connect(postgres.admin_address().url(), autocommit=True) as session:
        session.execute("ALTER SYSTEM RESET ALL")
        session.execute("SELECT pg_reload_conf()")
    await postgres.start()
    with psycopg.connect(await postgres.ensure(SHOP), autocommit=True) as session:
        session.execute("CREATE EXTENSION vector")
