"""Looks at the platform while a drill goes on: what it says of the rollout and of the deploy."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from gantry.drill.control import Control
from gantry.features.drills.seen import Share
from gantry.features.instances.bodies import InstanceBody
from gantry.features.rollouts.bodies import RolloutBody

ENDED = ("succeeded", "failed", "cancelled")
_POLL_S = 0.25
# Instances are asked for with every so many looks; they cost the control plane more.
_INSTANCES_EVERY = 4


@dataclass
class Watch:
    """Asks for one deploy until it is cancelled.

    Attributes:
        now_s: the clock of the load.
        shares: what the candidate might get, look by look.
        candidate: the deploy's release, once it has one.
        instances: as they were when the control plane said so last.
        ended_s: when the deploy was first seen to have ended; `None` before.
    """

    control: Control
    deploy: str
    now_s: Callable[[], float]
    shares: list[Share] = field(default_factory=list)
    candidate: str = ""
    instances: tuple[InstanceBody, ...] = ()
    ended_s: float | None = None

    async def run(self) -> None:
        """Look again and again."""
        looks = 0
        while True:
            await self._look()
            if looks % _INSTANCES_EVERY == 0:
                await self.look_at_instances()
            looks += 1
            await asyncio.sleep(_POLL_S)

    async def look_at_instances(self) -> None:
        """Ask for them now; where nobody answers, those known last remain."""
        environment = await self.control.environment()
        if environment is not None:
            self.instances = environment.instances

    async def _look(self) -> None:
        rollouts = await self.control.rollout_of(self.deploy)
        if rollouts is not None:
            self.shares.append(_share(self.now_s(), rollouts))
        deploy = await self.control.deploy(self.deploy)
        if deploy is None:
            return
        self.candidate = deploy.release or ""
        if deploy.state in ENDED and self.ended_s is None:
            self.ended_s = self.now_s()


def _share(at_s: float, rollouts: tuple[RolloutBody, ...]) -> Share:
    if not rollouts:
        return Share(at_s, 0.0)
    (rollout,) = rollouts
    match rollout.state:
        case "passed":
            return Share(at_s, 100.0)
        case "failed" | "aborted":
            return Share(at_s, 0.0, taken_back=True)
        case _:
            return Share(at_s, float(rollout.stages[rollout.stage].percent))
