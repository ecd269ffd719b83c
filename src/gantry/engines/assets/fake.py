"""An asset store in memory, for tests and the simulation."""

import random
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.engines.assets.names import check_name, check_prefix
from gantry.engines.assets.protocol import AssetServer, AssetStatus
from gantry.kernel.errors import TransientError


class FakeAssets:
    """Remembers what was published.

    Parameters:
        lose_reply: chance that a build is published and the reply is lost.

    Attributes:
        full: the disk has no room for another build.
    """

    def __init__(self, rng: random.Random | None = None, *, lose_reply: float = 0.0) -> None:
        self._rng = rng or random.Random(0)
        self._lose_reply = lose_reply
        self.full = False
        self._running = False
        self._started = False
        self._builds: set[str] = set()
        self._scopes: dict[str, tuple[str, ...]] = {}

    @property
    def socket(self) -> Path:
        """See `AssetServer.socket`."""
        return Path("/nowhere/assets.sock")

    async def start(self) -> None:
        """See `AssetServer.start`."""
        self._running = self._started = True

    async def revive(self) -> None:
        """See `AssetServer.revive`."""
        self._running = self._started

    async def publish(self, build: str, root: Path, prefixes: Mapping[str, str]) -> None:
        """See `AssetServer.publish`."""
        check_name(build)
        for prefix, folder in prefixes.items():
            check_prefix(prefix, folder)
        if self.full and build not in self._builds:
            raise TransientError("assets.store-failed", "no space left on device (simulated)")
        self._builds.add(build)
        if self._rng.random() < self._lose_reply:
            raise TransientError("assets.store-failed", "the reply was lost (simulated)")

    async def arrange(self, scope: str, builds: Sequence[str]) -> None:
        """See `AssetServer.arrange`."""
        check_name(scope)
        wanted = tuple(dict.fromkeys(build for build in builds if build in self._builds))
        if wanted:
            self._scopes[scope] = wanted
        else:
            self._scopes.pop(scope, None)

    async def retain(self, builds: Collection[str]) -> None:
        """See `AssetServer.retain`."""
        self._builds &= set(builds)
        for scope, before in tuple(self._scopes.items()):
            await self.arrange(scope, before)

    async def status(self) -> AssetStatus:
        """See `AssetServer.status`."""
        return AssetStatus(
            running=self._running, builds=frozenset(self._builds), scopes=dict(self._scopes)
        )

    async def stop(self) -> None:
        """See `AssetServer.stop`."""
        self._running = self._started = False

    def crash(self) -> None:
        """The server dies."""
        self._running = False


if TYPE_CHECKING:
    _guard: AssetServer = FakeAssets()
