"""The edge: the fake and real Envoy keep the same promises."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest

from gantry.engines.edge.protocol import Backend, Certificate, Edge, EdgeConfig, EdgeStatus, Site
from gantry.engines.runtime.protocol import ProcessSpec
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import PermanentError, TransientError
from tests.fakes.edge import FakeEdge
from tests.fakes.machine import Machine
from tests.support.edge import DEADLINE_S, Instance, backend, config, lab
from tests.support.upstream import serve


@dataclass(slots=True)
class Stage:
    """An edge, a certificate for it, and two instances that answer."""

    edge: Edge
    certificate: Certificate
    one: Instance
    two: Instance

    def config(self, live: str | None, *backends: Backend) -> EdgeConfig:
        return config(live, *backends, certificates=(self.certificate,))

    async def until_healthy(self, name: str) -> EdgeStatus:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                status = await self.edge.status()
                seen = status.backends.get(name)
                if seen is not None and seen.healthy == seen.total:
                    return status
                await asyncio.sleep(0.01)


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=pytest.mark.real)])
async def envoy(request: pytest.FixtureRequest) -> AsyncIterator[Stage | None]:
    """The real edge, for all tests; each has a fake of its own."""
    if request.param == "fake":
        yield None
        return
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(lab())
        servers = [await stack.enter_async_context(await serve(n, 0)) for n in ("one", "two")]
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        certificate = await made.certificate("a.localhost")
        yield Stage(made.edge, certificate, Instance("one", ports[0]), Instance("two", ports[1]))


@pytest.fixture
def stage(envoy: Stage | None) -> Stage:
    if envoy is not None:
        return envoy
    machine = Machine(ManualClock())
    for name, port in (("one", 1), ("two", 2)):
        machine.spawn(ProcessSpec(name, ("serve",), {"PORT": str(port)}, "/"))
    machine.pass_time(1.0)
    certificate = Certificate("local", ("a.localhost",), "chain", "key")
    return Stage(FakeEdge(machine), certificate, Instance("one", 1), Instance("two", 2))


async def test_it_runs_between_start_and_stop(stage: Stage) -> None:
    await stage.edge.stop()
    assert await stage.edge.status() == EdgeStatus(running=False)
    with pytest.raises(TransientError) as caught:
        await stage.edge.apply(EdgeConfig())
    assert caught.value.code == "edge.unreachable"
    await stage.edge.start()
    await stage.edge.start()
    assert (await stage.edge.status()).running
    await stage.edge.stop()
    await stage.edge.stop()
    assert not (await stage.edge.status()).running


async def test_what_was_applied_is_known_by_its_digest(stage: Stage) -> None:
    await stage.edge.start()
    for wanted in (
        EdgeConfig(),
        stage.config("r-1", backend("r-1", stage.one)),
        stage.config("r-1", backend("r-1", stage.one), backend("r-2", stage.two)),
        stage.config("r-2", backend("r-2", stage.two)),
        stage.config(None),
        EdgeConfig(acme_challenges={"token": "answer"}),
    ):
        applied = await stage.edge.apply(wanted)
        assert applied == stage.edge.digest(wanted)
        assert await stage.edge.apply(wanted) == applied
        status = await stage.edge.status()
        assert status.applied == applied
        assert status.backends.keys() == {one.name for one in wanted.backends}


async def test_a_different_configuration_has_a_different_digest(stage: Stage) -> None:
    site = Site(("a.localhost",), None)
    wanted = EdgeConfig(sites=(site,))
    assert stage.edge.digest(wanted) == stage.edge.digest(EdgeConfig(sites=(site,)))
    other = EdgeConfig(sites=(replace(site, title="Shop"),))
    assert stage.edge.digest(wanted) != stage.edge.digest(other)


async def test_instances_are_seen(stage: Stage) -> None:
    await stage.edge.start()
    await stage.edge.apply(stage.config("r-1", backend("r-1", stage.one, stage.two)))
    seen = (await stage.until_healthy("r-1")).backends["r-1"]
    assert (seen.total, seen.healthy, seen.active_requests) == (2, 2, 0)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (config("r-9"), "a.localhost is sent to r-9, which is no backend"),
        (
            EdgeConfig((Site(("a.localhost",), None), Site(("b.localhost", "a.localhost"), None))),
            "host a.localhost is there twice",
        ),
        (config(None, Backend("r-1", ()), Backend("r-1", ())), "backend r-1 is there twice"),
        (EdgeConfig((Site((), None),)), "a site has no host"),
        (
            EdgeConfig(certificates=(Certificate("../a", ("a.localhost",), "", ""),)),
            "'../a' cannot be the name of a certificate",
        ),
    ],
)
async def test_a_refused_configuration_leaves_the_old_one(
    stage: Stage, broken: EdgeConfig, words: str
) -> None:
    await stage.edge.start()
    good = stage.config("r-1", backend("r-1", stage.one))
    applied = await stage.edge.apply(good)
    with pytest.raises(PermanentError) as caught:
        await stage.edge.apply(broken)
    assert caught.value.code == "edge.rejected"
    assert words in caught.value.message
    status = await stage.edge.status()
    assert status.applied == applied
    assert status.rejected == words
    await stage.edge.apply(good)
    assert (await stage.edge.status()).rejected == ""


async def test_it_comes_back_with_what_it_was_told(stage: Stage) -> None:
    await stage.edge.start()
    applied = await stage.edge.apply(stage.config("r-1", backend("r-1", stage.one)))
    await stage.edge.stop()
    await stage.edge.start()
    assert (await stage.until_healthy("r-1")).applied == applied
