"""The control plane of a drill's platform, asked often and briefly: it may be dead, or hang, at any time.

The command line's own client waits up to minutes and raises what went wrong, for a person; this one answers `None` after two
seconds and never blocks the loop in which faults are injected on time.
"""

from dataclasses import dataclass
from typing import TypeVar

import httpx
from pydantic import TypeAdapter

from gantry.config.paths import Paths
from gantry.drill.product import NAME
from gantry.features.deploys.bodies import DeployBody
from gantry.features.platform.bodies import EnvironmentBody, StatusBody
from gantry.features.rollouts.bodies import RolloutBody
from gantry.kernel.names import API_PREFIX

_T = TypeVar("_T")

_TIMEOUT_S = 2.0
_NOT_FOUND = 404
_AT = f"{API_PREFIX}/projects/{NAME}/environments/production"


@dataclass(frozen=True, slots=True)
class ControlClient:
    """Questions to the API about the product's only environment."""

    http: httpx.AsyncClient

    async def rollout_of(self, deploy: str) -> tuple[RolloutBody, ...] | None:
        """The deploy's rollout, if it has one; `None` when nobody answers."""
        answer = await self._ask(f"{_AT}/rollout")
        if answer is not None and answer.status_code == _NOT_FOUND:
            return ()
        newest = _read(RolloutBody, answer)
        if newest is None:
            return None
        return (newest,) if newest.deploy == deploy else ()

    async def deploy(self, deploy: str) -> DeployBody | None:
        """One deploy; `None` when nobody answers."""
        return await self._get(DeployBody, f"{API_PREFIX}/deploys/{deploy}")

    async def deploys(self) -> tuple[DeployBody, ...] | None:
        """All deploys, newest first; `None` when nobody answers."""
        return await self._get(tuple[DeployBody, ...], f"{_AT}/deploys")

    async def environment(self, *, probe: bool = False) -> EnvironmentBody | None:
        """The environment; `None` when nobody answers.

        Parameters:
            probe: send a real request to the public port as well.
        """
        path = f"{API_PREFIX}/status?probe={str(probe).lower()}"
        status = await self._get(StatusBody, path)
        return status.projects[0].environments[0] if status and status.projects else None

    async def aclose(self) -> None:
        """Close the connection."""
        await self.http.aclose()

    async def _get(self, shape: type[_T], path: str) -> _T | None:
        return _read(shape, await self._ask(path))

    async def _ask(self, path: str) -> httpx.Response | None:
        try:
            return await self.http.get(path)
        except httpx.HTTPError:
            return None  # it is dead or hangs: a drill expects that


def connect(paths: Paths) -> ControlClient:
    """A client over the socket of a platform that was started, as its operator."""
    token = paths.operator_token.read_text().strip()
    http = httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(paths.api_socket), verify=False),
        base_url="http://gantry",
        timeout=_TIMEOUT_S,
        headers={"Authorization": f"Bearer {token}"},
    )
    return ControlClient(http)


def live(environment: EnvironmentBody) -> str:
    """Identity of the release that is live; empty for none."""
    return environment.live.id if environment.live is not None else ""


def served_by(environment: EnvironmentBody) -> str:
    """Identity of the release that answered a real request; empty for none."""
    return environment.reached.release if environment.reached is not None else ""


def _read(shape: type[_T], answer: httpx.Response | None) -> _T | None:
    if answer is None or not answer.is_success:
        return None
    return TypeAdapter(shape).validate_json(answer.content)
