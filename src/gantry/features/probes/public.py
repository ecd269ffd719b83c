"""The platform's own public port, asked as a visitor would: addresses of environments and of releases."""

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from gantry.config.processes import Health
from gantry.engines.probes.protocol import Prober, ProbeResult
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment
from gantry.features.releases.model import Release
from gantry.features.releases.reading import manifest_of
from gantry.kernel.names import RELEASE_HEADER

_SMOKE_TIMEOUT_S = 15.0
_SERVED_BY_TIMEOUT_S = 5.0
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """Result of the smoke checks of a release.

    Attributes:
        failures: one sentence per path that did not answer well, beginning with the path.
        checked: how many paths were asked.
        attempts: how often all of them were asked.
    """

    failures: tuple[str, ...]
    checked: int
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class PublicProbe:
    """Requests to the platform's own public port.

    Attributes:
        address: one that the port is bound to, as it stands in a URL.
    """

    prober: Prober
    host_names: HostNames
    address: str

    async def served_by(self, environment: Environment, release: Release) -> str:
        """Identity of the release that the environment's address answers with; empty when none does.

        Parameters:
            release: the one that should answer.
        """
        return (await self.reached(environment, release)).headers.get(RELEASE_HEADER, "")

    async def reached(self, environment: Environment, release: Release) -> ProbeResult:
        """What the environment's address answers.

        Parameters:
            release: the one that should answer; it is asked what its health checks ask, with their patience, because
                any other page may be slow and well.
        """
        web = manifest_of(release).web
        health = web.health if web is not None else Health()
        return await self.call(
            environment,
            health.path or "/",
            headers={},
            timeout_s=max(_SERVED_BY_TIMEOUT_S, health.timeout_s),
        )

    async def call(
        self, environment: Environment, path: str, *, headers: Mapping[str, str], timeout_s: float
    ) -> ProbeResult:
        """GET a path of the environment's address."""
        return await self.prober.get(
            f"https://{self.address}:{self.host_names.https_port}{path}",
            host=self.host_names.environment_host(environment),
            timeout_s=timeout_s,
            headers=headers,
        )

    async def ask(
        self, project: str, release_id: str, path: str, *, timeout_s: float = _SMOKE_TIMEOUT_S
    ) -> ProbeResult:
        """GET a path of a release's own address."""
        return await self.prober.get(
            f"https://{self.address}:{self.host_names.https_port}{path}",
            host=self.host_names.release_host(project, release_id),
            timeout_s=timeout_s,
        )

    async def smoke(self, project: str, release: Release) -> SmokeResult:
        """Ask every smoke path of the release at its own address."""
        web = manifest_of(release).web
        paths = web.smoke if web is not None else ()
        answers = await asyncio.gather(*(self._failure(project, release, path) for path in paths))
        return SmokeResult(failures=tuple(filter(None, answers)), checked=len(paths))

    async def _failure(self, project: str, release: Release, path: str) -> str:
        """Why a smoke path did not answer well; empty when it did."""
        result = await self._followed(project, release, path)
        if result.status == 0:
            return f"{path}: {result.error}"
        if result.status >= 400:
            return f"{path}: status {result.status}"
        served_by = result.headers.get(RELEASE_HEADER, "")
        if served_by != release.id:
            return f"{path}: answered by {served_by or 'no release'}"
        location = result.headers.get("location", "")
        if result.status in _REDIRECTS and self._is_lost(location, project, release):
            return (
                f"{path}: leads visitors to {location[:_MAX_SHOWN]}, where nobody answers them; "
                "$GANTRY_URL is the address that they know"
            )
        return ""

    def _is_lost(self, location: str, project: str, release: Release) -> bool:
        """Whether a redirect leads to where the product listens, instead of where it is found: to the visitor's own
        machine, or to a port of this one that is not public.
        """
        try:
            url = urlsplit(location)
            host, port = url.hostname or "", url.port
        except ValueError:
            return False
        if host == self.host_names.release_host(project, release.id):
            return not _is_public(url.scheme, port, self.host_names.https_port)
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return host == "localhost"
        return address.is_loopback or address.is_unspecified

    async def _followed(self, project: str, release: Release, path: str) -> ProbeResult:
        """As a browser does: what the edge redirects by itself says nothing of the product.

        A redirect to another host, or in a circle (to set a cookie first), is an answer of the product's.
        """
        host = self.host_names.release_host(project, release.id)
        asked = {path}
        while True:
            result = await self.ask(project, release.id, path)
            leads_to = _place(result, f"{host}:{self.host_names.https_port}", path)
            if leads_to is None or leads_to in asked or len(asked) > _MAX_REDIRECTS:
                return result
            path = leads_to
            asked.add(path)


def _is_public(scheme: str, port: int | None, https_port: int) -> bool:
    """Whether an address of the platform's own host may be answered; its plain port is not known here."""
    return port in (None, https_port) if scheme == "https" else port != https_port


def _place(result: ProbeResult, authority: str, path: str) -> str | None:
    """Where an answer leads, as far as it is on the same host: path and query.

    Parameters:
        authority: host and public port. A product may leave the port out, because it is not in what it is asked for.
    """
    location = result.headers.get("location", "")
    if result.status not in _REDIRECTS or not location:
        return None
    try:
        found = urlsplit(urljoin(f"https://{authority}{path}", location))
        host, _, port = authority.partition(":")
        if found.hostname != host or not _is_public(found.scheme, found.port, int(port)):
            return None
    except ValueError:
        return None
    return f"{found.path or '/'}?{found.query}" if found.query else found.path or "/"
