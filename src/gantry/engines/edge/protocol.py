"""The edge: the proxy in front of everything. It is told the whole wanted configuration, never a change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


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
    """`source` and `destination` in path-to-regexp form as Vercel and Next.js write it: `/old/:slug*`."""

    source: str
    destination: str
    status: int = 308


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The request for `source` is passed on as `destination`; the visitor's URL stays."""

    source: str
    destination: str


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """Response headers added to paths that match `source`."""

    source: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Site:
    """The hosts of one environment, release or console, and where their requests go.

    Attributes:
        hosts: exact names, without port.
        backend: `None` serves the friendly page that nothing is live here yet, status 503.
        release: identity that the edge adds as `x-gantry-release`, so that anyone can ask who answered.
        stream_timeout_s: the longest life of one request, WebSocket or event stream; `None`: unbounded.
        title: what the friendly page calls this site.
    """

    hosts: tuple[str, ...]
    backend: str | None
    release: str = ""
    redirects: tuple[Redirect, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    headers: tuple[HeaderRule, ...] = ()
    request_timeout_s: float = 60.0
    stream_timeout_s: float | None = None
    title: str = ""
    noindex: bool = False


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
    """What the edge sees of one backend."""

    total: int
    healthy: int
    active_requests: int


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

    async def stop(self) -> None:
        """End it: drain, then terminate. An edge that does not run is ignored."""
        ...

    def digest(self, config: EdgeConfig) -> str:
        """The digest that `status().applied` has once `config` is in effect. Pure."""
        ...
