"""Redis servers that hold nothing: they remember what was granted."""

import re
from typing import TYPE_CHECKING

from gantry.engines.redis.protocol import CacheGrant, CacheServers
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import UserError
from tests.fakes.machine import Machine

_FIRST_PORT = 15_500
_START_FAILED = "cache.start-failed"


class FakeRedis:
    """The Redis servers of a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    async def ensure(self, grant: CacheGrant) -> str:
        """See `CacheServers.ensure`."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", grant.name):
            raise UserError("cache.bad-name", f"{grant.name!r} cannot be the name of a cache")
        machine = self.machine
        machine.may_refuse(_START_FAILED, "ensure")
        machine.caches[grant.name] = grant
        machine.daemons[f"redis-{grant.name}"].start()
        servers = [name for name in machine.daemons if name.startswith("redis-")]
        port = _FIRST_PORT + servers.index(f"redis-{grant.name}")
        machine.may_lose_reply(_START_FAILED, "ensure")
        return f"redis://:{grant.password}@127.0.0.1:{port}/0"

    async def revive(self) -> None:
        """See `CacheServers.revive`."""
        for name in self.machine.caches:
            self.machine.daemons[f"redis-{name}"].revive()

    async def drop(self, name: str) -> None:
        """See `CacheServers.drop`."""
        if self.machine.caches.pop(name, None) is not None:
            self.machine.daemons[f"redis-{name}"].runs = False

    async def stop(self) -> None:
        """See `CacheServers.stop`."""
        for name in self.machine.caches:
            self.machine.daemons[f"redis-{name}"].runs = False


if TYPE_CHECKING:
    _guard: CacheServers = FakeRedis(Machine(ManualClock()))
