"""Connections to the embedded Postgres with TLS and without, from the drivers that products use."""

import asyncio
import json
import os
import ssl
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography import x509

from gantry.app.engines import npm_argv, npm_environment
from gantry.config.paths import Paths
from gantry.engines.postgres.protocol import DatabaseGrant
from gantry.engines.postgres.server import DATA, PostgresServer
from gantry.engines.postgres.tls import TlsFront
from gantry.engines.runtime.process import ProcessRuntime
from gantry.kernel.clock import ManualClock, SystemClock
from gantry.kernel.ids import SystemIds
from tests.fakes.machine import Machine
from tests.fakes.runtime import FakeRuntime

pytestmark = pytest.mark.real

SHOP = DatabaseGrant("shop_production", "shop_production", "pass'word \"1%")
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
_GSS_REQUEST = bytes.fromhex("0000000804d21630")
_DRIVERS = {"pg": "^8.16.0", "postgres": "^3.4.0"}
# What products write: Heroku's and Neon's examples, the Next.js course, and a plain URL.
_PROGRAM = """
import pg from "pg";
import postgres from "postgres";
const url = process.env.DATABASE_URL, question = "SELECT current_user AS name, repeat('x', 3000000) AS long";
async function withPg(config) {
  const client = new pg.Client(config);
  await client.connect();
  const row = (await client.query(question)).rows[0];
  await client.end();
  return [row.name, row.long.length, client.connection.stream.encrypted === true];
}
async function withPostgres(options) {
  const sql = postgres(url, { max: 1, ...options });
  const [row] = await sql.unsafe(question);
  await sql.end();
  return [row.name, row.long.length];
}
console.log(JSON.stringify({
  pg: await withPg({ connectionString: url }),
  pgFromVariables: await withPg({}),
  pgEncrypted: await withPg({ connectionString: url, ssl: { rejectUnauthorized: false } }),
  pgNoVerify: await withPg({ connectionString: url + "?sslmode=no-verify" }),
  postgres: await withPostgres({}),
  postgresRequire: await withPostgres({ ssl: "require" }),
  postgresPrefer: await withPostgres({ ssl: "prefer" }),
  postgresUnverified: await withPostgres({ ssl: { rejectUnauthorized: false } }),
}));
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    folder.chmod(0o700)
    return folder


@pytest.fixture
async def runtime(home: Path) -> AsyncIterator[ProcessRuntime]:
    runtime = ProcessRuntime(Paths(home), SystemClock())
    yield runtime
    for process_id in await runtime.statuses():
        await runtime.remove(process_id)
    await runtime.aclose()


@pytest.fixture
async def server(home: Path, runtime: ProcessRuntime) -> PostgresServer:
    server = PostgresServer(
        DATA, paths=Paths(home), runtime=runtime, clock=SystemClock(), ids=SystemIds()
    )
    await server.start()
    return server


@pytest.mark.parametrize(
    ("mode", "encrypted"),
    [("disable", False), ("allow", False), ("prefer", True), ("require", True)],
)
async def test_libpq_gets_what_it_asks_for(
    server: PostgresServer, mode: str, encrypted: bool
) -> None:
    url = await server.ensure(SHOP)
    with psycopg.connect(f"{url}?sslmode={mode}") as session:
        assert session.pgconn.ssl_in_use == encrypted
        assert session.execute("SELECT repeat('x', 5000000)").fetchone() == ("x" * 5_000_000,)


async def test_a_password_is_still_asked_for_and_a_query_can_be_cancelled(
    server: PostgresServer,
) -> None:
    url = await server.ensure(SHOP)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(await server.ensure(SHOP) + "?sslmode=require", password="wrong")
    async with await psycopg.AsyncConnection.connect(f"{url}?sslmode=require") as session:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(_fails(session))
            await asyncio.to_thread(_until_it_sleeps, url)
            await session.cancel_safe()
        assert running.result() == "57014"


async def _fails(session: psycopg.AsyncConnection) -> str | None:
    with pytest.raises(psycopg.errors.QueryCanceled) as caught:
        await session.execute("SELECT pg_sleep(60)")
    return caught.value.sqlstate


def _until_it_sleeps(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        while session.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        ).fetchone() != (1,):
            pass


async def test_what_is_said_before_tls_begins_does_not_count(server: PostgresServer) -> None:
    reader, writer = await _connection(server)
    writer.write(_SSL_REQUEST + b"said too early")
    with pytest.raises(ConnectionError):
        assert await reader.read(1) == b""
        raise ConnectionResetError  # an end without an answer is as good
    writer.close()


async def test_an_offer_of_kerberos_is_declined_and_tls_follows(server: PostgresServer) -> None:
    reader, writer = await _connection(server)
    writer.write(_GSS_REQUEST)
    assert await reader.read(1) == b"N"
    writer.write(_SSL_REQUEST[:3])  # in pieces, as networks cut it
    writer.write(_SSL_REQUEST[3:])
    assert await reader.read(1) == b"S"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    await writer.start_tls(context, server_hostname="localhost")
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    writer.close()


async def _connection(
    server: PostgresServer,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = psycopg.conninfo.conninfo_to_dict(await server.ensure(SHOP))["port"]
    return await asyncio.open_connection("127.0.0.1", int(str(port)))


async def test_it_comes_back_and_a_server_that_is_gone_is_said(
    server: PostgresServer, runtime: ProcessRuntime
) -> None:
    url = await server.ensure(SHOP)
    await runtime.signal("postgres-data-tls", kill=True)
    while (await runtime.statuses())["postgres-data-tls"].state.value == "running":
        await runtime.wait_for_exit(1.0)
    with pytest.raises(psycopg.OperationalError, match="Connection refused"):
        psycopg.connect(url)
    await server.revive()
    psycopg.connect(url).close()
    await runtime.signal("postgres-data")
    while (await runtime.statuses())["postgres-data"].state.value == "running":
        await runtime.wait_for_exit(1.0)
    with pytest.raises(psycopg.OperationalError, match="the database server does not run"):
        psycopg.connect(url)


async def test_the_drivers_of_node(server: PostgresServer, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text(json.dumps({"type": "module", "dependencies": _DRIVERS}))
    (tmp_path / "drivers.js").write_text(_PROGRAM)

    async def run(argv: list[str], env: dict[str, str]) -> str:
        done = await asyncio.to_thread(
            subprocess.run, argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        )
        return done.stdout

    npm = [*npm_argv(), "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    await run(npm, npm_environment())
    url = await server.ensure(SHOP)
    found = psycopg.conninfo.conninfo_to_dict(url)
    variables = {
        "DATABASE_URL": url,
        "PGHOST": str(found["host"]),
        "PGPORT": str(found["port"]),
        "PGUSER": str(found["user"]),
        "PGPASSWORD": str(found["password"]),
        "PGDATABASE": str(found["dbname"]),
    }
    answer = await run([npm_argv()[0], "drivers.js"], {**os.environ, **variables})
    row = [SHOP.role, 3_000_000]
    assert json.loads(answer) == {
        "pg": [*row, False],
        "pgFromVariables": [*row, False],
        "pgEncrypted": [*row, True],
        "pgNoVerify": [*row, True],
        "postgres": row,
        "postgresRequire": row,
        "postgresPrefer": row,
        "postgresUnverified": row,
    }


async def test_the_certificate_is_replaced_before_it_ends(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    folder = tmp_path / "tls"
    folder.mkdir()

    def front() -> TlsFront:
        runtime = FakeRuntime(Machine(clock))
        return TlsFront(
            "postgres-data-tls",
            folder=folder,
            socket=tmp_path / "s",
            port=1,
            runtime=runtime,
            clock=clock,
        )

    first = front()
    await first.renew()
    made = (folder / "tls.pem").read_bytes()
    assert (folder / "tls.pem").stat().st_mode & 0o777 == 0o600
    clock.advance(timedelta(days=59).total_seconds())
    await first.renew()
    await front().renew()
    assert (folder / "tls.pem").read_bytes() == made, "also for a control plane that begins later"
    clock.advance(timedelta(days=2).total_seconds())
    await front().renew()
    renewed = x509.load_pem_x509_certificate((folder / "tls.pem").read_bytes())
    assert renewed.not_valid_after_utc == clock.now() + timedelta(days=90)
    (folder / "tls.pem").write_text("half")
    await front().renew()
    x509.load_pem_x509_certificate((folder / "tls.pem").read_bytes())
