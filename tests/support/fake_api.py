"""The control plane's API in memory: enough of it to run every command on. Serves shapes, nothing else.

`python -m tests.support.fake_api FOLDER` listens on FOLDER's socket, for looking at commands by hand.
"""

import json
import re
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from gantry.cli.client import Api
from gantry.cli.transport import Transport
from gantry.config.paths import Paths
from gantry.features.accounts.bodies import LoginLinkBody, TokenBody
from gantry.features.audit.bodies import AuditBody
from gantry.features.builds.bodies import SourceBody
from gantry.features.deploys.bodies import (
    DeployBody,
    DeployEvent,
    PlanBody,
    PlanChange,
    StepBody,
    StepName,
)
from gantry.features.instances.bodies import InstanceBody, LogBody
from gantry.features.platform.bodies import (
    EnvironmentBody,
    HealthBody,
    PartBody,
    ProjectBody,
    ReachedBody,
    StatusBody,
)
from gantry.features.releases.bodies import CommitBody, ReleaseBody
from gantry.features.routes.bodies import CacheBody, PurgeBody
from gantry.features.variables.bodies import VariableBody, VariablesRequest
from gantry.kernel.bodies import Answer, ErrorBody
from gantry.kernel.errors import GantryError, NotFoundError

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
STEPS: tuple[StepName, ...] = (
    "source",
    "build",
    "test",
    "release",
    "migrate",
    "start",
    "healthy",
    "smoke",
    "switch",
    "drain",
)
SITE = "https://smart-sign.localhost:8443"

Reply = tuple[int, list[bytes] | Iterator[bytes]]


def minutes_ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def commit(**changes: Any) -> CommitBody:
    values = {"sha": "3f2a91c0ffee", "branch": "main", "message": "Add announcements\n\nbody"}
    return CommitBody(**{**values, **changes})


def release(number: int = 3, **changes: Any) -> ReleaseBody:
    values: dict[str, Any] = {
        "id": f"rel-{number:02}",
        "number": number,
        "state": "running",
        "live": True,
        "can_roll_back_to": False,
        "build": "b-77",
        "framework": "nextjs",
        "size_bytes": 41_000_000,
        "commit": commit(),
        "url": f"https://rel-{number:02}--smart-sign.localhost:8443",
        "created_at": minutes_ago(6),
        "live_at": minutes_ago(5),
        "left_at": None,
    }
    return ReleaseBody(**{**values, **changes})


def steps(
    states: dict[str, str], elapsed: dict[str, float] | None = None, **details: str
) -> tuple[StepBody, ...]:
    return tuple(
        StepBody.model_validate(
            {
                "name": name,
                "state": states.get(name, "waiting"),
                "elapsed_s": (elapsed or {}).get(name),
                "detail": details.get(name, ""),
            }
        )
        for name in STEPS
    )


def deploy(state: str = "active", **changes: Any) -> DeployBody:
    values: dict[str, Any] = {
        "id": "dep-7kq2m9xw4t",
        "project": "smart-sign",
        "environment": "production",
        "kind": "deploy",
        "state": state,
        "step": "source",
        "steps": steps({"source": "running"}, {"source": 0.1}),
        "commit": commit(),
        "release": None,
        "release_number": None,
        "build": None,
        "url": SITE,
        "requested_by": "owner",
        "requested_at": minutes_ago(1),
        "started_at": minutes_ago(1),
        "finished_at": None,
        "elapsed_s": 0.1,
        "cancel_requested": False,
        "error": None,
    }
    return DeployBody(**{**values, **changes})


def instance(**changes: Any) -> InstanceBody:
    values: dict[str, Any] = {
        "id": "ins-4f9k2",
        "release": "rel-03",
        "release_number": 3,
        "process": "web",
        "slot": 0,
        "state": "healthy",
        "pid": 4711,
        "port": 31001,
        "memory_bytes": 94_000_000,
        "restarts": 0,
        "started_at": minutes_ago(5),
    }
    return InstanceBody(**{**values, **changes})


def succeeded(**changes: Any) -> DeployBody:
    values: dict[str, Any] = {
        "step": "drain",
        "steps": steps(dict.fromkeys(STEPS, "done"), dict.fromkeys(STEPS, 1.5)),
        "release": "rel-03",
        "release_number": 3,
        "build": "b-77",
        "release_url": "https://rel-03--smart-sign.localhost:8443",
        "finished_at": NOW,
        "elapsed_s": 15.0,
    }
    return deploy("succeeded", **{**values, **changes})


def failed(**changes: Any) -> DeployBody:
    values: dict[str, Any] = {
        "step": "build",
        "steps": steps({"source": "done", "build": "failed"}, {"source": 0.2, "build": 8.0}),
        "elapsed_s": 8.2,
        "error": ErrorBody(
            kind="permanent",
            code="build.command-failed",
            message="npm run build ended with exit code 1",
            hint="the last lines say why",
            where="package.json",
        ),
    }
    return deploy("failed", **{**values, **changes})


def story_of_success() -> list[DeployEvent]:
    """A short deploy: two steps with a log, then all is done."""
    built = {"source": "done", "build": "running"}
    return [
        DeployEvent(event="deploy", deploy=deploy()),
        DeployEvent(
            event="deploy",
            deploy=deploy(step="build", steps=steps(built, {"source": 0.2, "build": 0.0})),
        ),
        DeployEvent(event="log", step="build", text="> next build\nCompiled in 5.4"),
        DeployEvent(event="log", step="build", text=" s\n"),
        DeployEvent(event="deploy", deploy=succeeded()),
        DeployEvent(event="end", deploy=succeeded()),
    ]


def story_of_failure() -> list[DeployEvent]:
    lines = "".join(f"line {number}\n" for number in range(1, 31))
    return [
        DeployEvent(event="log", step="build", text=lines),
        DeployEvent(event="end", deploy=failed()),
    ]


def cache(**changes: Any) -> CacheBody:
    values: dict[str, Any] = {
        "running": True,
        "hits": 11_304,
        "stale": 362,
        "misses": 518,
        "bypassed": 214,
        "share": (11_304 + 362) / 12_398,
        "evicted": 0,
        "entries": 212,
        "size_bytes": 3_100_000,
        "used_bytes": 12_400_000,
        "limit_bytes": 64_000_000,
    }
    return CacheBody(**{**values, **changes})


def status(**changes: Any) -> StatusBody:
    environment = EnvironmentBody(
        project="smart-sign",
        name="production",
        url=SITE,
        domains=(),
        live=release(),
        reached=ReachedBody(
            release="rel-03", release_number=3, status=200, elapsed_s=0.0123, expected=True
        ),
        instances=(instance(),),
        services=("postgres",),
        cache=cache(),
        deploy=succeeded(finished_at=minutes_ago(5)),
    )
    values: dict[str, Any] = {
        "version": "0.1.0",
        "home": "/home/gantry",
        "console_url": "https://gantry.localhost:8443",
        "parts": (
            PartBody(name="control plane", running=True, memory_bytes=80_000_000),
            PartBody(name="edge", running=True, memory_bytes=40_000_000),
        ),
        "projects": (
            ProjectBody(
                name="smart-sign", created_at=minutes_ago(600), environments=(environment,)
            ),
        ),
    }
    return StatusBody(**{**values, **changes})


@dataclass
class FakeApi:
    """What the control plane knows, and what it was asked.

    Attributes:
        story: events of any deploy; an exception in it breaks the stream off, once.
        refusals: `METHOD path-fragment` -> error.
        pause_s: between the events of a stream.
        log_breaks: how the next streams of logs end.
    """

    story: list[DeployEvent | BaseException] = field(
        default_factory=lambda: list(story_of_success())
    )
    status: StatusBody = field(default_factory=status)
    first: DeployBody = field(default_factory=deploy)
    variables: dict[str, str] = field(default_factory=lambda: {"SESSION_SECRET": "hidden"})
    sources: dict[str, bytes] = field(default_factory=dict)
    plan: PlanBody = field(
        default_factory=lambda: PlanBody(
            project="smart-sign",
            environment="production",
            changes=(
                PlanChange(what="build", action="create", name="this tree was not built"),
                PlanChange(
                    what="setting",
                    action="change",
                    name="processes.web.instances",
                    before="1",
                    after="2",
                ),
            ),
        )
    )
    refusals: dict[str, GantryError] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    pause_s: float = 0.0
    log_breaks: list[BaseException] = field(default_factory=list)

    def handle(self, method: str, target: str, body: bytes) -> Reply:
        """The answer to one request, without HTTP around it."""
        path = urlsplit(target).path.removeprefix("/api/v1")
        sent = json.loads(body) if body and not path.startswith("/sources") else len(body)
        self.asked.append((method, path, sent))
        try:
            for fragment, error in self.refusals.items():
                if fragment in f"{method} {path}":
                    raise error
            return self._route(method, path, parse_qs(urlsplit(target).query), body)
        except GantryError as error:
            return error.http_status, [json.dumps({"error": error.as_dict()}).encode()]

    def _route(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> Reply:
        found: dict[str, Callable[[re.Match[str]], Reply]] = {
            r"GET /health": lambda _: _one(HealthBody(status="ok", version="0.1.0", pid=4242)),
            r"GET /status": lambda _: _one(self.status),
            r"GET /sources/(\w+)": self._get_source,
            r"PUT /sources/(\w+)": lambda at: self._put_source(at[1], body),
            r"GET /projects": lambda _: _many(self.status.projects),
            r"GET /projects/([\w-]+)": lambda _: _one(self.status.projects[0]),
            r"DELETE /projects/.+": lambda _: (204, [b""]),
            r"POST .+/(deploys|promote|rollback)": lambda _: _one(self.first, 202),
            r"GET .+/deploys": lambda _: _many((self.first,)),
            r"POST .+/plan": lambda _: _one(self.plan),
            r"POST .+/purge": lambda _: _one(
                PurgeBody(project="smart-sign", environment="production", purged=3)
            ),
            r"GET /deploys/[\w-]+": lambda _: _one(self.first),
            r"POST /deploys/[\w-]+/cancel": lambda _: _one(
                self.first.model_copy(update={"cancel_requested": True}), 202
            ),
            r"GET /deploys/[\w-]+/events": lambda _: (200, self._events()),
            r"GET .+/releases": lambda _: _many(
                (release(), release(2, live=False, can_roll_back_to=True, left_at=minutes_ago(5)))
            ),
            r"GET .+/variables": lambda _: self._variables(),
            r"PATCH .+/variables": lambda _: self._change(body),
            r"GET .+/logs": lambda _: self._logs("follow" in query),
            r"POST /login-links": lambda _: _one(
                LoginLinkBody(
                    url="https://gantry.localhost:8443/login?token=once",
                    expires_at=NOW + timedelta(minutes=15),
                ),
                201,
            ),
            r"GET /tokens": lambda _: _many((_token(),)),
            r"POST /tokens": lambda _: _one(_token(token="gt-secret", **json.loads(body)), 201),
            r"DELETE /tokens/.+": lambda _: (204, [b""]),
            r"GET /audit": lambda _: _many((_audit(),)),
        }
        for pattern, answer in found.items():
            if match := re.fullmatch(pattern, f"{method} {path}"):
                return answer(match)
        raise NotFoundError("path.unknown", f"there is nothing at {path}")

    def _get_source(self, at: re.Match[str]) -> Reply:
        if at[1] not in self.sources:
            raise NotFoundError("source.unknown", "not uploaded")
        return _one(SourceBody(digest=at[1], files=1, size_bytes=1))

    def _put_source(self, digest: str, body: bytes) -> Reply:
        self.sources[digest] = body
        return _one(SourceBody(digest=digest, files=1, size_bytes=len(body)))

    def _events(self) -> Iterator[bytes]:
        yield b": hello\n\n"
        for at, event in enumerate(tuple(self.story)):
            if isinstance(event, BaseException):
                del self.story[: at + 1]  # who asks again is told how things are now
                raise event
            time.sleep(self.pause_s)
            yield _sse(event.event, event)

    def _variables(self) -> Reply:
        return _many(
            tuple(
                VariableBody(name=name, updated_at=minutes_ago(90), updated_by="owner")
                for name in sorted(self.variables)
            )
        )

    def _change(self, body: bytes) -> Reply:
        request = VariablesRequest.model_validate_json(body)
        self.variables.update(request.set)
        for name in request.unset:
            del self.variables[name]
        return self._variables()

    def _follow_logs(self, bodies: tuple[LogBody, ...]) -> Iterator[bytes]:
        for body in bodies:
            yield _sse("log", body)
        if self.log_breaks:
            raise self.log_breaks.pop(0)

    def _logs(self, follow: bool) -> Reply:
        bodies = (
            LogBody(source="ins-4f9k2", text="ready on :31001\nGET / 200\n", next_offset=26),
            LogBody(source="ins-8wq1z", text="job done\n", next_offset=9),
        )
        if follow:
            return 200, self._follow_logs(bodies)
        return _many(bodies)


def _token(**changes: Any) -> TokenBody:
    values = {"id": "0123456789ab", "label": "laptop", "role": "developer"}
    changes.pop("days", None)
    return TokenBody(created_at=NOW, expires_at=NOW + timedelta(days=90), **{**values, **changes})


def _audit() -> AuditBody:
    return AuditBody(
        seq=7,
        at=minutes_ago(3),
        actor="owner",
        action="variables.change",
        target="smart-sign/production",
        details={"set": ["SESSION_SECRET"], "unset": []},
        hash="ab" * 32,
    )


def _one(body: Answer, code: int = 200) -> Reply:
    return code, [body.model_dump_json().encode()]


def _many(bodies: tuple[Answer, ...]) -> Reply:
    return 200, [b"[" + b",".join(body.model_dump_json().encode() for body in bodies) + b"]"]


def _sse(name: str, body: Answer) -> bytes:
    return f"event: {name}\ndata: {body.model_dump_json()}\n\n".encode()


class _Stream(httpx.SyncByteStream):
    def __init__(self, chunks: list[bytes] | Iterator[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks


def client_of(api: FakeApi) -> Api:
    """A client that talks to `api` without a socket."""

    def answer(request: httpx.Request) -> httpx.Response:
        code, chunks = api.handle(request.method, str(request.url), request.read())
        return httpx.Response(code, stream=_Stream(chunks))

    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://gantry")
    return Api(Transport(http, "fake-token", "/run/api.sock"))


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextmanager
def listening(api: FakeApi, home: Path) -> Iterator[Path]:
    """Serve `api` on the socket of the platform in `home`, for real subprocesses."""

    class Handler(BaseHTTPRequestHandler):
        def address_string(self) -> str:
            return "socket"

        def log_message(self, *_: object) -> None:
            return None

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = _read_chunked(self)
            code, chunks = api.handle(self.command, self.path, body)
            self.send_response(code)
            self.end_headers()
            for chunk in chunks:
                self.wfile.write(chunk)
                self.wfile.flush()

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    socket = Paths(home).api_socket
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.unlink(missing_ok=True)
    server = _UnixServer(str(socket), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield socket
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        socket.unlink(missing_ok=True)


def _read_chunked(handler: BaseHTTPRequestHandler) -> bytes:
    body = b""
    while size := int(handler.rfile.readline(), 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body


def main() -> None:
    """Serve until interrupted."""
    lively = FakeApi(pause_s=1.0)
    with listening(lively, Path(sys.argv[1]).absolute()) as socket:
        print(f"listening on {socket}", flush=True)  # noqa: T201
        threading.Event().wait()


if __name__ == "__main__":
    main()
