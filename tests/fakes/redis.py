"""Redis servers that hold nothing: they remember what was granted."""

import re
from typing import TYPE_CHECKING

from gantry.engines.redis.protocol import CacheGrant, CacheServers
from gantry.engines.runtime.protocol import Client
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import UserError
from tests.fakes.machine import REDIS, Machine

_FIRST_PORT = 15_500
_START_FAILED = "cache.start-failed"


class FakeRedis:
    """The Redis servers of a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def check(self) -> None:
        """See `CacheServers.check`."""
        if self.machine.faults.no_redis:
            raise UserError("cache.no-program", "this machine has no redis-server")

    async def ensure(self, grant: CacheGrant) -> str:
        """See `CacheServers.ensure`."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", grant.name):
            raise UserError("cache.bad-name", f"{grant.name!r} cannot be the name of a cache")
        self.check()
        machine = self.machine
        machine.may_refuse(_START_FAILED, "ensure")
        machine.caches[grant.name] = grant
        machine.serve(REDIS + grant.name)
        port = machine.redis_ports.setdefault(grant.name, _FIRST_PORT + len(machine.redis_ports))
        machine.may_lose_reply(_START_FAILED, "ensure")
        return f"redis://:{grant.password}@127.0.0.1:{port}/0"

    def client(self, url: str) -> Client:
        """See `CacheServers.client`."""
        if not url.startswith("redis"):
            raise UserError("cache.bad-url", "REDIS_URL is no address of a cache")
        return Client(("redis-cli",), {"URL": url})

    async def revive(self) -> None:
        """See `CacheServers.revive`."""
        for name in self.machine.caches:
            self.machine.serve(REDIS + name)

    async def drop(self, name: str) -> None:
        """See `CacheServers.drop`."""
        self.machine.stop(REDIS + name)
        self.machine.caches.pop(name, None)

    async def stop(self) -> None:
        """See `CacheServers.stop`."""
        for name in self.machine.caches:
            self.machine.stop(REDIS + name)


if TYPE_CHECKING:
    _guard: CacheServers = FakeRedis(Machine(ManualClock()))
