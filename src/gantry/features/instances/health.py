"""Asks instances whether they are healthy: often while they start, seldom afterwards."""

import asyncio
from dataclasses import dataclass

from gantry.engines.probes.protocol import Prober
from gantry.features.instances.model import Health
from gantry.kernel.clock import Clock

STARTING_INTERVAL_S = 0.1
LIVE_INTERVAL_S = 5.0
# A live instance that failed is asked sooner, but not so often that a short pause looks like a hang.
DOUBTFUL_INTERVAL_S = 2.0


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
        health: instance -> what its last probes said; shared with those who decide by it.
    """

    def __init__(self, prober: Prober, health: dict[str, Health], clock: Clock) -> None:
        self._prober = prober
        self._health = health
        self._clock = clock
        self._next_s: dict[str, float] = {}

    async def probe_due(self, targets: tuple[Target, ...]) -> bool:
        """Probe every target whose time has come; whether any answer differs from the one before."""
        now_s = self._clock.monotonic_s()
        due = [target for target in targets if now_s >= self._next_s.get(target.instance, 0.0)]
        self._next_s = {
            target.instance: self._next_s.get(target.instance, 0.0) for target in targets
        }
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
            self._health[target.instance] = Health(healthy=True)
            return before is None or not before.healthy
        failures = before.failures + 1 if before is not None else 1
        said = f"status {result.status}" if result.status else result.error
        message = f"{target.path or '/'}: {said}"
        self._health[target.instance] = Health(healthy=False, failures=failures, message=message)
        return before is None or before.healthy or failures % 5 == 0
