"""Names that the edge and its cache write for each other: headers, and backends that stand for several.

Here because the cache is a process that knows no engine, and the edge must not know the cache.
"""

# Set by the edge on each request to the cache, never by a visitor: the backend that the request is for.
BACKEND_HEADER = "x-gantry-backend"
# Set by the edge during a mirror, never by a visitor: the backend that gets copies of what the cache asks for. The
# product sees it: Envoy looks at it after everything that could take it out.
COPIES_HEADER = "x-gantry-copies"
# Set by the cache on each answer: `hit`, `stale`, `miss` or `bypass`.
RESULT_HEADER = "x-gantry-cache"
# In the same header, to the edge: there is no answer here; ask an instance, as if the cache were away.
AWAY = "away"
# On answers that the edge gives by itself: the code of the reason, such as `edge.too-slow`. A product may write what it
# likes there; where `x-gantry-release` says `edge`, it is the edge's.
REASON_HEADER = "x-gantry-reason"

_OR_ELSE = "+"
_BRIDGE = "^"


def or_else(first: str, second: str) -> str:
    """Name of the backend that tries one, and then the other."""
    return f"{first}{_OR_ELSE}{second}"


def members(backend: str) -> tuple[str, ...]:
    """The backends that a backend tries, in their order; of one that is not joined, itself."""
    return tuple(backend.split(_OR_ELSE))


def bridge(backend: str) -> str:
    """Name of the backend that waits for a connection to an instance of another, for as long as a restart takes."""
    return f"{backend}{_BRIDGE}"


def bridged(backend: str) -> str:
    """The backend that a bridge leads to; empty where it is no bridge."""
    return backend.removesuffix(_BRIDGE) if backend.endswith(_BRIDGE) else ""


def asked(backend: str) -> tuple[str, ...]:
    """The backends whose instances may answer for a backend, each once."""
    return tuple(dict.fromkeys(bridged(name) or name for name in members(backend)))


def is_joined(backend: str) -> bool:
    """Whether it is several backends."""
    return _OR_ELSE in backend
