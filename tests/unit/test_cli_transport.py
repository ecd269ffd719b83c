"""Every way a request can fail becomes one error with a code; server-sent events are read as the standard says."""

import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import given, strategies as st

from gantry.cli.transport import Api, connect, environment_path, events, path, refusal
from gantry.config.settings import Settings
from gantry.features.platform.bodies import HealthBody
from gantry.features.releases.bodies import ReleaseBody
from gantry.kernel.errors import (
    AccessError,
    Cancelled,
    ConflictError,
    GantryError,
    IntegrityError,
    NotFoundError,
    PermanentError,
    TransientError,
    UserError,
)

Answer = Callable[[httpx.Request], httpx.Response]


def api(answer: Answer) -> Api:
    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://gantry")
    return Api(http, "secret-token", "/run/api.sock")


def health(api: Api) -> HealthBody:
    return api.get(HealthBody, path("health"))


def raising(error: Exception) -> Answer:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise error

    return answer


@pytest.mark.parametrize(
    ("foreign", "kind", "code"),
    [
        (httpx.ConnectError("refused"), TransientError, "control.down"),
        (httpx.ConnectTimeout("slow"), TransientError, "control.down"),
        (httpx.ReadTimeout("slow"), TransientError, "control.slow"),
        (httpx.ReadError("reset"), TransientError, "control.lost"),
        (httpx.RemoteProtocolError("half"), TransientError, "control.lost"),
        (httpx.WriteError("pipe"), TransientError, "control.lost"),
    ],
)
def test_failures_of_the_connection(foreign: Exception, kind: type[GantryError], code: str) -> None:
    with pytest.raises(kind) as caught:
        health(api(raising(foreign)))
    assert caught.value.code == code
    assert caught.value.hint
    assert caught.value.where == "/run/api.sock"


def test_every_exception_of_httpx_for_a_request_is_mapped() -> None:
    kinds = [
        kind
        for kind in vars(httpx).values()
        if isinstance(kind, type)
        and issubclass(kind, httpx.RequestError)
        and kind not in (httpx.RequestError, httpx.TransportError)
    ]
    assert len(kinds) > 10
    for kind in kinds:
        with pytest.raises(GantryError):
            health(api(raising(kind("x"))))


@pytest.mark.parametrize(
    ("status", "kind_name", "kind"),
    [
        (400, "user", UserError),
        (401, "user", AccessError),
        (403, "user", AccessError),
        (404, "user", NotFoundError),
        (409, "user", ConflictError),
        (409, "cancelled", Cancelled),
        (429, "transient", TransientError),
        (503, "transient", TransientError),
        (500, "permanent", PermanentError),
        (500, "integrity", IntegrityError),
    ],
)
def test_refusals_keep_their_class_and_their_words(
    status: int, kind_name: str, kind: type[GantryError]
) -> None:
    body = {"kind": kind_name, "code": "a.b", "message": "m", "hint": "h", "where": "w"}
    with pytest.raises(kind) as caught:
        health(api(lambda _: httpx.Response(status, json={"error": body})))
    assert type(caught.value) is kind
    assert caught.value.as_dict() == body


@pytest.mark.parametrize(
    "raw", [b"", b"<html>", b"[]", b'{"error": 1}', b'{"error": {"code": "x"}}']
)
def test_an_answer_that_is_not_gantry_s(raw: bytes) -> None:
    assert refusal(502, raw).code == "control.bad-answer"


def test_an_answer_of_another_version() -> None:
    with pytest.raises(PermanentError) as caught:
        health(api(lambda _: httpx.Response(200, json={"status": "ok", "new": 1})))
    assert caught.value.code == "control.other-version"


def test_the_token_is_sent() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(200, json={"status": "ok", "version": "1", "pid": 1})

    health(api(answer))
    assert seen == ["Bearer secret-token"]


def test_names_cannot_lead_to_other_paths() -> None:
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(200, json=[])

    at = environment_path("../../tokens", "a?b#c", "releases", tail="1&x=2")
    assert api(answer).get(tuple[ReleaseBody, ...], at) == ()
    assert seen == [
        b"/api/v1/projects/..%2F..%2Ftokens/environments/a%3Fb%23c/releases?tail=1%26x%3D2"
    ]


def test_no_control_plane(tmp_path: Path) -> None:
    with pytest.raises(TransientError) as caught:
        health(connect(Settings(home=tmp_path), lambda: "token"))
    assert caught.value.code == "control.down"
    assert caught.value.hint == "gantry up"


def test_a_socket_that_nobody_listens_on(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.paths.run.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(settings.paths.api_socket))
    with pytest.raises(TransientError) as caught:
        health(connect(settings, lambda: "token"))
    assert caught.value.code == "control.down"


def test_a_socket_of_another_user() -> None:
    error = httpx.ConnectError("denied")
    error.__cause__ = PermissionError(13, "denied")
    with pytest.raises(AccessError) as caught:
        health(api(raising(error)))
    assert caught.value.code == "control.forbidden"


def test_a_remote_control_plane_needs_a_token(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, control_url="https://gantry.example.com")
    with pytest.raises(AccessError) as caught:
        connect(settings, lambda: "local")
    assert caught.value.code == "control.no-token"


def test_the_local_token_is_never_sent_to_a_remote_control_plane(tmp_path: Path) -> None:
    def local() -> str:
        raise AssertionError("asked for the local token")

    settings = Settings(home=tmp_path, control_url="https://gantry.example.com", control_token="t")
    connect(settings, local).close()


def test_the_token_is_not_in_the_settings_representation(tmp_path: Path) -> None:
    assert "s3cret" not in repr(Settings(home=tmp_path, control_token="s3cret"))


def test_events() -> None:
    stream = (
        ": hello\n\nevent: log\ndata: one\ndata:two\nid: 7\n\n\n"
        "data: x\n\nevent: end\n\nevent: cut\ndata: off"
    )
    assert list(events(stream.split("\n"))) == [("log", "one\ntwo"), ("message", "x")]


@given(st.lists(st.text(st.characters(exclude_characters="\r\n"), min_size=1)))
def test_any_data_comes_through(texts: list[str]) -> None:
    lines = [line for text in texts for line in (f"data: {text}", "")]
    assert [data for _, data in events(lines)] == texts
