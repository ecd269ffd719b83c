"""Asks instances whether they are healthy: often while they start, seldom afterwards."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gantry.config.manifest import Manifest
from gantry.engines.probes.protocol import Prober, ProbeResult
from gantry.engines.runtime.protocol import Listener
from gantry.features.instances.doubts import bad_status, no_answer
from gantry.features.instances.model import Health
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment
from gantry.kernel.clock import Clock

STARTING_INTERVAL_S = 0.1
LIVE_INTERVAL_S = 5.0
# A live instance that failed is asked sooner, but not so often that a short pause looks like a hang.
DOUBTFUL_INTERVAL_S = 2.0
# One that starts and gives no answer is looked at after this many probes, and again: where does it listen?
LOOK_EVERY_PROBES = 10


@dataclass(frozen=True, slots=True)
class Target:
    """An instance to probe.

    Attributes:
        path: what to ask; an empty one means that any answer will do.
        settled: it is known to be healthy.
    """

    instance: str
    port: int
    path: str
    host: str
    timeout_s: float
    settled: bool


class HealthCheck:
    """Probes targets and notes the answers.

    Parameters:
        listeners: tells where the processes of an instance listen.
        health: instance -> what its last probes said; shared with those who decide by it.
    """

    def __init__(
        self,
        prober: Prober,
        listeners: Callable[[str], Awaitable[tuple[Listener, ...]]],
        health: dict[str, Health],
        clock: Clock,
    ) -> None:
        self._prober = prober
        self._listeners = listeners
        self._health = health
        self._clock = clock
        self._next_s: dict[str, float] = {}
        self._found: dict[str, tuple[Listener, ...]] = {}

    async def probe_due(self, targets: tuple[Target, ...]) -> bool:
        """Probe every target whose time has come; whether any answer differs from the one before."""
        now_s = self._clock.monotonic_s()
        due = [target for target in targets if now_s >= self._next_s.get(target.instance, 0.0)]
        self._next_s = {
            target.instance: self._next_s.get(target.instance, 0.0) for target in targets
        }
        self._found = {key: value for key, value in self._found.items() if key in self._next_s}
        for target in due:
            self._next_s[target.instance] = now_s + self._interval_s(target)
        changes = await asyncio.gather(*(self._probe(target) for target in due))
        return any(changes)

    def next_due_s(self) -> float:
        """Seconds until the next probe is due."""
        if not self._next_s:
            return LIVE_INTERVAL_S
        return max(0.0, min(self._next_s.values()) - self._clock.monotonic_s())

    def _interval_s(self, target: Target) -> float:
        if not target.settled:
            return STARTING_INTERVAL_S
        known = self._health.get(target.instance)
        return LIVE_INTERVAL_S if known is None or known.healthy else DOUBTFUL_INTERVAL_S

    async def _probe(self, target: Target) -> bool:
        result = await self._prober.get(
            f"http://127.0.0.1:{target.port}{target.path or '/'}",
            host=target.host,
            timeout_s=target.timeout_s,
        )
        well = 200 <= result.status < 400 if target.path else result.status > 0
        before = self._health.get(target.instance)
        if well:
            self._found.pop(target.instance, None)
            self._health[target.instance] = Health(healthy=True)
            return before is None or not before.healthy
        failures = before.failures + 1 if before is not None else 1
        message = await self._message(target, result, failures)
        self._health[target.instance] = Health(healthy=False, failures=failures, message=message)
        return before is None or before.healthy or before.message != message or failures % 5 == 0

    async def _message(self, target: Target, result: ProbeResult, failures: int) -> str:
        path = target.path or "/"
        if result.status:
            return bad_status(path, result.status, target.host)
        if not target.settled and failures % LOOK_EVERY_PROBES == 0:
            self._found[target.instance] = await self._listeners(target.instance)
        found = (
            None
            if target.settled or failures < LOOK_EVERY_PROBES
            else self._found.get(target.instance)
        )
        return no_answer(path, result.error, target.port, found)


def health_host(host_names: HostNames, environment: Environment, manifest: Manifest) -> str:
    """The host that probes of an environment's web instances ask for: what its visitors ask for, unless the manifest says
    otherwise.
    """
    asked = manifest.web.health.host if manifest.web is not None else None
    return asked or host_names.public_host(environment, manifest.domains)
