"""Redis for projects that ask for it: one small server per environment."""

from dataclasses import dataclass, field
from typing import Protocol

from gantry.engines.runtime.protocol import Client


@dataclass(frozen=True, slots=True)
class CacheGrant:
    """A cache server of an environment.

    Attributes:
        name: unique, such as `smart-sign-production`.
        memory_bytes: the server evicts the least used keys above this.
    """

    name: str
    password: str = field(repr=False)
    memory_bytes: int = 64_000_000


class CacheServers(Protocol):
    """Starts Redis servers."""

    def check(self) -> None:
        """Refuse where this machine cannot run a server; starts nothing.

        Raises:
            UserError: `cache.no-program` no redis-server or valkey-server on this machine.
        """
        ...

    async def ensure(self, grant: CacheGrant) -> str:
        """Make sure that the server runs; return its `redis://` URL, the same one every time.

        Raises:
            UserError: `cache.no-program` no redis-server or valkey-server on this machine.
            TransientError: `cache.start-failed`.
        """
        ...

    def client(self, url: str) -> Client:
        """The program that talks to a cache at a terminal, and what it needs.

        Parameters:
            url: of the cache: one that was granted here, or one that a team set itself.

        Raises:
            UserError: `cache.bad-url`.
        """
        ...

    async def revive(self) -> None:
        """Start every server again that was granted and has ended, as it was granted last.

        Raises:
            TransientError: `cache.start-failed`.
        """
        ...

    async def drop(self, name: str) -> None:
        """Stop the server and delete its data. Unknown names are ignored."""
        ...

    async def stop(self) -> None:
        """Stop every server; data stays."""
        ...
