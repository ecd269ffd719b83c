"""Logging in to another machine's platform: what is remembered, which one is used, and what is said when it fails."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gantry.cli.main import run
from gantry.cli.session import Session
from gantry.cli.transport import Api, connect, path
from gantry.config.remotes import Remote, Remotes, read_remotes, remotes_file, write_remotes
from gantry.config.settings import Settings
from gantry.features.platform.bodies import HealthBody
from gantry.kernel.errors import GantryError, TransientError, UserError
from gantry.kernel.redact import without_credentials
from tests.fakes.platform import FakePlatform
from tests.support.cli import Bench, HalfRealPlatform

URL, OTHER = "https://gantry.example.com", "https://gantry.example.org:8443"


def remembered(bench: Bench) -> Remotes:
    return read_remotes(bench.cwd / "remotes.toml")


def test_a_token_is_asked_for_and_kept_where_its_owner_alone_may_read(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    done = bench.run("login", "gantry.example.com", stdin="gt-secret\n")
    assert done.code == 0
    assert "gt-secret" not in done.out + done.err
    assert "my-laptop, a developer" in done.err
    assert remembered(bench).current == URL
    assert remembered(bench).remotes[URL].token == "gt-secret"
    assert (tmp_path / "remotes.toml").stat().st_mode & 0o077 == 0


def test_a_token_from_standard_input(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.run("login", URL, "--token-stdin", stdin=" gt-secret \n").code == 0
    assert remembered(bench).remotes[URL].token == "gt-secret"


def test_a_login_link_is_changed_for_a_token(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.run("login", f"{URL}/login?token=once").code == 0
    (sent,) = [body for method, at, body in bench.api.asked if (method, at) == ("POST", "/login")]
    assert sent["code"] == "once"
    assert remembered(bench).remotes[URL].token == "gt-from-link"


@pytest.mark.parametrize(
    ("argv", "stdin", "code"),
    [
        (("ftp://gantry.example.com",), "", "login.bad-url"),
        (("gantry.example.com:port",), "", "login.bad-url"),
        ((URL, "--token-stdin"), "", "login.bad-token"),
        ((URL, "--token-stdin"), "two words", "login.bad-token"),
        ((URL, "--token-stdin"), "x" * 300, "login.bad-token"),
    ],
)
def test_what_cannot_be_an_address_or_a_token(
    tmp_path: Path, argv: tuple[str, ...], stdin: str, code: str
) -> None:
    bench = Bench(tmp_path)
    done = bench.run("login", *argv, stdin=stdin)
    assert (done.code, f"error[{code}]" in done.err) == (2, True)
    assert remembered(bench) == Remotes()


@pytest.mark.parametrize(
    ("argv", "environment"),
    [
        (("login", "ftp://gantry.example.com/login?token=t0p-s3cret"), {}),
        (("login", "https://ada:t0p-s3cret@gantry.example.com"), {}),
        (("logout", "https://ada:t0p-s3cret@gantry.example.com/?token=t0p-s3cret"), {}),
        (("--url", "https://:t0p-s3cret@gantry.example.com#t0p-s3cret", "status"), {}),
        (("status",), {"GANTRY_URL": "ftp://ada:t0p-s3cret@gantry.example.com"}),
        (("status",), {"GANTRY_URL": f"https://ada:t0p-s3cret@{'x' * 300}"}),
        (("status",), {"GANTRY_DATABASE_URL": "mysql://ada:t0p-s3cret@db.example.com/shop"}),
        (("status",), {"GANTRY_ACME_DIRECTORY": "http://ada:t0p-s3cret@acme.example.com"}),
    ],
)
def test_no_error_repeats_what_an_address_carries(
    tmp_path: Path,
    argv: tuple[str, ...],
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GANTRY_HOME", str(tmp_path / "home"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run(HalfRealPlatform(), argv) == 2
    said = capsys.readouterr()
    assert "error" in said.err
    assert "t0p-s3cret" not in said.out + said.err


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://gantry.example.com:8443/a", "https://gantry.example.com:8443/a"),
        ("https://ada:pass@gantry.example.com/a", "https://[redacted]@gantry.example.com/a"),
        ("https://ada:p@ss@gantry.example.com", "https://[redacted]@gantry.example.com"),
        (
            "http://gantry.test/login?token=abc#def",
            "http://gantry.test/login?[redacted]#[redacted]",
        ),
        ("gantry.test/login?token=a?b", "gantry.test/login?[redacted]"),
    ],
)
def test_an_address_is_repeated_without_credentials(address: str, shown: str) -> None:
    assert without_credentials(address) == shown


def test_a_login_that_is_refused_is_not_remembered(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.api.refusals["GET /me"] = UserError("access.unknown", "no")
    assert bench.run("login", URL, "--token-stdin", stdin="gt-old").code != 0
    assert remembered(bench) == Remotes()


def test_listing_choosing_and_forgetting(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for url in (URL, OTHER):
        bench.run("login", url, "--token-stdin", stdin="gt-secret")
    listed = bench.run("remotes")
    assert "gt-secret" not in listed.out
    assert [line.split()[:2] for line in listed.out.splitlines() if "*" in line] == [["*", OTHER]]
    assert bench.run("remotes", "use", URL).code == 0
    assert remembered(bench).current == URL
    assert bench.run("remotes", "use", "https://gantry.example.net").code == 2
    assert bench.run("remotes", "use", "local").code == 0
    assert remembered(bench).current == ""
    assert bench.run("logout", OTHER).code == 0
    assert list(remembered(bench).remotes) == [URL]
    assert "nothing to log out" in bench.run("logout").err


@pytest.fixture
def session(tmp_path: Path) -> Session:
    file = tmp_path / "remotes.toml"
    folder = tmp_path / "shop"
    (folder / "src").mkdir(parents=True)
    linked = Remotes().added(Remote(OTHER, "gt-other"), folder=folder)
    write_remotes(file, linked.added(Remote(URL, "gt-login", "ada", "/ca.pem")))
    return Session(FakePlatform(home=tmp_path), cwd=tmp_path, remotes_file=file)


def with_settings(session: Session, **changes: object) -> Session:
    settings = replace(Settings(session.cwd), **changes)  # type: ignore[arg-type]
    return Session(
        FakePlatform(settings_value=settings), cwd=session.cwd, remotes_file=session.remotes_file
    )


def test_flags_go_before_the_environment_the_folder_and_the_login(session: Session) -> None:
    assert session.target.control_url == URL
    assert (session.target.control_token, session.target.control_ca) == ("gt-login", "/ca.pem")
    session.cwd = session.cwd / "shop" / "src"
    assert (session.target.control_url, session.target.control_token) == (OTHER, "gt-other")
    session.cwd = session.cwd.parents[1]
    environment = with_settings(session, control_url="https://env.example", control_token="gt-env")
    assert environment.target.control_url == "https://env.example"
    environment.url = URL
    assert (environment.target.control_url, environment.target.control_token) == (URL, "gt-env")
    environment.url = "local"
    assert environment.target.control_url == ""


def test_a_home_that_is_named_means_the_platform_in_it(session: Session) -> None:
    """As in a drill: what a person logged in to must not get its commands."""
    here = with_settings(session, origins={"home": "GANTRY_HOME"})
    assert here.target.control_url == ""
    assert (
        with_settings(session, origins={"home": "/etc/gantry/gantry.conf:1"}).target.control_url
        == URL
    )


def test_no_platform_here_and_another_is_remembered(session: Session) -> None:
    session.url = "local"
    platform = session.platform
    assert isinstance(platform, FakePlatform)
    platform.failures["api_token"] = TransientError(
        "control.down", "no platform was started", hint="gantry up"
    )
    with pytest.raises(TransientError) as caught:
        _ = session.api
    assert "another machine's is remembered" in caught.value.message
    assert caught.value.hint.startswith("gantry remotes use https://")


@pytest.mark.parametrize("content", ["x = ", "remotes = 3", '[remotes."https://x"]\nurl = 1'])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "remotes.toml"
    file.write_text(content)
    with pytest.raises(UserError) as caught:
        read_remotes(file)
    assert (caught.value.code, caught.value.where) == ("remotes.unreadable", str(file))


def test_where_they_are_remembered() -> None:
    assert remotes_file({"HOME": "/home/ada"}) == Path("/home/ada/.config/gantry/remotes.toml")
    assert remotes_file({"XDG_CONFIG_HOME": "/x"}) == Path("/x/gantry/remotes.toml")


def failure(settings: Settings) -> GantryError:
    api = connect(settings, lambda: "")
    try:
        with pytest.raises(GantryError) as caught:
            api.get(HealthBody, path("health"))
    finally:
        api.close()
    return caught.value


def remote_settings(url: str, ca_file: str = "") -> Settings:
    return Settings(Path("/x"), control_url=url, control_token="t", control_ca=ca_file)


@pytest.fixture
def listener() -> Iterator[Callable[[bytes], int]]:
    """Starts servers that answer every connection with the same bytes."""
    servers: list[socket.socket] = []

    def start(answer: bytes) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)
        threading.Thread(target=serve, args=(server, answer), daemon=True).start()
        return int(server.getsockname()[1])

    def serve(server: socket.socket, answer: bytes) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def test_nothing_listens_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = failure(remote_settings(f"https://127.0.0.1:{port}"))
    assert error.code == "control.refused"
    assert "gantry up" not in error.hint


def test_the_port_speaks_no_tls(listener: Callable[[bytes], int]) -> None:
    port = listener(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    assert failure(remote_settings(f"https://127.0.0.1:{port}")).code == "control.no-tls"


def test_something_else_answers_there(listener: Callable[[bytes], int]) -> None:
    port = listener(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>"
    )
    assert failure(remote_settings(f"http://127.0.0.1:{port}")).code == "control.not-gantry"


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (socket.gaierror(-2, "Name or service not known"), "control.unknown-host"),
        (ConnectionRefusedError(111, "refused"), "control.refused"),
        (ssl.SSLCertVerificationError(1, "self-signed certificate"), "control.untrusted"),
        (ssl.SSLError(1, "wrong version number"), "control.no-tls"),
    ],
)
def test_each_reason_has_a_code_of_its_own(cause: Exception, code: str) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("failed") from cause

    http = httpx.Client(transport=httpx.MockTransport(answer), base_url=URL)
    with pytest.raises(GantryError) as caught:
        Api(http, "t", URL).get(HealthBody, path("health"))
    assert caught.value.code == code
    assert caught.value.hint
    assert "gantry up\n" not in caught.value.hint


def test_a_machine_that_does_not_answer_in_time() -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("slow")

    http = httpx.Client(transport=httpx.MockTransport(answer), base_url=URL)
    with pytest.raises(TransientError) as caught:
        Api(http, "t", URL).get(HealthBody, path("health"))
    assert caught.value.code == "control.unreachable"


def test_a_file_that_holds_no_authority(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    for content in ("", "no certificate"):
        file.write_text(content)
        with pytest.raises(UserError) as caught:
            connect(remote_settings(URL, str(file)), lambda: "")
        assert caught.value.code == "control.bad-ca-file"


def test_a_platform_that_was_stopped_on_purpose_says_so(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    assert "not answering" in local_failure(settings).message
    settings.paths.ended.write_text("2026-01-31 09:30 UTC")
    message = "Gantry was ended with gantry down at 2026-01-31 09:30 UTC"
    assert local_failure(settings).message == message


def local_failure(settings: Settings) -> GantryError:
    api = connect(settings, lambda: "token")
    with pytest.raises(TransientError) as caught:
        api.get(HealthBody, path("health"))
    api.close()
    return caught.value
