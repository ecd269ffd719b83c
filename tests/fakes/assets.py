"""An asset store that serves nothing: it remembers what was published."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.engines.assets.names import check_name, check_prefix
from gantry.engines.assets.protocol import AssetServer, AssetStatus
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import TransientError
from tests.fakes.machine import ASSETS, Machine

_SOCKET = Path("/nowhere/assets.sock")
_STORE_FAILED = "assets.store-failed"


class FakeAssets:
    """The asset store of a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine.sockets[str(_SOCKET)] = ASSETS

    @property
    def socket(self) -> Path:
        """See `AssetServer.socket`."""
        return _SOCKET

    async def start(self) -> None:
        """See `AssetServer.start`."""
        self.machine.may_refuse("assets.start-failed", "start")
        self.machine.serve(ASSETS)

    async def revive(self) -> None:
        """See `AssetServer.revive`."""
        if ASSETS in self.machine.processes:
            self.machine.serve(ASSETS)

    async def publish(self, build: str, root: Path, prefixes: Mapping[str, str]) -> None:
        """See `AssetServer.publish`."""
        check_name(build)
        for prefix, directory in prefixes.items():
            check_prefix(prefix, directory)
        if self.machine.faults.assets_full and build not in self.machine.published:
            raise TransientError(_STORE_FAILED, "no space left on device (simulated)")
        self.machine.published.add(build)
        self.machine.may_lose_reply(_STORE_FAILED, "publish")

    async def arrange(self, scope: str, builds: Sequence[str]) -> None:
        """See `AssetServer.arrange`."""
        check_name(scope)
        known = self.machine.published
        wanted = tuple(dict.fromkeys(build for build in builds if build in known))
        if wanted:
            self.machine.scopes[scope] = wanted
        else:
            self.machine.scopes.pop(scope, None)
        self.machine.may_lose_reply(_STORE_FAILED, "arrange")

    async def retain(self, builds: Collection[str]) -> None:
        """See `AssetServer.retain`."""
        self.machine.published &= set(builds)
        for scope, before in tuple(self.machine.scopes.items()):
            await self.arrange(scope, before)

    async def status(self) -> AssetStatus:
        """See `AssetServer.status`."""
        return AssetStatus(
            running=self.machine.is_running(ASSETS),
            builds=frozenset(self.machine.published),
            scopes=dict(self.machine.scopes),
        )

    async def stop(self) -> None:
        """See `AssetServer.stop`."""
        self.machine.stop(ASSETS)
        self.machine.processes.pop(ASSETS, None)


if TYPE_CHECKING:
    _guard: AssetServer = FakeAssets(Machine(ManualClock()))
