"""Cache servers in memory, for tests and the simulation."""

import random
import re
from typing import TYPE_CHECKING

from gantry.engines.redis.protocol import CacheGrant, CacheServers
from gantry.kernel.errors import TransientError, UserError

_FIRST_PORT = 20_000


class FakeCaches:
    """Remembers grants.

    Parameters:
        lose_reply: chance that a grant happens and its reply is lost.
    """

    def __init__(self, rng: random.Random | None = None, *, lose_reply: float = 0.0) -> None:
        self._rng = rng or random.Random(0)
        self._lose_reply = lose_reply
        self._ports: dict[str, int] = {}
        self.grants: dict[str, CacheGrant] = {}
        self.running: set[str] = set()

    async def ensure(self, grant: CacheGrant) -> str:
        """See `CacheServers.ensure`."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", grant.name):
            raise UserError("cache.bad-name", f"{grant.name!r} cannot be the name of a cache")
        port = self._ports.setdefault(grant.name, _FIRST_PORT + len(self._ports))
        self.grants[grant.name] = grant
        self.running.add(grant.name)
        if self._rng.random() < self._lose_reply:
            raise TransientError("cache.start-failed", "the reply was lost (simulated)")
        return f"redis://:{grant.password}@127.0.0.1:{port}/0"

    async def revive(self) -> None:
        """See `CacheServers.revive`."""
        self.running |= set(self.grants)

    async def drop(self, name: str) -> None:
        """See `CacheServers.drop`."""
        self.grants.pop(name, None)
        self.running.discard(name)

    async def stop(self) -> None:
        """See `CacheServers.stop`."""
        self.running.clear()

    def crash(self, name: str) -> None:
        """The server dies."""
        self.running.discard(name)


if TYPE_CHECKING:
    _guard: CacheServers = FakeCaches()
