"""What probes note of instances: which host is asked, and where one listens that does not answer."""

from collections.abc import Mapping

from gantry.config.load import load_manifest
from gantry.engines.probes.protocol import ProbeResult
from gantry.engines.runtime.protocol import Listener
from gantry.features.instances.health import (
    LOOK_EVERY_PROBES,
    STARTING_INTERVAL_S,
    HealthCheck,
    Target,
    health_host,
)
from gantry.features.instances.model import Health
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment
from gantry.kernel.clock import ManualClock
from tests.support.stories import T0


class Answering:
    """Answers every probe in the same way, and listens elsewhere."""

    def __init__(self, status: int = 0, error: str = "refused") -> None:
        self.result = ProbeResult(status, 0.001, "" if status else error)
        self.asked: list[tuple[str, str]] = []
        self.looks = 0

    async def get(
        self,
        url: str,
        *,
        host: str = "",
        timeout_s: float = 5.0,
        headers: Mapping[str, str] | None = None,
    ) -> ProbeResult:
        self.asked.append((url, host))
        return self.result

    async def listeners(self, process_id: str) -> tuple[Listener, ...]:
        self.looks += 1
        return (Listener("127.0.0.1", 3099),)


def target(*, settled: bool = False) -> Target:
    return Target("i-1", 22771, "/up", "shop.example", 3.0, settled)


async def probed(product: Answering, times: int, *, settled: bool = False) -> Health:
    clock, health = ManualClock(), dict[str, Health]()
    check = HealthCheck(product, product.listeners, health, clock)
    for _ in range(times):
        await check.probe_due((target(settled=settled),))
        clock.advance(max(STARTING_INTERVAL_S, check.next_due_s()))
    return health["i-1"]


async def test_one_that_does_not_answer_for_a_second_is_looked_at() -> None:
    product = Answering()
    assert (await probed(product, LOOK_EVERY_PROBES - 1)).message == "/up: refused"
    assert product.looks == 0
    found = await probed(product, LOOK_EVERY_PROBES)
    assert found.message == "it listens on 127.0.0.1:3099, not on $PORT (22771)"
    assert (found.healthy, found.failures, product.looks) == (False, LOOK_EVERY_PROBES, 1)
    later = await probed(product, 2 * LOOK_EVERY_PROBES + 1)
    assert (later.message, product.looks) == (found.message, 3)


async def test_one_that_was_healthy_is_not_looked_at() -> None:
    product = Answering()
    assert (await probed(product, LOOK_EVERY_PROBES, settled=True)).message == "/up: refused"
    assert product.looks == 0


async def test_a_bad_answer_is_told_from_the_first_probe_on_with_the_host_that_was_asked() -> None:
    product = Answering(400)
    assert (await probed(product, 1)).message == (
        "/up: status 400, asked for the host shop.example: "
        "set health.path and health.host of processes.web in gantry.toml"
    )
    assert product.asked == [("http://127.0.0.1:22771/up", "shop.example")]
    assert await probed(Answering(302), 1) == Health(healthy=True)


def test_the_host_is_that_of_visitors_unless_the_manifest_says_otherwise() -> None:
    names = HostNames("localhost", 443)
    environment = Environment("env-1", "shop", "production", None, 0, T0)
    manifest = '[project]\nname = "shop"\n[environments.production]\n'
    for more, host in (
        ("", "shop.localhost"),
        ('domains = ["shop.example", "www.shop.example"]\n', "shop.example"),
        (
            'domains = ["shop.example"]\n[processes.web.health]\nhost = "Other_host.test"\n',
            "Other_host.test",
        ),
    ):
        found = load_manifest(manifest + more, where="gantry.toml").for_environment("production")
        assert health_host(names, environment, found) == host
