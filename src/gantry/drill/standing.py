"""How a drill's platform stands: patient questions to a control plane that may be dead or hang."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from gantry.drill.control import Control
from gantry.drill.waiting import until
from gantry.drill.watching import ENDED
from gantry.features.deploys.bodies import DeployBody
from gantry.features.platform.bodies import EnvironmentBody
from gantry.features.rollouts.bodies import RolloutBody
from gantry.kernel.errors import TransientError

_T = TypeVar("_T")

# A deploy takes some 20 s; with everything that is done to it, this is stuck.
_STUCK_S = 150.0
_SETTLE_S = 60.0
_INSTANCES = 2


@dataclass(frozen=True, slots=True)
class Standing:
    """Waits until something is so, and says how it is when patience has ended.

    Every method raises TransientError: `drill.no-answer` when the control plane says nothing at all.
    """

    control: Control

    async def deploys(self) -> tuple[DeployBody, ...]:
        """All deploys, newest first."""
        return await self._answer(self.control.deploys)

    async def rollout_of(self, deploy: str) -> RolloutBody | None:
        """The deploy's rollout, if it has one."""
        found = await self._answer(lambda: self.control.rollout_of(deploy))
        return found[0] if found else None

    async def ended(self, deploy: str) -> DeployBody:
        """The deploy when it has ended."""

        async def ended() -> DeployBody | None:
            found = await self.control.deploy(deploy)
            return found if found is not None and found.state in ENDED else None

        found = await until(ended, _STUCK_S)
        if found is not None:
            return found
        return await self._answer(lambda: self.control.deploy(deploy))

    async def settled(self) -> EnvironmentBody:
        """The environment when the status and the port agree."""

        async def settled() -> EnvironmentBody | None:
            found = await self.control.environment(probe=True)
            return found if found is not None and _agrees(found) else None

        found = await until(settled, _SETTLE_S)
        if found is not None:
            return found
        return await self._answer(lambda: self.control.environment(probe=True))

    async def at_rest(self) -> EnvironmentBody:
        """The environment when both instances of what is live are healthy and no deploy runs.

        Raises:
            TransientError: `drill.not-settled` when it does not come to that.
        """

        async def at_rest() -> EnvironmentBody | None:
            found = await self.control.environment(probe=True)
            return found if found is not None and _is_at_rest(found) else None

        found = await until(at_rest, _SETTLE_S)
        if found is None:
            raise TransientError(
                "drill.not-settled",
                f"the drill's platform did not come to rest within {_SETTLE_S:.0f} s",
                hint="gantry doctor",
            )
        return found

    async def _answer(self, ask: Callable[[], Awaitable[_T | None]]) -> _T:
        answer = await until(ask, _SETTLE_S)
        if answer is None:
            raise TransientError(
                "drill.no-answer", f"the drill's control plane said nothing for {_SETTLE_S:.0f} s"
            )
        return answer


def live(found: EnvironmentBody) -> str:
    """Identity of the release that is live; empty for none."""
    return found.live.id if found.live is not None else ""


def reached(found: EnvironmentBody) -> str:
    """Identity of the release that a real request reached; empty for none."""
    return found.reached.release if found.reached is not None else ""


def _agrees(found: EnvironmentBody) -> bool:
    return live(found) != "" and reached(found) == live(found)


def _is_at_rest(found: EnvironmentBody) -> bool:
    own = [one.state for one in found.instances if one.release == live(found)]
    return (
        _agrees(found)
        and len(own) == _INSTANCES
        and set(own) == {"healthy"}
        and (found.deploy is None or found.deploy.state in ENDED)
    )
