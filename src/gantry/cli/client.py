"""The control plane's HTTP API, typed: over this machine's socket, or at `GANTRY_URL`."""

from collections.abc import Callable, Iterator
from typing import TypeVar
from urllib.parse import quote

import httpx

from gantry.cli.transport import Transport
from gantry.config.settings import Settings
from gantry.features.accounts.bodies import LoginLinkBody, TokenBody, TokenRequest
from gantry.features.audit.bodies import AuditBody
from gantry.features.builds.bodies import SourceBody
from gantry.features.deploys.bodies import (
    DeployBody,
    DeployEvent,
    DeployRequest,
    PlanBody,
    PromoteRequest,
    RollbackRequest,
)
from gantry.features.instances.bodies import LogBody
from gantry.features.platform.bodies import HealthBody, ProjectBody, StatusBody
from gantry.features.releases.bodies import ReleaseBody
from gantry.features.rollouts.bodies import RolloutBody, WishName
from gantry.features.routes.bodies import PurgeBody, PurgeRequest
from gantry.features.variables.bodies import VariableBody, VariablesRequest
from gantry.kernel.bodies import Answer, Request
from gantry.kernel.errors import AccessError, NotFoundError
from gantry.kernel.names import API_PREFIX

_S = TypeVar("_S", bound=Answer)

# The whole snapshot is unpacked and hashed before the answer comes.
_UPLOAD_TIMEOUT_S = 600.0
# One real request to every environment's public address.
_PROBE_TIMEOUT_S = 120.0


def connect(settings: Settings, local_token: Callable[[], str]) -> "Api":
    """The client for the control plane that the settings name.

    Raises:
        AccessError: `control.no-token` when `GANTRY_URL` is set and `GANTRY_TOKEN` is not.
        TransientError: `control.down`.
    """
    if settings.control_url:
        if not settings.control_token:
            raise AccessError(
                "control.no-token",
                f"GANTRY_URL is {settings.control_url}, but there is no GANTRY_TOKEN",
                hint="on that machine: gantry token create my-laptop, then export GANTRY_TOKEN=...",
                where="GANTRY_TOKEN",
            )
        http = httpx.Client(base_url=settings.control_url)
        return Api(Transport(http, settings.control_token, settings.control_url))
    socket = settings.paths.api_socket
    # No proxy, certificate or .netrc of the environment has a say in a local socket. It speaks no TLS: `verify` only
    # spares the time for loading the certificates that nothing would be compared with.
    local = httpx.HTTPTransport(uds=str(socket), verify=False, trust_env=False)
    http = httpx.Client(transport=local, base_url="http://gantry", trust_env=False)
    return Api(Transport(http, settings.control_token or local_token(), str(socket)))


class Api:
    """Every endpoint that commands use. All raise `GantryError`s, as the control plane words them."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def close(self) -> None:
        self._http.close()

    # -- the platform

    def health(self) -> HealthBody:
        return self._one(HealthBody, "GET", "/health")

    def status(self, *, probe: bool = True) -> StatusBody:
        path = f"/status?probe={str(probe).lower()}"
        return self._one(StatusBody, "GET", path, timeout_s=_PROBE_TIMEOUT_S)

    def audit(self, limit: int) -> tuple[AuditBody, ...]:
        return self._many(AuditBody, "GET", f"/audit?limit={limit}")

    # -- sources

    def has_source(self, digest: str) -> bool:
        """Whether a snapshot is stored already, and need not be sent."""
        try:
            self._one(SourceBody, "GET", f"/sources/{digest}")
        except NotFoundError:
            return False
        return True

    def put_source(self, digest: str, archive: Iterator[bytes], size_bytes: int = 0) -> SourceBody:
        """Upload a snapshot. With a size it is sent with a Content-Length, otherwise chunked."""
        raw = self._http.request(
            "PUT",
            f"{API_PREFIX}/sources/{digest}",
            content=archive,
            content_bytes=size_bytes,
            timeout_s=_UPLOAD_TIMEOUT_S,
        )
        return self._http.read(SourceBody, raw)

    # -- projects

    def projects(self) -> tuple[ProjectBody, ...]:
        return self._many(ProjectBody, "GET", "/projects")

    def project(self, name: str) -> ProjectBody:
        return self._one(ProjectBody, "GET", f"/projects/{_q(name)}")

    def destroy(self, project: str, environment: str | None) -> None:
        path = f"/projects/{_q(project)}"
        if environment is not None:
            path += f"/environments/{_q(environment)}"
        self._http.request("DELETE", API_PREFIX + path, timeout_s=_PROBE_TIMEOUT_S)

    def releases(self, project: str, environment: str) -> tuple[ReleaseBody, ...]:
        return self._many(ReleaseBody, "GET", f"{_at(project, environment)}/releases")

    def variables(self, project: str, environment: str) -> tuple[VariableBody, ...]:
        return self._many(VariableBody, "GET", f"{_at(project, environment)}/variables")

    def change_variables(
        self, project: str, environment: str, change: VariablesRequest
    ) -> tuple[VariableBody, ...]:
        path = f"{_at(project, environment)}/variables"
        return self._many(VariableBody, "PATCH", path, change)

    # -- deploys

    def deploy(self, project: str, environment: str, request: DeployRequest) -> DeployBody:
        return self._one(DeployBody, "POST", f"{_at(project, environment)}/deploys", request)

    def promote(self, project: str, environment: str, request: PromoteRequest) -> DeployBody:
        return self._one(DeployBody, "POST", f"{_at(project, environment)}/promote", request)

    def roll_back(self, project: str, environment: str, request: RollbackRequest) -> DeployBody:
        return self._one(DeployBody, "POST", f"{_at(project, environment)}/rollback", request)

    def rollout(self, project: str, environment: str) -> RolloutBody:
        return self._one(RolloutBody, "GET", f"{_at(project, environment)}/rollout")

    def ask_rollout(self, project: str, environment: str, wish: WishName) -> RolloutBody:
        return self._one(RolloutBody, "POST", f"{_at(project, environment)}/rollout/{wish}")

    def purge(self, project: str, environment: str, request: PurgeRequest) -> PurgeBody:
        return self._one(PurgeBody, "POST", f"{_at(project, environment)}/purge", request)

    def plan(self, project: str, environment: str, request: DeployRequest) -> PlanBody:
        return self._one(PlanBody, "POST", f"{_at(project, environment)}/plan", request)

    def deploys(self, project: str, environment: str) -> tuple[DeployBody, ...]:
        return self._many(DeployBody, "GET", f"{_at(project, environment)}/deploys")

    def get_deploy(self, deploy: str) -> DeployBody:
        return self._one(DeployBody, "GET", f"/deploys/{_q(deploy)}")

    def cancel(self, deploy: str) -> DeployBody:
        return self._one(DeployBody, "POST", f"/deploys/{_q(deploy)}/cancel")

    def deploy_events(self, deploy: str) -> Iterator[DeployEvent]:
        """The live story of a deploy. Ends with its `end` event.

        Raises:
            TransientError: `control.lost` when the stream breaks off; asking again starts over from the beginning.
        """
        return self._http.stream(DeployEvent, f"{API_PREFIX}/deploys/{_q(deploy)}/events")

    # -- logs

    def logs(self, project: str, environment: str, *, tail: int) -> tuple[LogBody, ...]:
        return self._many(LogBody, "GET", f"{_at(project, environment)}/logs?tail={tail}")

    def follow_logs(self, project: str, environment: str, *, tail: int) -> Iterator[LogBody]:
        path = f"{API_PREFIX}{_at(project, environment)}/logs?tail={tail}&follow=true"
        return self._http.stream(LogBody, path)

    # -- access

    def login_link(self) -> LoginLinkBody:
        return self._one(LoginLinkBody, "POST", "/login-links")

    def tokens(self) -> tuple[TokenBody, ...]:
        return self._many(TokenBody, "GET", "/tokens")

    def create_token(self, request: TokenRequest) -> TokenBody:
        return self._one(TokenBody, "POST", "/tokens", request)

    def revoke_token(self, token: str) -> None:
        self._http.request("DELETE", f"{API_PREFIX}/tokens/{_q(token)}")

    # -- inside

    def _one(
        self,
        shape: type[_S],
        method: str,
        path: str,
        body: Request | None = None,
        timeout_s: float = 60.0,
    ) -> _S:
        raw = self._http.request(method, API_PREFIX + path, body=body, timeout_s=timeout_s)
        return self._http.read(shape, raw)

    def _many(
        self, shape: type[_S], method: str, path: str, body: Request | None = None
    ) -> tuple[_S, ...]:
        return self._http.read_many(shape, self._http.request(method, API_PREFIX + path, body=body))


def _q(text: str) -> str:
    return quote(text, safe="")


def _at(project: str, environment: str) -> str:
    return f"/projects/{_q(project)}/environments/{_q(environment)}"
