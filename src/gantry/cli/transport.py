"""Requests and what can go wrong with them. The one place where httpx's exceptions become Gantry's."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from gantry import __version__
from gantry.cli.sse import events
from gantry.kernel.bodies import Answer, ErrorBody, Request
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

_S = TypeVar("_S", bound=Answer)

_CONNECT_TIMEOUT_S = 5.0
# The control plane sends a comment every 10 s on a stream that has nothing to say.
_SILENCE_S = 35.0
_BY_STATUS: dict[int, type[GantryError]] = {
    401: AccessError,
    403: AccessError,
    404: NotFoundError,
    409: ConflictError,
}
_BY_KIND: dict[str, type[GantryError]] = {
    "user": UserError,
    "transient": TransientError,
    "permanent": PermanentError,
    "integrity": IntegrityError,
    "cancelled": Cancelled,
}


class Transport:
    """Sends requests with the token and maps every failure.

    Parameters:
        where: the address for people: the socket's path or the URL.
    """

    def __init__(self, http: httpx.Client, token: str, where: str) -> None:
        self._http, self._where = http, where
        self._http.headers.update(
            {"Authorization": f"Bearer {token}", "User-Agent": f"gantry/{__version__}"}
        )

    def close(self) -> None:
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Request | None = None,
        content: Iterator[bytes] | None = None,
        content_bytes: int = 0,
        timeout_s: float = 60.0,
    ) -> bytes:
        """The answer's body.

        Parameters:
            body: sent as JSON.
            content, content_bytes: sent as it is; its size, or 0 when that is not known.

        Raises:
            GantryError: as the control plane words it.
            TransientError: `control.down`, `control.lost`, `control.slow`.
            AccessError: `control.forbidden` the socket belongs to somebody else.
        """
        headers: dict[str, str] = {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        elif content is not None:
            headers["Content-Type"] = "application/gzip"
            if content_bytes:
                headers["Content-Length"] = str(content_bytes)
        data = body.model_dump_json().encode() if body is not None else content
        timeout = httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S)
        with self._mapped():
            answer = self._http.request(
                method, path, content=data, headers=headers, timeout=timeout
            )
        if not answer.is_success:
            raise refusal(answer.status_code, answer.content)
        return answer.content

    def stream(self, shape: type[_S], path: str) -> Iterator[_S]:
        """The events of a stream until it ends.

        Raises:
            TransientError: `control.lost` when it breaks off or falls silent.
        """
        timeout = httpx.Timeout(_SILENCE_S, connect=_CONNECT_TIMEOUT_S)
        with self._mapped(), self._http.stream("GET", path, timeout=timeout) as answer:
            if not answer.is_success:
                raise refusal(answer.status_code, answer.read())
            for _name, data in events(answer.iter_lines()):
                yield self.read(shape, data.encode())

    def read(self, shape: type[_S], raw: bytes) -> _S:
        """An answer as its shape.

        Raises:
            PermanentError: `control.other-version`.
        """
        try:
            return shape.model_validate_json(raw)
        except ValidationError as error:
            raise self._not_understood(error) from None

    def read_many(self, shape: type[_S], raw: bytes) -> tuple[_S, ...]:
        """An answer that is a list of shapes."""
        try:
            return tuple(TypeAdapter(list[shape]).validate_json(raw))  # type: ignore[valid-type]
        except ValidationError as error:
            raise self._not_understood(error) from None

    def _not_understood(self, error: ValidationError) -> PermanentError:
        first = error.errors(include_url=False, include_input=False)[0]
        at = ".".join(str(part) for part in first["loc"])
        return PermanentError(
            "control.other-version",
            f"the control plane's answer is not one that gantry {__version__} knows ({at}: {first['msg']})",
            hint="gantry version shows both versions; restart the control plane with: gantry up",
            where=self._where,
        )

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
                hint="run this as the user who ran gantry up, or set GANTRY_URL and GANTRY_TOKEN",
                where=self._where,
            )
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return TransientError(
                "control.down",
                "the control plane does not answer",
                hint="gantry up",
                where=self._where,
            )
        if isinstance(error, httpx.TimeoutException):
            return TransientError(
                "control.slow",
                "the control plane accepted the request and did not answer in time",
                hint="gantry status shows whether it works; then try again",
                where=self._where,
            )
        return TransientError(
            "control.lost",
            f"the connection to the control plane broke off ({type(error).__name__})",
            hint="try again; if it does not answer: gantry up",
            where=self._where,
        )


def refusal(status: int, raw: bytes) -> GantryError:
    """What the control plane answered with, as the error that it was."""
    try:
        body = ErrorBody.model_validate(json.loads(raw)["error"])
    except (ValueError, KeyError, TypeError):
        return PermanentError(
            "control.bad-answer",
            f"status {status} without an error that gantry {__version__} can read",
            hint="check that GANTRY_URL is the address of a control plane: gantry version",
        )
    return error_of(body, status)


def error_of(body: ErrorBody, status: int = 0) -> GantryError:
    """An error from its wire form."""
    kind = _BY_KIND[body.kind]
    if kind is UserError:
        kind = _BY_STATUS.get(status, UserError)
    return kind(body.code, body.message, hint=body.hint, where=body.where)


def _caused_by(error: BaseException, kind: type[BaseException]) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, kind):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
