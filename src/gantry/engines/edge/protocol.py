"""The edge: the proxy in front of everything. It is told the whole wanted configuration, never a change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Protocol

# Names of the backends that are the asset store and the cache.
ASSETS = "assets"
CACHE = "cache"
# Of a closed site, in characters. Envoy answers by itself with at most 4096 bytes, the page around the texts included.
MAX_TITLE = 60
MAX_MESSAGE = 280


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an instance listens: `host:port`, or a unix socket when `socket` is set."""

    host: str = "127.0.0.1"
    port: int = 0
    socket: str = ""


@dataclass(frozen=True, slots=True)
class Backend:
    """A group of equal instances of one release.

    Attributes:
        name: unique; a release's backend never changes its name, and no other release uses it.
        health_path: asked of each endpoint every second; empty: a TCP connection is enough.
        idle_timeout_s: how long an unused connection is kept; must be below the product's own keep-alive.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    health_path: str = ""
    health_host: str = ""
    idle_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Redirect:
    """`source` and `destination` in path-to-regexp form as Vercel and Next.js write it: `/old/:slug*`.

    A query of the destination is joined with the visitor's: its own parameters first, and of two with one name its own.

    Attributes:
        host: the rule is for visitors of this name only; empty: of every name of the site.
    """

    source: str
    destination: str
    status: int = 308
    host: str = ""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The request for `source` is passed on as `destination`; the visitor's URL stays. Queries and `host` as in redirects."""

    source: str
    destination: str
    host: str = ""


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """Response headers added to paths that match `source`."""

    source: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the edge waits. By what comes back, never by what a request says of itself.

    Attributes:
        response_s: after the whole request, until the answer begins.
        idle_s: silence of an answer that has begun, or of an upload. A reader who is slow is not silent. A WebSocket may be
            silent for an hour at least.
    """

    response_s: float = 300.0
    idle_s: float = 300.0


@dataclass(frozen=True, slots=True)
class PathTimeouts:
    """Others for the paths that match `source`."""

    source: str
    timeouts: Timeouts


@dataclass(frozen=True, slots=True)
class Limit:
    """How often each visitor may ask for the paths that match `source`.

    Attributes:
        requests, period_s: so many in so long, in the mean.
        burst: so many at once.
        per: `address`, an IPv4 address or a /64 of IPv6; `cookie` or `header`: its value, and the address where there is
            none.
        name: of the cookie or header.
        status: of the refusal, 429 or 503.
    """

    source: str
    requests: int
    period_s: float
    burst: int
    per: str = "address"
    name: str = ""
    status: int = 429


@dataclass(frozen=True, slots=True)
class Rules:
    """What the edge itself does with requests for some paths; each is said at `Site`."""

    redirects: tuple[Redirect, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    headers: tuple[HeaderRule, ...] = ()
    cached: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    path_timeouts: tuple[PathTimeouts, ...] = ()


@dataclass(frozen=True, slots=True)
class Canary:
    """Visitors are divided between a site's backend and a candidate, and each keeps the one that they got.

    A visitor draws one of `buckets` and carries it in a signed cookie; the buckets below the share belong to the
    candidate. So a rising share moves visitors in one direction only, and nobody can choose.

    Attributes:
        name: of the rollout; a cookie of another one is drawn anew.
        candidate: a backend.
        percent: share of the candidate, a multiple of 100 / `buckets`.
        buckets: divides 100; few of them keep the configuration small.
        key: signs the cookie.
        rules: for the candidate's visitors, in place of the site's; `None`: they have the same.
    """

    name: str
    candidate: str
    percent: int
    key: bytes = field(repr=False)
    buckets: int = 100
    rules: Rules | None = None


@dataclass(frozen=True, slots=True)
class Pin:
    """Requests of pages that were loaded from an older build: what they ask for is answered by its release.

    Attributes:
        deployment: what `x-deployment-id`, or `dpl` in the query, says.
        assets: whose files the asset store should give for such a page; empty: those of the site.
    """

    deployment: str
    backend: str
    assets: str = ""


@dataclass(frozen=True, slots=True)
class Assets:
    """Files that the asset store serves; an instance is asked for what the store does not have, or when it is away.

    Attributes:
        whose: which of its files the store should look among.
        prefixes: paths that they lie below, such as `/_next/static`.
    """

    whose: str
    prefixes: tuple[str, ...]


def network_of(text: str) -> IPv4Network | IPv6Network:
    """A network that visitors may come from: `203.0.113.0/24`, or an address alone.

    Raises:
        ValueError: it is none, or names a network card of this machine (`fe80::1%eth0`).
    """
    if "%" in text:
        raise ValueError(f"{text!r} names a network card")
    return ip_network(text)


@dataclass(frozen=True, slots=True)
class Closed:
    """Visitors of a site get a page in place of the product, status 503; some are let through.

    Attributes:
        title: heading of the page.
        message: its sentence; at most `MAX_MESSAGE` characters.
        allowed: networks such as `203.0.113.7/32`, whose visitors get the product. What counts is the address that the
            edge itself sees, never what a request says of where it comes from.
    """

    title: str
    message: str
    allowed: tuple[str, ...] = ()

    def lets_in(self, address: str) -> bool:
        """Whether a visitor from this IP address gets the product."""
        return any(ip_address(address) in network_of(network) for network in self.allowed)


@dataclass(frozen=True, slots=True)
class Site:
    """The hosts of one environment, release or console, and where their requests go.

    Attributes:
        hosts: exact names, without port.
        backend: `None` serves the friendly page that nothing is live here yet, status 503.
        release: identity that the edge adds as `x-gantry-release` to its own redirects. Other answers have that of
            the instance that gave them, so that anyone can ask who answered.
        timeouts: how long the edge waits for an instance, or a visitor.
        path_timeouts: of the first that matches, instead.
        title: what the friendly page calls this site.
        mirror: backend that gets copies of GET and HEAD requests; its answers are thrown away.
        pins: releases that answer for pages of their own; documents always get the present release.
        assets: files that need no instance; their backend is `ASSETS`.
        cached: paths, in the form of redirects, whose answers `CACHE` may have.
        apart: what is asked here is not among the numbers of the backend: they are to compare visitors' requests.
        limits: at most `MAX_LIMITS` of `config/routes.py`; a request counts for each whose path it is.
        closed: who gets a page in place of all of this. The page names `release` as what is behind it. Requests that have
            begun end where they began.
    """

    hosts: tuple[str, ...]
    backend: str | None
    release: str = ""
    redirects: tuple[Redirect, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    headers: tuple[HeaderRule, ...] = ()
    timeouts: Timeouts = Timeouts()
    path_timeouts: tuple[PathTimeouts, ...] = ()
    title: str = ""
    noindex: bool = False
    canary: Canary | None = None
    mirror: str | None = None
    pins: tuple[Pin, ...] = ()
    assets: Assets | None = None
    cached: tuple[str, ...] = ()
    apart: bool = False
    limits: tuple[Limit, ...] = ()
    closed: Closed | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate chain and its key, PEM.

    Attributes:
        name: unique and file-name safe.
        hosts: names it covers; the first certificate of a configuration also answers unknown names.
    """

    name: str
    hosts: tuple[str, ...]
    chain_pem: str
    key_pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """Everything the edge should do.

    Attributes:
        acme_challenges: token -> key authorization, answered on port 80 below `/.well-known/acme-challenge/`.
    """

    sites: tuple[Site, ...] = ()
    backends: tuple[Backend, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    acme_challenges: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """What the edge sees of one backend.

    Attributes:
        requests: that went to its instances since the edge began.
    """

    total: int
    healthy: int
    active_requests: int
    requests: int = 0


# Upper bounds of the buckets of response times, ms; a quantile is known as well as its bucket is narrow.
TIMES_MS = (
    1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 75.0, 100.0, 125.0, 150.0, 200.0, 250.0, 300.0,
    400.0, 500.0, 750.0, 1000.0, 1500.0, 2000.0, 3000.0, 5000.0, 7500.0, 10000.0, 20000.0, 60000.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BackendNumbers:
    """Counters of one backend since the edge began. Attempts are counted: a request that was tried twice is two.

    Attributes:
        requests: attempts that have ended.
        errors: those that were answered with a status of 500 or above, or cut.
        unanswered: those that found nobody to connect to.
        retries: attempts that were made because one before had failed.
        ejections: how often an instance was left out for its failures.
        active: attempts that have no complete answer yet; a level, not a counter.
        within_ms: upper bound in ms -> attempts whose answer was complete within it.
    """

    requests: int = 0
    errors: int = 0
    unanswered: int = 0
    retries: int = 0
    ejections: int = 0
    active: int = 0
    within_ms: Mapping[float, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FailedRequest:
    """A request that an instance failed.

    Attributes:
        at: when it began, ISO 8601.
        path: without the query.
        status: what the visitor got; 0 when they went away without an answer.
        flags: Envoy's own words for what happened, such as `UC`: the instance cut the connection.
    """

    at: str
    method: str
    path: str
    status: int
    flags: str
    duration_ms: int
    request_id: str


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A request as the access log has it.

    Attributes:
        at: when it began.
        host: name that was asked for, in small letters and without a port.
        path: without the query, which may hold what only the visitor should know.
        status: what the visitor got; 0 when they went away without an answer.
        flags, details: Envoy's own words for what happened, such as `UC` and `upstream_reset_before_response_started`.
        reason: code of the reason where the edge answered by itself, such as `edge.limited`; else empty.
        release: that answered, or was asked; empty where none was.
        cache: what the edge's cache did: `hit`, `miss`; empty where it was not asked.
        attempts: how often an instance was asked.
    """

    at: datetime
    host: str
    method: str
    path: str
    status: int
    flags: str
    details: str
    duration_ms: int
    size_bytes: int
    release: str
    cache: str
    attempts: int
    request_id: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AccessLog:
    """A part of the access log.

    Attributes:
        requests: in the order of their beginning.
        cursor: where to read on.
    """

    requests: tuple[LoggedRequest, ...]
    cursor: str


@dataclass(frozen=True, slots=True)
class EdgeStatus:
    """What the edge does now.

    Attributes:
        running: it answers its admin interface.
        applied: digest of the configuration that it acknowledged; empty before the first.
        rejected: its own words about a configuration that it refused; empty when it took the last.
    """

    running: bool
    applied: str = ""
    rejected: str = ""
    backends: Mapping[str, BackendStatus] = field(default_factory=dict)


class Edge(Protocol):
    """The proxy. Survives the control plane and keeps serving what it was last told."""

    async def start(self) -> None:
        """Make sure that it runs; returns when it answers. An edge that runs already is adopted.

        Raises:
            UserError: `edge.port-taken` with the program that holds the port, when it can be found.
            TransientError: `edge.start-failed` with the last lines of its log.
        """
        ...

    async def apply(self, config: EdgeConfig) -> str:
        """Bring `config` into effect and return its digest once the edge has acknowledged every part of it.

        Order inside: new backends first, then certificates, then routes in one atomic rename, then backends that
        nothing refers to any more are removed. A request that has begun ends where it began.

        Raises:
            PermanentError: `edge.rejected` the edge refused the configuration; the old one stays in effect.
            TransientError: `edge.unreachable` no acknowledgement in time.
        """
        ...

    async def status(self) -> EdgeStatus:
        """What it does now. Never raises: an edge that does not answer is `running=False`."""
        ...

    async def numbers(self) -> Mapping[str, BackendNumbers]:
        """Backend -> what became of its requests. Never touches the way of a request.

        Raises:
            TransientError: `edge.unreachable`.
        """
        ...

    async def failures(self, backend: str, *, most: int) -> tuple[FailedRequest, ...]:
        """The last failed requests of `backend` that the access log has, the newest last. It is written once a second.

        Raises:
            TransientError: the log cannot be read.
        """
        ...

    async def requests(self, cursor: str = "") -> AccessLog:
        """What the access log has since `cursor`; without one its last 16 MB, which are some 40,000 requests. It is written
        once a second, a request when it has ended.

        Raises:
            TransientError: the log cannot be read.
        """
        ...

    async def limited(self) -> Mapping[str, Mapping[int, int]]:
        """Release -> number of a limit in its site's order -> requests that it refused since the edge began. Never raises: an
        edge that does not answer has none.
        """
        ...

    async def stop(self) -> None:
        """End it: drain, then terminate. An edge that does not run is ignored."""
        ...

    def digest(self, config: EdgeConfig) -> str:
        """The digest that `status().applied` has once `config` is in effect. Pure."""
        ...
