"""The control plane of a drill's platform, asked often and briefly: it may be dead, or hang, at any time."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx
from pydantic import TypeAdapter

from gantry.config.paths import Paths
from gantry.drill.product import NAME
from gantry.features.deploys.bodies import DeployBody
from gantry.features.platform.bodies import EnvironmentBody, StatusBody
from gantry.features.rollouts.bodies import RolloutBody

_T = TypeVar("_T")

_PATIENCE_S = 2.0
_NOT_FOUND = 404
_AT = f"/api/v1/projects/{NAME}/environments/production"


@dataclass
class Control:
    """Its API over its socket.

    Attributes:
        paths: where the platform lies.
        token_file: where the operator's token is.
    """

    paths: Paths
    token_file: Path
    _http: httpx.AsyncClient | None = field(default=None, repr=False)

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
        return await self._get(DeployBody, f"/api/v1/deploys/{deploy}")

    async def deploys(self) -> tuple[DeployBody, ...] | None:
        """All deploys, newest first; `None` when nobody answers."""
        return await self._get(tuple[DeployBody, ...], f"{_AT}/deploys")

    async def environment(self, *, probe: bool = False) -> EnvironmentBody | None:
        """The product's only environment; `None` when nobody answers."""
        path = f"/api/v1/status?probe={str(probe).lower()}"
        status = await self._get(StatusBody, path)
        return status.projects[0].environments[0] if status and status.projects else None

    async def aclose(self) -> None:
        """Close the connection."""
        if self._http is not None:
            await self._http.aclose()

    async def _get(self, shape: type[_T], path: str) -> _T | None:
        return _read(shape, await self._ask(path))

    async def _ask(self, path: str) -> httpx.Response | None:
        try:
            return await self._client().get(path)
        except httpx.HTTPError:
            return None  # it is dead or hangs: a drill expects that

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            socket = httpx.AsyncHTTPTransport(uds=str(self.paths.api_socket), verify=False)
            self._http = httpx.AsyncClient(
                transport=socket,
                base_url="http://gantry",
                timeout=_PATIENCE_S,
                headers={"Authorization": f"Bearer {self.token_file.read_text().strip()}"},
            )
        return self._http


def _read(shape: type[_T], answer: httpx.Response | None) -> _T | None:
    if answer is None or not answer.is_success:
        return None
    return TypeAdapter(shape).validate_json(answer.content)
