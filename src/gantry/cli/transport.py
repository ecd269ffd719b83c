"""The control plane's HTTP API: paths, requests, streams. Here alone httpx's exceptions become Gantry's."""

import json
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode

import httpx
from pydantic import TypeAdapter, ValidationError

from gantry import __version__
from gantry.config.settings import Settings
from gantry.kernel.bodies import ErrorBody, Request
from gantry.kernel.errors import (
    AccessError,
    GantryError,
    PermanentError,
    TransientError,
    UserError,
    from_dict,
)
from gantry.kernel.names import API_PREFIX

if TYPE_CHECKING:
    from gantry.cli.line import Line

_T = TypeVar("_T")
Lines = Callable[[str, str], "Line"]
"""`(path, authorization)`: opens a WebSocket."""

TIMEOUT_S = 60.0
# The public address of every environment is requested before the answer comes.
PROBE_TIMEOUT_S = 120.0
# A whole snapshot is unpacked and hashed before the answer comes.
UPLOAD_TIMEOUT_S = 600.0
_CONNECT_TIMEOUT_S = 5.0
# The control plane sends a comment every 10 s on a stream that has nothing to say.
_SILENCE_TIMEOUT_S = 35.0


def path(*segments: str, **query: str | int | tuple[str, ...]) -> str:
    """A path below the API's prefix. Every segment is quoted, so that no name leads to another path."""
    below = "/".join(quote(segment, safe="") for segment in segments)
    return f"{API_PREFIX}/{below}" + (f"?{urlencode(query, doseq=True)}" if query else "")


def environment_path(
    project: str, environment: str, *segments: str, **query: str | int | tuple[str, ...]
) -> str:
    """A path below an environment's."""
    return path("projects", project, "environments", environment, *segments, **query)


class Api:
    """The API's verbs. Answers are read as the shape that is asked for; every failure is a `GantryError`.

    All methods raise what the control plane answered with, in its own words, and:
        TransientError: `control.down`, `control.lost`, `control.slow`.
        AccessError: `control.forbidden` the socket belongs to somebody else.
        PermanentError: `control.other-version` the answer cannot be read, `control.bad-answer`.

    Parameters:
        where: the address for people: the socket's path or the URL.
        ended: the file that says when somebody ended a platform of this machine; `None` for another machine's.
        lines: opens WebSockets; `None` where none are needed.
    """

    def __init__(
        self,
        http: httpx.Client,
        token: str,
        where: str,
        *,
        ended: Path | None = None,
        lines: Lines | None = None,
    ) -> None:
        self._http, self._where, self._ended, self._lines = http, where, ended, lines
        self._http.headers.update(
            {"Authorization": f"Bearer {token}", "User-Agent": f"gantry/{__version__}"}
        )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def get(self, shape: type[_T], path: str, *, timeout_s: float = TIMEOUT_S) -> _T:
        """What is at `path`."""
        return self._read(shape, self._ask("GET", path, timeout_s=timeout_s))

    def post(self, shape: type[_T], path: str, body: Request | None = None) -> _T:
        """Make something, or ask for something to be done."""
        return self._read(shape, self._ask("POST", path, body=body))

    def patch(self, shape: type[_T], path: str, body: Request) -> _T:
        """Change a part of what is at `path`."""
        return self._read(shape, self._ask("PATCH", path, body=body))

    def put(self, shape: type[_T], path: str, archive: Iterator[bytes]) -> _T:
        """Upload a gzip archive."""
        raw = self._ask("PUT", path, archive=archive, timeout_s=UPLOAD_TIMEOUT_S)
        return self._read(shape, raw)

    def delete(self, path: str) -> None:
        """Delete what is at `path`, or ask for its end."""
        self._ask("DELETE", path)

    def stream(self, shape: type[_T], path: str) -> Iterator[_T]:
        """The events of a stream until it ends.

        Raises:
            TransientError: `control.lost` when it breaks off or falls silent; asked again, it starts over.
        """
        timeout = httpx.Timeout(_SILENCE_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
        with self._mapped(), self._http.stream("GET", path, timeout=timeout) as answer:
            if not answer.is_success:
                raise refusal(answer.status_code, answer.read())
            for _name, data in events(answer.iter_lines()):
                yield self._read(shape, data.encode())

    def line(self, path: str) -> "Line":
        """A WebSocket at `path`, which the caller closes."""
        assert self._lines is not None, "an API that opens WebSockets"
        return self._lines(path, str(self._http.headers["Authorization"]))

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Request | None = None,
        archive: Iterator[bytes] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> bytes:
        content: bytes | Iterator[bytes] | None = archive
        headers = {} if archive is None else {"Content-Type": "application/gzip"}
        if body is not None:
            # Without what nobody set: an older platform refuses fields that it does not know.
            content = body.model_dump_json(exclude_unset=True).encode()
            headers = {"Content-Type": "application/json"}
        timeout = httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S)
        with self._mapped():
            answer = self._http.request(
                method, path, content=content, headers=headers, timeout=timeout
            )
        if not answer.is_success:
            raise refusal(answer.status_code, answer.content)
        return answer.content

    def _read(self, shape: type[_T], raw: bytes) -> _T:
        try:
            return TypeAdapter(shape).validate_json(raw)
        except ValidationError as error:
            if not _is_json(raw):
                raise PermanentError(
                    "control.not-gantry",
                    f"what answers at {self._where} is not Gantry",
                    hint="the console's address is the one that gantry up names: https://gantry.<domain>",
                    where=self._where,
                ) from None
            first = error.errors(include_url=False, include_input=False)[0]
            at = ".".join(str(part) for part in first["loc"])
            raise PermanentError(
                "control.other-version",
                f"gantry {__version__} cannot read the control plane's answer ({at}: {first['msg']})",
                hint="gantry version shows both versions; on its machine: gantry up",
                where=self._where,
            ) from None

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise self._failure(error) from error

    def _failure(self, error: httpx.HTTPError) -> GantryError:
        if _caused_by(error, PermissionError):
            return AccessError(
                "control.forbidden",
                "the control plane's socket belongs to another user",
                hint="run this as the user who runs Gantry, or log in over the network: gantry login URL",
                where=self._where,
            )
        if self._where.startswith("http") and isinstance(
            error, httpx.ConnectError | httpx.ConnectTimeout
        ):
            return _unreachable(error, self._where)
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return TransientError(
                "control.down",
                _ended(self._ended) or "the control plane is not answering",
                hint="gantry up",
                where=self._where,
            )
        if isinstance(error, httpx.TimeoutException):
            return TransientError(
                "control.slow",
                "the control plane accepted the request and did not answer in time",
                hint="check it with gantry status, then try again",
                where=self._where,
            )
        return TransientError(
            "control.lost",
            f"the connection to the control plane was lost ({type(error).__name__})",
            hint="try again"
            if self._where.startswith("http")
            else "try again; if it is not answering: gantry up",
            where=self._where,
        )


def _unreachable(error: httpx.HTTPError, url: str) -> GantryError:
    """Why nothing is found at another machine's address."""
    host = httpx.URL(url).host
    if _caused_by(error, socket.gaierror):
        return TransientError(
            "control.unknown-host",
            f"the name {host} does not resolve",
            hint=f"check the address, and its DNS record: getent hosts {host}",
            where=url,
        )
    if _caused_by(error, ssl.SSLCertVerificationError):
        return PermanentError(
            "control.untrusted",
            f"the certificate of {host} is not trusted here: {_certificate_fault(error)}",
            hint="if the platform has its own authority, copy keys/ca/root.pem from its home and log in with it:\n"
            f"gantry login {url} --ca-file root.pem   (or set GANTRY_CA_FILE)",
            where=url,
        )
    if _caused_by(error, ssl.SSLError):
        return PermanentError(
            "control.no-tls",
            f"{host} does not speak HTTPS at this port",
            hint="the console's address is the one that gantry up names: https://gantry.<domain>",
            where=url,
        )
    if isinstance(error, httpx.ConnectTimeout):
        return TransientError(
            "control.unreachable",
            f"{host} did not answer within {_CONNECT_TIMEOUT_S:g} s",
            hint="check that the machine is up, and that no firewall stands in between",
            where=url,
        )
    return TransientError(
        "control.refused",
        f"nothing listens at {url}",
        hint="check the port; on that machine: gantry doctor",
        where=url,
    )


def _certificate_fault(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return getattr(cause, "verify_message", "") or str(cause)
        cause = cause.__cause__ or cause.__context__
    return str(error)


def _context(ca_file: str) -> ssl.SSLContext | bool:
    """What is trusted: the system's authorities, and that of a file."""
    if not ca_file:
        return True
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UserError(
            "control.bad-ca-file",
            f"{ca_file} holds no certificate that can be read: {error}",
            hint="it is keys/ca/root.pem in the home of that platform",
            where="GANTRY_CA_FILE",
        ) from None
    return context


def connect(settings: Settings, local_token: Callable[[], str]) -> Api:
    """The API of the control plane that the settings name: over this machine's socket, or at `GANTRY_URL`.

    Parameters:
        local_token: reads the operator's token of this machine, which is never sent to another one.

    Raises:
        AccessError: `control.no-token` when `GANTRY_URL` is set and `GANTRY_TOKEN` is not.
        TransientError: `control.down` when this platform was never started.
    """
    if settings.control_url:
        if not settings.control_token:
            raise AccessError(
                "control.no-token",
                f"there is no token for {settings.control_url}",
                hint=f"on that machine: gantry token create my-laptop, then here: gantry login {settings.control_url}",
                where="GANTRY_TOKEN",
            )
        context = _context(settings.control_ca)
        http = httpx.Client(base_url=settings.control_url, verify=context)
        lines = partial(_open_line, settings.control_url, None, context)
        return Api(http, settings.control_token, settings.control_url, lines=lines)
    api_socket = settings.paths.api_socket
    # No proxy, certificate or .netrc of the environment has a say in a local socket. It speaks no TLS: `verify` only
    # spares the time for loading the certificates that nothing would be compared with.
    local = httpx.HTTPTransport(uds=str(api_socket), verify=False, trust_env=False)
    http = httpx.Client(transport=local, base_url="http://gantry", trust_env=False)
    lines = partial(_open_line, "http://gantry", str(api_socket), True)
    token = settings.control_token or local_token()
    return Api(http, token, str(api_socket), ended=settings.paths.ended, lines=lines)


def _open_line(
    base_url: str, socket: str | None, verify: ssl.SSLContext | bool, path: str, authorization: str
) -> "Line":
    from gantry.cli.line import open_line  # noqa: PLC0415 -- few commands need a WebSocket

    return open_line(base_url, path, authorization, socket=socket, verify=verify)


def _ended(file: Path | None) -> str:
    """That somebody ended the platform on purpose, and when; empty where nobody did."""
    if file is None or not file.is_file():
        return ""
    return f"Gantry was ended with gantry down at {file.read_text(encoding='utf-8').strip()}"


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except ValueError:
        return False
    return True


def refusal(status: int, raw: bytes) -> GantryError:
    """The error that the control plane answered with."""
    try:
        body = ErrorBody.model_validate(json.loads(raw)["error"])
    except (ValueError, KeyError, TypeError):
        return PermanentError(
            "control.bad-answer",
            f"status {status} without an error that gantry {__version__} can read",
            hint="check that this is the address of a control plane: gantry remotes",
        )
    return from_dict(body.model_dump(), http_status=status)


def events(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(name, data) of each server-sent event in a stream of lines without their line ends (HTML standard, 9.2).

    Only `event` and `data` matter here. An event that the stream's end cuts off is not an event (9.2.6).
    """
    name, data = "message", list[str]()
    for line in lines:
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)


def _caused_by(error: BaseException, kind: type[BaseException]) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, kind):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
