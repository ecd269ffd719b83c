"""Everything that a platform touches, on one machine of glass."""

from dataclasses import dataclass

from gantry.app.engines import is_engine
from gantry.app.platform import Engines
from gantry.features.instances.ports import FIRST_PORT, LAST_PORT
from gantry.kernel.ids import IdSource
from tests.fakes.assets import FakeAssets
from tests.fakes.builders import FakeWorkshop
from tests.fakes.certificates import FakeAuthority
from tests.fakes.dns import FakeResolver
from tests.fakes.edge import FakeEdge
from tests.fakes.edge_cache import FakeEdgeCache
from tests.fakes.machine import Machine
from tests.fakes.postgres import FakeDatabaseServer
from tests.fakes.probes import FakeProber
from tests.fakes.redis import FakeRedis
from tests.fakes.runtime import FakeRuntime
from tests.fakes.secrets import FakeBox
from tests.fakes.sources import FakeSources


@dataclass(frozen=True, slots=True)
class FakePorts:
    """Ports of a machine, free or not."""

    machine: Machine

    def pick(self) -> int:
        """See `PortPicker.pick`."""
        return self.machine.chance.randrange(FIRST_PORT, LAST_PORT)


def fake_engines(machine: Machine, ids: IdSource) -> Engines:
    """Engines of `machine`. They hold nothing themselves: others of the same machine know the same."""
    databases = FakeDatabaseServer(machine)
    return Engines(
        runtime=FakeRuntime(machine),
        edge=FakeEdge(machine),
        system=databases,
        databases=databases,
        caches=FakeRedis(machine),
        assets=FakeAssets(machine),
        edge_cache=FakeEdgeCache(),
        workshop=FakeWorkshop(machine),
        sources=FakeSources(machine),
        authorities={"local": FakeAuthority(machine)},
        resolver=FakeResolver(machine),
        prober=FakeProber(machine.probe),
        box=FakeBox(),
        ports=FakePorts(machine),
        clock=machine.clock,
        ids=ids,
        is_engine=is_engine,
        keep_clock=lambda: None,
        free_share=lambda: machine.free_share,
    )
