"""Waiting for a platform to come to a state, with patience for a control plane that may be dead or hang.

Every question raises TransientError: `drill.no-answer` when the control plane says nothing at all.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gantry.drill.control import ControlClient, live, served_by
from gantry.features.deploys.bodies import DeployBody
from gantry.features.platform.bodies import EnvironmentBody
from gantry.kernel.errors import TransientError

_T = TypeVar("_T")

# A deploy takes some 20 s; with everything that is done to it, this is stuck.
_DEPLOY_TIMEOUT_S = 150.0
_TIMEOUT_S = 60.0
_INTERVAL_S = 0.25
_INSTANCES = 2


async def until(
    ask: Callable[[], Awaitable[_T | None]], timeout_s: float, *, interval_s: float = _INTERVAL_S
) -> _T | None:
    """The first answer that is not `None`; `None` when there was none in time."""
    end_s = time.monotonic() + timeout_s
    while True:
        answer = await ask()
        if answer is not None or time.monotonic() > end_s:
            return answer
        await asyncio.sleep(interval_s)


async def answer(ask: Callable[[], Awaitable[_T | None]], timeout_s: float = _TIMEOUT_S) -> _T:
    """The control plane's first answer to a question."""
    found = await until(ask, timeout_s)
    if found is None:
        raise TransientError(
            "drill.no-answer", f"the drill's control plane said nothing for {timeout_s:.0f} s"
        )
    return found


async def ended(
    control: ControlClient, deploy: str, timeout_s: float = _DEPLOY_TIMEOUT_S
) -> DeployBody:
    """The deploy when it has ended; as it is when it has not in time."""

    async def ask() -> DeployBody | None:
        found = await control.deploy(deploy)
        return found if found is not None and found.ended else None

    found = await until(ask, timeout_s)
    if found is not None:
        return found
    return await answer(lambda: control.deploy(deploy))


async def settled(control: ControlClient, timeout_s: float = _TIMEOUT_S) -> EnvironmentBody:
    """The environment when the status and the port agree; as it is when they do not in time."""

    async def ask() -> EnvironmentBody | None:
        found = await control.environment(probe=True)
        return found if found is not None and _agrees(found) else None

    found = await until(ask, timeout_s)
    if found is not None:
        return found
    return await answer(lambda: control.environment(probe=True))


async def at_rest(control: ControlClient, timeout_s: float = _TIMEOUT_S) -> EnvironmentBody:
    """The environment when both instances of what is live are healthy and no deploy runs.

    Raises:
        TransientError: `drill.not-settled` when it does not come to that.
    """

    async def ask() -> EnvironmentBody | None:
        found = await control.environment(probe=True)
        return found if found is not None and _is_at_rest(found) else None

    found = await until(ask, timeout_s)
    if found is None:
        raise TransientError(
            "drill.not-settled",
            f"the drill's platform did not come to rest within {timeout_s:.0f} s",
            hint="gantry doctor",
        )
    return found


def _agrees(environment: EnvironmentBody) -> bool:
    return live(environment) != "" and served_by(environment) == live(environment)


def _is_at_rest(environment: EnvironmentBody) -> bool:
    states = [
        instance.state
        for instance in environment.instances
        if instance.release == live(environment)
    ]
    return (
        _agrees(environment)
        and len(states) == _INSTANCES
        and set(states) == {"healthy"}
        and (environment.deploy is None or environment.deploy.ended)
    )
