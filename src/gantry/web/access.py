"""Who sends a request, and what they may do. Every endpoint depends on a `Needs` or on `PUBLIC`."""

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response, Security, WebSocket
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from gantry.features.accounts.model import Caller, Role, TokenKind
from gantry.features.accounts.service import SESSION_LIFE
from gantry.kernel.clock import Clock
from gantry.kernel.errors import AccessError
from gantry.web.errors import TooManyError, UnknownCallerError
from gantry.web.services import Has, Services

# `__Host-`: a browser takes it from HTTPS and this very host only, so that a product's site on a neighbouring
# host name cannot plant one.
COOKIE = "__Host-gantry_session"
WINDOW_S = 60.0
MAX_FAILURES = 10
# Memory is bounded: the caller that failed longest ago is forgotten first.
MAX_CALLERS = 1_000
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

_bearer = HTTPBearer(
    auto_error=False, scheme_name="token", description="An API token: `gantry token create`."
)
_cookie = APIKeyCookie(
    name=COOKIE,
    auto_error=False,
    scheme_name="session",
    description="The console's session. Requests that change something must come from the console itself.",
)

Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
Cookie = Annotated[str | None, Security(_cookie)]


class Attempts:
    """Failed logins, counted, so that guessing is slow and shows: 10 within a minute, and the caller must wait.

    Tokens have 256 random bits and cannot be guessed; this keeps the attempt from costing the database anything.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, caller: str) -> None:
        """Raise when `caller` must wait.

        Raises:
            TooManyError: `access.too-many-attempts`.
        """
        failures = self._failures.get(caller)
        if failures is None:
            return
        while failures and failures[0] <= self._clock.monotonic_s() - WINDOW_S:
            failures.popleft()
        if not failures:
            del self._failures[caller]
        elif len(failures) >= MAX_FAILURES:
            raise TooManyError(
                "access.too-many-attempts",
                "too many failed logins from here",
                hint="wait a minute, then make a new link with: gantry open --console",
            )

    def failed(self, caller: str) -> None:
        """Count one failure."""
        failures = self._failures.setdefault(caller, deque(maxlen=MAX_FAILURES))
        failures.append(self._clock.monotonic_s())
        self._failures.move_to_end(caller)
        while len(self._failures) > MAX_CALLERS:
            self._failures.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Needs:
    """Dependency of an endpoint: the caller, who has at least `role`.

    Raises:
        UnknownCallerError: `access.unknown` (401).
        AccessError: `access.role`, `access.cross-site` (403).
    """

    role: Role

    async def __call__(
        self, request: Request, services: Has, bearer: Bearer, cookie: Cookie
    ) -> Caller:
        caller: Caller | None = None
        if bearer is not None:
            caller = await _by_token(request, services, bearer.credentials)
        elif cookie is not None:
            if request.method not in _SAFE:
                require_same_origin(request)
            caller = await services.accounts.caller(cookie, TokenKind.SESSION)
        return _with_role(caller, self.role)


async def visitor_of(request: Request, services: Services) -> Caller | None:
    """Who looks at a page, also at one that no endpoint made; `None` where nobody is logged in."""
    cookie = request.cookies.get(COOKIE)
    return await services.accounts.caller(cookie, TokenKind.SESSION) if cookie else None


def _with_role(caller: Caller | None, role: Role) -> Caller:
    if caller is None:
        raise UnknownCallerError(
            "access.unknown",
            "this needs a valid API token or a session of the console",
            hint="gantry open --console logs a browser in; gantry token create NAME makes an API token",
        )
    if not caller.role.covers(role):
        raise AccessError(
            "access.role",
            f"this needs the role {role}; {caller.account} is a {caller.role} here",
            hint=f"ask an owner for a token: gantry token create NAME --role {role}",
        )
    return caller


async def caller_of_socket(socket: WebSocket, services: Services, role: Role) -> Caller:
    """The caller who opens a WebSocket, by an API token alone: a browser sends its cookies whatever page asks.

    Raises:
        UnknownCallerError: `access.unknown` (401).
        AccessError: `access.role` (403).
        TooManyError: `access.too-many-attempts` (429).
    """
    scheme, _, secret = socket.headers.get("authorization", "").partition(" ")
    token = secret.strip() if scheme.lower() == "bearer" else ""
    caller = await _by_token(socket, services, token) if token else None
    return _with_role(caller, role)


async def _by_token(request: HTTPConnection, services: Services, secret: str) -> Caller | None:
    attempts, address = attempts_of(request), address_of(request)
    attempts.check(address)
    caller = await services.accounts.caller(secret, TokenKind.API)
    if caller is None:
        attempts.failed(address)
    return caller


@dataclass(frozen=True, slots=True)
class Anyone:
    """Dependency of an endpoint that needs no role. Said explicitly, so that none is open by accident."""

    async def __call__(self) -> None:
        return None


PUBLIC = Depends(Anyone())
Viewer = Annotated[Caller, Depends(Needs(Role.VIEWER))]
Developer = Annotated[Caller, Depends(Needs(Role.DEVELOPER))]
Owner = Annotated[Caller, Depends(Needs(Role.OWNER))]


def require_same_origin(request: Request) -> None:
    """Refuse a browser's request that another site caused.

    `SameSite=Lax` does not tell `smart-sign.example.com` from `gantry.example.com`: both are one site. The
    browser's own `Sec-Fetch-Site` and `Origin` do, and a page cannot forge them.

    Raises:
        AccessError: `access.cross-site`.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    same_host = origin is not None and urlsplit(origin).netloc == request.headers.get("host")
    allowed = same_host if site is None else site == "same-origin" and (same_host or origin is None)
    if not allowed:
        raise AccessError(
            "access.cross-site",
            "this request did not come from the console's own pages",
            hint="use the buttons of the console, or an API token in an Authorization header",
        )


def set_session(response: Response, secret: str) -> None:
    """Log the browser in."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(SESSION_LIFE.total_seconds()),
        path="/",
        secure=True,
        httponly=True,
        samesite="lax",
    )


def clear_session(response: Response) -> None:
    """Log the browser out."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")


def attempts_of(request: HTTPConnection) -> Attempts:
    """The application's counter of failed logins."""
    attempts = request.app.state.attempts
    assert isinstance(attempts, Attempts)
    return attempts


def address_of(request: HTTPConnection) -> str:
    """Where a request seems to come from: for counting and display, never for trust.

    The edge appends the address that it saw itself; what stands before it is the client's own claim.
    """
    forwarded = request.headers.get("x-forwarded-for", "").rsplit(",", 1)[-1].strip()
    return forwarded or (request.client.host if request.client else "local")
