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

_OR_ELSE = "+"


def or_else(first: str, second: str) -> str:
    """Name of the backend that tries one, and then the other."""
    return f"{first}{_OR_ELSE}{second}"


def members(backend: str) -> tuple[str, ...]:
    """The backends that a backend tries, in their order; of one that is not joined, itself."""
    return tuple(backend.split(_OR_ELSE))


def is_joined(backend: str) -> bool:
    """Whether it is several backends."""
    return _OR_ELSE in backend
