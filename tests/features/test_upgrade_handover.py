"""The control plane is handed to another version, and given back where that does not come up."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import psycopg
import pytest

from gantry.app.service import Service
from gantry.app.upgrading.handover import Handover, Unsupervised
from gantry.app.upgrading.place import Place
from gantry.config.settings import Settings
from gantry.engines.postgres import dump
from gantry.engines.postgres.admin import Address
from gantry.kernel.errors import PermanentError, TransientError


@dataclass
class FakeService:
    """A control plane that answers with the version in its program's folder.

    Attributes:
        refuses: versions that do not start, and why.
        migrates: what a version does to the database when it starts.
    """

    settings: Settings
    database: Address
    refuses: dict[str, str] = field(default_factory=dict)
    migrates: dict[str, str] = field(default_factory=dict)
    answering: str = ""
    done: list[str] = field(default_factory=list)

    def stop(self) -> None:
        self.done.append(f"stop {self.answering or '-'}")
        self.answering = ""

    def start(self, program: Path) -> None:
        version = (program / "version").read_text()
        self.done.append(f"start {version}")
        if statement := self.migrates.get(version):
            with connected(self.database) as session:
                session.execute(statement)
        if why := self.refuses.get(version):
            raise PermanentError("service.not-started", why)
        self.answering = version

    def failure(self) -> str:
        return ""


@contextmanager
def connected(address: Address) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(address.url(), autocommit=True) as session:
        yield session


@pytest.fixture
def database(postgres_socket: str) -> Iterator[Address]:
    """The control plane's database, with one row."""
    address = Address(postgres_socket, 5432, "postgres", "", database="control")
    elsewhere = replace(address, database="template1")
    with connected(elsewhere) as session:
        session.execute("CREATE DATABASE control")
    with connected(address) as session:
        session.execute("CREATE TABLE facts AS SELECT 'kept' AS fact")
    yield address
    with connected(elsewhere) as session:
        for name in ("control", "before_upgrade"):
            session.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def service(tmp_path: Path, database: Address) -> Iterator[FakeService]:
    """Runs 0.1.0, and answers on the API's socket."""
    settings = Settings(home=tmp_path / "home")
    settings.paths.run.mkdir(parents=True)
    fake = FakeService(settings, database, answering="0.1.0")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"version": fake.answering}).encode()
            self.send_response(200 if fake.answering else 503)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

        def address_string(self) -> str:
            return "socket"

    server = ThreadingUnixStreamServer(str(settings.paths.api_socket), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "gantry")
    place.folder.mkdir()
    (place.folder / "version").write_text("0.1.0")
    place.begin()
    (place.next / "version").write_text("0.2.0")
    return place


def handover(place: Place, service: Service | None, settings: Settings, database: Address | None) -> Handover:  # fmt: skip
    return Handover(place, settings, service, database, "0.2.0")


def facts(database: Address) -> list[tuple[object, ...]]:
    with connected(database) as session:
        return session.execute("SELECT * FROM facts").fetchall()


def databases(address: Address) -> set[str]:
    return set(dump_list(address))


def dump_list(address: Address) -> list[str]:
    with connected(address) as session:
        rows = session.execute("SELECT datname FROM pg_database WHERE NOT datistemplate")
        return [str(row[0]) for row in rows.fetchall()]


def test_the_other_version_takes_over(
    place: Place, service: FakeService, database: Address
) -> None:
    said: list[str] = []
    with connected(database):  # somebody who holds a session does not stand in the way
        handover(place, service, service.settings, database).run(said.append)
    assert service.done == ["stop 0.1.0", "start 0.2.0"]
    assert (place.folder / "version").read_text() == "0.2.0"
    assert (place.previous / "version").read_text() == "0.1.0"
    assert said == [
        "ending the control plane; sites go on",
        "copying the control plane's database",
        "exchanging the programs",
        "starting 0.2.0",
    ]
    assert "before_upgrade" not in databases(database)


def test_one_that_does_not_come_up_gives_everything_back(
    place: Place, service: FakeService, database: Address
) -> None:
    service.refuses["0.2.0"] = "migration 0002 is not for you"
    service.migrates["0.2.0"] = "ALTER TABLE facts ADD COLUMN more text; DELETE FROM facts"
    with pytest.raises(PermanentError) as caught:
        handover(place, service, service.settings, database).run(lambda _: None)
    assert caught.value.code == "upgrade.went-back"
    assert "migration 0002 is not for you" in caught.value.message
    assert service.done == ["stop 0.1.0", "start 0.2.0", "stop -", "start 0.1.0"]
    assert (place.folder / "version").read_text() == "0.1.0"
    assert not place.previous.exists()
    assert facts(database) == [("kept",)]
    assert "before_upgrade" not in databases(database)


def test_somebody_who_interrupts_gets_the_version_before(
    place: Place, service: FakeService, database: Address
) -> None:
    def progress(text: str) -> None:
        if text.startswith("starting"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        handover(place, service, service.settings, database).run(progress)
    assert service.answering == "0.1.0"
    assert (place.folder / "version").read_text() == "0.1.0"


def test_a_database_that_cannot_be_copied_changes_nothing(
    place: Place, service: FakeService, database: Address
) -> None:
    nowhere = replace(database, host="/nowhere")
    with pytest.raises(TransientError) as caught:
        handover(place, service, service.settings, nowhere).run(lambda _: None)
    assert caught.value.code == "database.unreachable"
    assert service.done == ["stop 0.1.0", "start 0.1.0"]
    assert (place.folder / "version").read_text() == "0.1.0"
    assert (place.next / "version").read_text() == "0.2.0"


def test_where_nothing_runs_only_the_programs_change(place: Place, tmp_path: Path) -> None:
    handover(place, None, Settings(home=tmp_path / "home"), None).run(lambda _: None)
    assert (place.folder / "version").read_text() == "0.2.0"


def test_the_words_of_a_version_that_refuses_to_start_are_told(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "gantry"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$1: it wants\n another kernel" >&2\nexit 3\n')
    program.chmod(0o755)
    with pytest.raises(PermanentError) as caught:
        Unsupervised(lambda: None).start(tmp_path)
    assert "up: it wants another kernel" in caught.value.message


def test_a_copy_is_made_anew_and_bringing_back_none_is_harmless(database: Address) -> None:
    dump.bring_back(database, "before_upgrade")
    dump.set_aside(database, "before_upgrade")
    with connected(database) as session:
        session.execute("INSERT INTO facts VALUES ('later')")
    dump.set_aside(database, "before_upgrade")
    with connected(database) as session:
        session.execute("DROP TABLE facts")
    dump.bring_back(database, "before_upgrade")
    assert facts(database) == [("kept",), ("later",)]
    dump.forget_aside(database, "before_upgrade")
