"""Requests of visitors, and answers of the product to them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cached_property

from gantry.cache import policy
from gantry.cache.policy import Headers
from gantry.cache.store import Key
from gantry.kernel.edge_names import BACKEND_HEADER

_BACKEND = BACKEND_HEADER.encode()
# Set by Envoy when it rewrites a path, never by a visitor.
_ASKED = b"x-envoy-original-path"
# Host and path with its query, before and after a rewrite: who asks for more wants to fill the memory, not to read a page.
_MAX_ADDRESS = 2_048


class UpstreamError(Exception):
    """The product could not be asked, or its answer was cut."""


@dataclass(frozen=True)
class Request:
    """A request of a visitor.

    Attributes:
        target: path and query.
    """

    method: str
    target: str
    host: str
    headers: Headers

    @cached_property
    def may_be_kept(self) -> bool:
        """Whether it may be answered with what others got, and its answer given to others."""
        key = self.key
        if len(key.host) + len(key.path) + len(key.asked) > _MAX_ADDRESS:
            return False
        return policy.may_ask(self.method, self.headers)

    @cached_property
    def key(self) -> Key:
        """Where its answer is kept."""
        backend = policy.first(self.headers, _BACKEND).decode("latin-1")
        asked = policy.first(self.headers, _ASKED).decode("latin-1").partition("?")[0]
        return Key(backend, self.host, self.target, asked)

    @property
    def size_bytes(self) -> int:
        """Memory that it takes: its headers, and again as they are sent on."""
        return 2 * sum(len(name) + len(value) for name, value in self.headers)

    @cached_property
    def choosing(self) -> Headers:
        """Its headers, as far as they choose between answers."""
        kept = [(name, value) for name, value in self.headers if name != b"accept-encoding"]
        return (*kept, (b"accept-encoding", policy.encoding(self.headers)))


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the product.

    Attributes:
        body: its parts, as they come; raises `UpstreamError` where it is cut.
    """

    status: int
    headers: Headers
    body: AsyncIterator[bytes]


# Asks the product with other headers than the visitor's; raises `UpstreamError`.
Upstream = Callable[[Request, Headers], AbstractAsyncContextManager[Answer]]
