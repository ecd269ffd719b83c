"""The control plane's API in memory: enough of it to run every command on.

`python -m tests.fakes.api FOLDER` listens on FOLDER's socket, for looking at commands by hand.
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
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from gantry.cli.transport import Api
from gantry.config.paths import Paths
from gantry.features.accounts.bodies import CallerBody, LoginLinkBody, TokenBody
from gantry.features.audit.bodies import AuditBody
from gantry.features.audit.store import Entry
from gantry.features.builds.bodies import BuildCacheBody, SourceBody
from gantry.features.deploys.bodies import DeployBody, DeployEvent, PlanBody, PlanChange
from gantry.features.domains.bodies import DomainBody
from gantry.features.instances.bodies import LogBody, line_levels, line_times
from gantry.features.platform.bodies import HealthBody, ProjectBody, StatusBody
from gantry.features.rollouts.bodies import RolloutBody
from gantry.features.routes.bodies import PurgeBody
from gantry.features.runs.bodies import RunBody, RunEvent, RunRequest, ToHolder
from gantry.features.scales import ScaleBody, ScaledProcess
from gantry.features.services.loans import LoanBody
from gantry.features.variables.bodies import ProvidedBody, VariableBody, VariablesRequest
from gantry.kernel.bodies import Answer
from gantry.kernel.errors import GantryError, NotFoundError
from gantry.kernel.names import API_PREFIX
from tests.support.bodies import (
    NOW,
    deploy,
    minutes_ago,
    release,
    rollout,
    status,
    story_of_success,
)

Reply = tuple[int, list[bytes] | Iterator[bytes]]


@dataclass
class FakeApi:
    """What the control plane knows, and what it was asked.

    Attributes:
        story: events of any deploy; an exception in it breaks the stream off, once.
        refusals: `METHOD path-fragment` -> error, or what Ctrl-C raises at that moment.
        pause_s: between the events of a stream.
        log_breaks: how the next streams of logs end.
    """

    story: list[DeployEvent | BaseException] = field(
        default_factory=lambda: list(story_of_success())
    )
    status: StatusBody = field(default_factory=status)
    first: DeployBody = field(default_factory=deploy)
    rollout: RolloutBody = field(default_factory=rollout)
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
    domains: tuple[DomainBody, ...] = ()
    refusals: dict[str, GantryError | KeyboardInterrupt] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    query: dict[str, list[str]] = field(default_factory=dict)
    pause_s: float = 0.0
    says: list[bytes | str | BaseException] = field(default_factory=lambda: [ended_of(0)])
    heard: list[bytes | str] = field(default_factory=list)
    runs: tuple[RunBody, ...] = field(default_factory=lambda: (run_of(), run_of(exit_code=None)))
    scale: ScaleBody = field(
        default_factory=lambda: ScaleBody(
            project="smart-sign",
            environment="production",
            release_number=3,
            processes=(
                ScaledProcess(process="web", count=3, manifest_count=2, set_by="ada"),
                ScaledProcess(process="worker.mail", count=1, manifest_count=1),
            ),
            warnings=("the machine is small",),
        )
    )
    log_breaks: list[BaseException] = field(default_factory=list)

    def handle(self, method: str, target: str, body: bytes) -> Reply:
        """The answer to one request, without HTTP around it."""
        path = urlsplit(target).path.removeprefix(API_PREFIX)
        sent = json.loads(body) if body and not path.startswith("/sources") else len(body)
        self.asked.append((method, path, sent))
        self.query = parse_qs(urlsplit(target).query)
        try:
            for fragment, error in self.refusals.items():
                if fragment in f"{method} {path}":
                    raise error
            return self._route(method, path, self.query, body)
        except GantryError as error:
            return error.http_status, [json.dumps({"error": error.as_dict()}).encode()]

    def _checked(self, host: str) -> Reply:
        for body in self.domains:
            if body.host == host:
                return _one(body)
        raise NotFoundError("domain.unknown", f"no environment has the name {host!r}")

    def _route(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> Reply:
        found: dict[str, Callable[[re.Match[str]], Reply]] = {
            r"GET /health": lambda _: _one(HealthBody(status="ok", version="0.1.0", pid=4242)),
            r"GET /status": lambda _: _one(self.status),
            r"GET /sources/(\w+)": self._get_source,
            r"PUT /sources/(\w+)": lambda at: self._put_source(at[1], body),
            r"GET /projects": lambda _: _many(self.status.projects),
            r"GET /projects/([\w-]+)": lambda at: _one(self._project(at[1])),
            r"DELETE /projects/([\w-]+)(?:/environments/([\w-]+))?": lambda at: self._remove(
                at[1], at[2]
            ),
            r"POST .+/environments/[\w-]+/(deploys|promote|rollback|redeploy)": lambda _: _one(
                self.first, 202
            ),
            r"GET .+/deploys": lambda _: _many((self.first,)),
            r"POST .+/plan": lambda _: _one(self.plan),
            r"GET .+/rollout": lambda _: _one(self.rollout),
            r"POST .+/rollout/(pause|resume|promote|abort)": lambda at: _one(
                self.rollout.model_copy(update={"wish": at[1]}), 202
            ),
            r"POST .+/purge": lambda _: _one(
                PurgeBody(project="smart-sign", environment="production", purged=3)
            ),
            r"GET /deploys/[\w-]+": lambda _: _one(self.first),
            r"POST /deploys/[\w-]+/cancel": lambda _: _one(
                self.first.model_copy(update={"cancel_requested": True}), 202
            ),
            r"GET /deploys/[\w-]+/events": lambda _: (200, self._events()),
            r"POST .+/runs": lambda _: _one(self._run(body), 202),
            r"GET .+/runs": lambda _: _many(self.runs),
            r"GET .+/runs/[\w-]+": lambda _: _one(self.runs[0]),
            r"POST .+/runs/[\w-]+/stop": lambda _: _one(self.runs[0]),
            r"GET .+/runs/[\w-]+/logs": lambda _: _one(
                LogBody(source="run-1", text="line 1\nline 2\n", next_offset=14)
            ),
            r"GET .+/runs/[\w-]+/events": lambda _: (
                200,
                [
                    _sse("log", RunEvent(text="line 1\n")),
                    _sse("end", RunEvent(run=run_of(exit_code=4, detail="exited with 4"))),
                ],
            ),
            r"POST .+/loans": lambda _: _one(
                LoanBody(
                    url="postgresql://gantry_loan_l_1:pw@127.0.0.1:15432/shop",
                    host="127.0.0.1",
                    port=15432,
                    user="gantry_loan_l_1",
                    password="pw",
                    database="shop",
                    read_only=bool(json.loads(body)["read_only"]),
                    until=NOW + timedelta(hours=8),
                ),
                201,
            ),
            r"(GET|POST) .+/scale(/reset)?": lambda _: _one(self.scale),
            r"(GET|POST) /projects/smart-sign/build-cache(/clear)?": lambda _: _one(
                BuildCacheBody(project="smart-sign", size_bytes=512_000_000)
            ),
            r"GET .+/releases": lambda _: _many(
                (release(), release(2, live=False, can_roll_back_to=True, left_at=minutes_ago(5)))
            ),
            r"GET .+/variables": lambda _: self._variables(),
            r"GET .+/variables/provided": lambda _: _many(
                (
                    ProvidedBody(name="DATABASE_URL", source="postgres"),
                    ProvidedBody(name="LOG_LEVEL", source="gantry.toml"),
                )
            ),
            r"PATCH .+/variables": lambda _: self._change(body),
            r"GET .+/logs": lambda _: self._logs("follow" in query),
            r"GET /me": lambda _: _one(CallerBody(account="my-laptop", role="developer")),
            r"POST /login": lambda _: _one(
                _token(
                    id="0123456789ab",
                    label=json.loads(body)["label"],
                    role="developer",
                    token="gt-from-link",
                ),
                201,
            ),
            r"GET /domains": lambda _: _many(self.domains),
            r"POST /domains/([\w.-]+)/check": lambda at: self._checked(at[1]),
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

    def open_line(self, path: str, _authorization: str) -> "FakeLine":
        """A WebSocket on which everything is said that `says` holds."""
        self.asked.append(("GET", urlsplit(path).path.removeprefix(API_PREFIX), None))
        return FakeLine(self)

    def _run(self, body: bytes) -> RunBody:
        wanted = RunRequest.model_validate_json(body)
        return run_of(
            command=" ".join(wanted.command),
            program=wanted.program,
            detached=wanted.detach,
            terminal=wanted.terminal,
        )

    def _project(self, name: str) -> ProjectBody:
        """The project as it is now. What is being removed is gone when it is asked for again."""
        for project in self.status.projects:
            if project.name == name:
                kept = tuple(found for found in project.environments if not found.removing)
                left = (project.model_copy(update={"environments": kept}),) if kept else ()
                self.status = self.status.model_copy(update={"projects": left})
                return project
        raise NotFoundError("project.unknown", f"no project named {name!r}")

    def _remove(self, name: str, environment: str | None) -> Reply:
        projects = tuple(
            project.model_copy(
                update={
                    "environments": tuple(
                        found.model_copy(update={"removing": environment in (None, found.name)})
                        for found in project.environments
                    )
                }
            )
            for project in self.status.projects
        )
        self.status = self.status.model_copy(update={"projects": projects})
        return 202, [b"null"]

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
            LogBody(
                source="ins-4f9k2",
                text="ready on :31001\nGET / 200\n",
                next_offset=26,
                process="web",
                slot=0,
                release_number=3,
                times=line_times([NOW, NOW]),
            ),
            LogBody(
                source="ins-8wq1z",
                text="WARN job done late\n",
                next_offset=19,
                process="worker.mail",
                slot=0,
                release_number=3,
                levels=line_levels(["warn"]),
            ),
        )
        if follow:
            return 200, self._follow_logs(bodies)
        return _many(bodies)


def _token(**changes: Any) -> TokenBody:
    values = {"id": "0123456789ab", "label": "laptop", "role": "developer"}
    changes.pop("days", None)
    return TokenBody(created_at=NOW, expires_at=NOW + timedelta(days=90), **{**values, **changes})


def _audit() -> AuditBody:
    details = {"set": ["SESSION_SECRET"], "unset": []}
    change = ("owner", "variables.change", "smart-sign/production")
    return AuditBody.of(Entry(7, minutes_ago(3), *change, details, "ab" * 32))


class FakeLine:
    """The program's side of a run, as a list."""

    def __init__(self, api: FakeApi) -> None:
        self._api, self._left = api, list(api.says)

    def send(self, message: bytes | str) -> None:
        """See `Line.send`."""
        self._api.heard.append(message)

    def receive(self) -> bytes | str | None:
        """See `Line.receive`."""
        if not self._left:
            return None
        said = self._left.pop(0)
        if isinstance(said, BaseException):
            raise said
        return said

    def close(self) -> None:
        """See `Line.close`."""


def run_of(**changes: Any) -> RunBody:
    """A run that has ended well."""
    code = changes.get("exit_code", 0)
    fields: dict[str, Any] = {
        "id": "run-7kq2m9xw4t",
        "project": "smart-sign",
        "environment": "production",
        "release": "r-3",
        "release_number": 3,
        "program": "command",
        "command": "node scripts/seed.mjs --token [redacted]",
        "terminal": False,
        "detached": True,
        "requested_by": "ada",
        "origin": "192.0.2.7",
        "state": "running" if code is None else "failed" if code else "succeeded",
        "created_at": minutes_ago(5),
        "started_at": minutes_ago(5),
        "finished_at": None if code is None else minutes_ago(4),
        "exit_code": code,
        "detail": "" if code is None else f"exited with {code}",
        "elapsed_s": 60.0,
    }
    return RunBody(**(fields | changes))


def ended_of(code: int | None, **changes: Any) -> str:
    """The last word of a run."""
    body = run_of(exit_code=code, finished_at=minutes_ago(0), **changes)
    return ToHolder(ended=body).model_dump_json(exclude_defaults=True)


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
    return Api(http, "fake-token", "/run/api.sock", lines=api.open_line)


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
