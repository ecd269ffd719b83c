"""Envoy's admin interface over its unix socket."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from gantry.engines.edge.protocol import BackendStatus
from gantry.kernel.errors import TransientError

_TIMEOUT_S = 5.0
# The admin interface counts whoever asks it, and the inner listener what the cache asks for visitors counted already.
_VISITORS_REQUESTS = r"^http\.https?\.downstream_rq_active$"


class Admin:
    """Asks and tells a running Envoy.

    Every method raises `edge.unreachable` (TransientError) when nobody answers.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._client = self._connect()

    async def epoch(self) -> int | None:
        """Which generation answers; `None` when nobody does, or it has not read its configuration yet."""
        try:
            info = (await self._client.get("/server_info")).json()
        except (httpx.HTTPError, ValueError):
            return None
        if info.get("state") != "LIVE":
            return None
        return int(info.get("command_line_options", {}).get("restart_epoch", 0))

    async def stats(self, pattern: str) -> Mapping[str, str]:
        """Name -> value of the statistics whose names match a regular expression."""
        text = await self._get(str(httpx.URL("/stats", params={"filter": pattern})))
        pairs = (line.split(": ", 1) for line in text.splitlines() if ": " in line)
        return {name: value.strip('"') for name, value in pairs}

    async def visitors_requests(self) -> int:
        """How many requests on the public ports have no complete answer yet."""
        return sum(int(count) for count in (await self.stats(_VISITORS_REQUESTS)).values())

    async def counters(self, pattern: str) -> Mapping[str, Any]:
        """Counters whose names match a regular expression, and histograms with their buckets."""
        asked = {"format": "json", "histogram_buckets": "cumulative", "filter": pattern}
        return await self._json(str(httpx.URL("/stats", params=asked)))

    async def clusters(self) -> Mapping[str, Any]:
        """Every cluster with its instances and their counters."""
        return await self._json("/clusters?format=json")

    async def backends(self) -> Mapping[str, BackendStatus]:
        """What it sees of each cluster."""
        answer = await self.clusters()
        return {
            cluster["name"]: _status(cluster.get("host_statuses", []))
            for cluster in answer.get("cluster_statuses", [])
        }

    async def errors(self) -> str:
        """Why it refused the last configuration, in its own words; empty when it did not."""
        dump = await self._json("/config_dump")
        errors = []
        for part in dump.get("configs", []):
            for kind in ("dynamic_active_clusters", "dynamic_listeners", "dynamic_route_configs"):
                for resource in part.get(kind, []):
                    state = resource.get("error_state")
                    if state:
                        errors.append(str(state.get("details", "")))
        return "; ".join(errors)[:2_000]

    async def post(self, path: str) -> None:
        """Tell it something, such as `/quitquitquit`."""
        try:
            await self._client.post(path)
        except httpx.HTTPError as error:
            raise _unreachable(error) from error

    async def reconnect(self) -> None:
        """Let go of every connection: a predecessor goes on answering on those that it has."""
        before, self._client = self._client, self._connect()
        await before.aclose()

    async def aclose(self) -> None:
        """Close idle connections."""
        await self._client.aclose()

    def _connect(self) -> httpx.AsyncClient:
        # It speaks no TLS: `verify` only spares the time for loading certificates.
        transport = httpx.AsyncHTTPTransport(uds=str(self._socket), verify=False)
        return httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=_TIMEOUT_S)

    async def _json(self, path: str) -> dict[str, Any]:
        try:
            answer = await self._client.get(path)
            parsed: dict[str, Any] = await asyncio.to_thread(answer.json)
        except (httpx.HTTPError, ValueError) as error:
            raise _unreachable(error) from error
        return parsed

    async def _get(self, path: str) -> str:
        try:
            return (await self._client.get(path)).text
        except httpx.HTTPError as error:
            raise _unreachable(error) from error


def _status(hosts: list[dict[str, Any]]) -> BackendStatus:
    healthy = active = requests = 0
    for host in hosts:
        health = host.get("health_status", {})
        bad = any(value is True for key, value in health.items() if key.startswith("failed_"))
        healthy += not bad and health.get("eds_health_status", "HEALTHY") == "HEALTHY"
        for stat in host.get("stats", []):
            if stat.get("name") == "rq_active":
                active += int(stat.get("value", 0))
            if stat.get("name") == "rq_total":
                requests += int(stat.get("value", 0))
    return BackendStatus(len(hosts), healthy, active, requests)


def _unreachable(error: Exception) -> TransientError:
    return TransientError(
        "edge.unreachable",
        f"the edge does not answer its admin interface: {str(error) or type(error).__name__}",
        hint="gantry status; the edge is started again by itself",
    )
