"""Whether a control plane that was started has come up: the wait ends with its answer, or with its end."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from threading import Thread

import pytest

from gantry.app.service import await_answer, version_that_answers
from gantry.config.settings import Settings
from gantry.kernel.errors import PermanentError
from gantry.kernel.trees import remove_tree


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"version": "0.2.0"}')

    def address_string(self) -> str:
        return "here"

    def log_message(self, format: str, *args: object) -> None:
        pass


@dataclass(slots=True)
class _Service:
    """Ends with a reason once it was asked often enough."""

    reasons: list[str] = field(default_factory=list)

    def stop(self) -> None:
        raise AssertionError("it is only looked at")

    def start(self, program: Path) -> None:
        raise AssertionError("it is only looked at")

    def failure(self) -> str:
        return self.reasons.pop(0) if self.reasons else ""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def answering(settings: Settings) -> Iterator[None]:
    settings.paths.api_socket.parent.mkdir(parents=True, exist_ok=True)
    server = ThreadingUnixStreamServer(str(settings.paths.api_socket), _Health)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield
    server.shutdown()
    server.server_close()
    remove_tree(settings.paths.api_socket.parent)  # it lies outside of a home with a long name


@pytest.mark.usefixtures("answering")
def test_one_that_answers_is_up(settings: Settings) -> None:
    await_answer(settings, _Service())
    assert version_that_answers(settings) == "0.2.0"


def test_one_that_ends_is_not_waited_for(settings: Settings) -> None:
    with pytest.raises(PermanentError, match="the port is taken") as caught:
        await_answer(settings, _Service(["", "the port is taken"]))
    assert caught.value.code == "service.not-started"


@pytest.mark.usefixtures("answering")
def test_another_version_that_answers_is_not_the_one_that_is_waited_for(
    settings: Settings,
) -> None:
    with pytest.raises(PermanentError, match="ended"):
        await_answer(settings, _Service(["", "it ended"]), lambda version: version == "0.3.0")
