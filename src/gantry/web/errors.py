"""How refusals are worded: every error leaves as `{"error": ErrorBody}`, or as a page of the console."""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gantry.kernel.bodies import ErrorBody
from gantry.kernel.errors import (
    AccessError,
    GantryError,
    NotFoundError,
    PermanentError,
    TransientError,
    UserError,
)
from gantry.kernel.ids import IdSource

_log = logging.getLogger(__name__)

RenderError = Callable[[Request, GantryError], Awaitable[Response]]


class UnknownCallerError(AccessError):
    """Nobody known sent this request."""

    http_status = 401


class TooLargeError(UserError):
    """The request's body is larger than this endpoint takes."""

    http_status = 413


class MethodError(UserError):
    """The path exists, the method does not."""

    http_status = 405


class TooManyError(TransientError):
    """Too many requests of this kind; later the same one may succeed."""

    http_status = 429


def body_of(error: GantryError) -> ErrorBody:
    """The wire form of an error."""
    return ErrorBody.model_validate(error.as_dict())


def answer(error: GantryError) -> JSONResponse:
    """The API's response for an error."""
    headers = {}
    if isinstance(error, UnknownCallerError):
        headers["WWW-Authenticate"] = 'Bearer realm="gantry"'
    if isinstance(error, TransientError):
        headers["Retry-After"] = "5"
    content = {"error": body_of(error).model_dump()}
    return JSONResponse(content, status_code=error.http_status, headers=headers)


def from_validation(error: RequestValidationError) -> UserError:
    """One sentence that names every field at fault (at most five)."""
    faults: Sequence[Any] = error.errors()
    if faults[0]["type"] == "json_invalid":
        return UserError(
            "request.invalid",
            f"the body is not JSON: {faults[0]['ctx']['error']} at character {faults[0]['loc'][-1]}",
            hint="send JSON with the header Content-Type: application/json",
        )
    fields = [_field(fault["loc"]) for fault in faults]
    sentences = [
        f"{field}: {_sentence(fault)}" for field, fault in zip(fields[:5], faults, strict=False)
    ]
    return UserError(
        "request.invalid",
        "; ".join(sentences),
        hint="GET /api/openapi.json describes every body and parameter",
        where=fields[0],
    )


def _sentence(fault: Mapping[str, Any]) -> str:
    return "there is no such field" if fault["type"] == "extra_forbidden" else str(fault["msg"])


def _field(location: Sequence[object]) -> str:
    # "body", "query" and "path" say where FastAPI looked; the name alone is what the caller wrote.
    names = [str(part) for part in location[1:]] or [str(part) for part in location]
    return ".".join(names)


def from_http(error: HTTPException, request: Request) -> GantryError:
    """Starlette's own refusals, in Gantry's words."""
    path = request.url.path
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            return NotFoundError(
                "path.unknown",
                f"there is nothing at {path}" if is_api(path) else "there is no such page",
                hint="GET /api/openapi.json lists every path" if is_api(path) else "",
                where=path,
            )
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return MethodError(
                "method.unknown",
                f"{request.method} is not possible at {path}",
                hint="GET /api/openapi.json lists the methods of every path",
                where=path,
            )
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return too_large(path)
        case _:
            return UserError("request.unreadable", f"the request cannot be read: {error.detail}")


def is_api(path: str) -> bool:
    """Whether JSON is expected at `path`, rather than a page."""
    return path.startswith("/api/")


def too_large(path: str) -> TooLargeError:
    """A body beyond the bound of its endpoint."""
    return TooLargeError(
        "request.too-large", "the request's body is larger than this endpoint takes", where=path
    )


def unexpected(error: BaseException, ids: IdSource) -> PermanentError:
    """A defect of Gantry: what the caller sees is an identity, under which the log has the rest."""
    incident = ids.new("err")
    _log.error("unexpected error %s", incident, exc_info=error)
    return PermanentError(
        "internal",
        f"something unexpected went wrong in Gantry; its log names it {incident}",
        hint=f"look for {incident} in the control plane's log and report what it says",
        where=incident,
    )


class Guard:
    """Outermost ASGI layer: answers for exceptions that no handler took, and for refusals that are not ours.

    Parameters:
        render: makes the response (JSON or a page).
        ids: names the incident.
    """

    def __init__(self, app: ASGIApp, *, render: RenderError, ids: IdSource) -> None:
        self._app, self._render, self._ids = app, render, ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, replaced = False, False

        async def watched(message: Message) -> None:
            nonlocal started, replaced
            if message["type"] == "http.response.start":
                started, replaced = True, _is_plain_413(message)
                if replaced:
                    request = Request(scope)
                    ours = await self._render(request, too_large(request.url.path))
                    await ours(scope, receive, send)
            if not replaced:
                await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if started:
                raise  # half an answer is out: the server closes the connection
            response = await self._render(Request(scope), unexpected(error, self._ids))
            await response(scope, receive, send)


def _is_plain_413(start: Message) -> bool:
    # Starlette refuses a body by its declared length before any handler of ours is asked, in plain text.
    headers = dict(start.get("headers", ()))
    plain: bool = headers.get(b"content-type", b"").startswith(b"text/plain")
    return plain and start["status"] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


Handler = Callable[[Request, Exception], Coroutine[object, object, Response]]


def handlers(render: RenderError) -> dict[int | type[Exception], Handler]:
    """FastAPI's table of exception handlers."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, GantryError)
        return await render(request, error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return await render(request, from_validation(error))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return await render(request, from_http(error, request))

    return {GantryError: refused, RequestValidationError: invalid, HTTPException: http}
