"""What the reactor remembers between two looks, and may forget at any time at the price of asking again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gantry.features.deploys.rules import Smoke
from gantry.features.instances.model import Health
from gantry.features.routes.served import ServedAssets


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a piece of work waits, and for how long."""

    why: str
    delay_s: float

    @property
    def words(self) -> str:
        """For people."""
        return f"waits: {self.why}; next try in {self.delay_s:.0f} s"


@dataclass(slots=True)
class Memory:
    """Observations that cost something to make.

    Attributes:
        health: instance -> what its last probes said.
        smoke: deploy -> what its smoke checks said.
        reached: deploy -> release that the public port answered with.
        asked: release -> how many requests had gone to it, and when that was last seen to rise.
        has_rollouts: some rollout is open; true until the first look has said so.
        stage_in_effect: rollout -> the stage that the edge has acknowledged.
        assets: what the asset store serves; `None` until it was looked at.
        retry_at_s: key of a piece of work that met a passing fault -> monotonic time of the next try.
        setbacks: the same key -> tries in a row that met one.
        set_back_since_s: the same key -> monotonic time of the first of these.
        began_at: the first look, which knows nothing of what happened before it.
        waits: the same key -> what the work waits for. The database may be what is waited for.
    """

    health: dict[str, Health] = field(default_factory=dict)
    smoke: dict[str, Smoke] = field(default_factory=dict)
    reached: dict[str, str] = field(default_factory=dict)
    asked: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    has_rollouts: bool = True
    stage_in_effect: dict[str, int] = field(default_factory=dict)
    assets: ServedAssets | None = None
    retry_at_s: dict[str, float] = field(default_factory=dict)
    setbacks: dict[str, int] = field(default_factory=dict)
    set_back_since_s: dict[str, float] = field(default_factory=dict)
    began_at: datetime | None = None
    waits: dict[str, Wait] = field(default_factory=dict)

    def note_requests(self, requests: Mapping[str, int], now: datetime) -> None:
        """Keep when each release was last asked; what is not there any more is forgotten."""
        before = self.asked
        self.asked = {
            name: before[name] if name in before and before[name][0] == count else (count, now)
            for name, count in requests.items()
        }

    def may_try(self, key: str, now_s: float) -> bool:
        """Whether the work may be tried (again) now."""
        return now_s >= self.retry_at_s.get(key, 0.0)

    def set_back(self, key: str, now_s: float, why: str) -> float:
        """The work met a passing fault: seconds until the next try."""
        count = self.setbacks.get(key, 0) + 1
        self.setbacks[key] = count
        self.set_back_since_s.setdefault(key, now_s)
        delay_s = float(min(30.0, 0.2 * 2 ** min(count, 10)))
        self.retry_at_s[key] = now_s + delay_s
        self.waits[key] = Wait(why, delay_s)
        return delay_s

    def succeeded(self, key: str) -> None:
        """The work went well."""
        self.setbacks.pop(key, None)
        self.retry_at_s.pop(key, None)
        self.set_back_since_s.pop(key, None)
        self.waits.pop(key, None)

    def waiting_s(self, key: str, now_s: float) -> float:
        """For how long the work has met nothing but passing faults."""
        return now_s - self.set_back_since_s.get(key, now_s)

    def forget_deploy(self, deploy_id: str) -> None:
        """The deploy ended."""
        self.smoke.pop(deploy_id, None)
        self.reached.pop(deploy_id, None)
