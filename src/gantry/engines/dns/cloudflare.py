"""TXT records at Cloudflare (API v4), with a token that may edit the DNS of one zone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import httpx

from gantry.engines.dns.protocol import Credentials, DnsProvider
from gantry.kernel.errors import TransientError, UserError

API = "https://api.cloudflare.com/client/v4"
_TIMEOUT_S = 20.0
_TTL_S = 60


class Cloudflare:
    """Records of the zones that a token may edit.

    Parameters:
        credentials: read at each use; `auth_token` is from Cloudflare's page "API tokens", made from the template "Edit zone
            DNS".
        api: base of the API's addresses.
    """

    def __init__(self, credentials: Credentials, *, api: str = API) -> None:
        self._credentials = credentials
        self._api = api

    async def publish(self, name: str, text: str) -> None:
        """See `DnsProvider.publish`."""
        async with self._client() as http:
            zone = await self._zone(http, name)
            if not await self._records(http, zone, name, text):
                record = {"type": "TXT", "name": name, "content": f'"{text}"', "ttl": _TTL_S}
                await self._ask(http, "POST", f"/zones/{zone}/dns_records", json=record)

    async def withdraw(self, name: str, text: str) -> None:
        """See `DnsProvider.withdraw`."""
        async with self._client() as http:
            zone = await self._zone(http, name)
            for record in await self._records(http, zone, name, text):
                await self._ask(http, "DELETE", f"/zones/{zone}/dns_records/{record}")

    def _client(self) -> httpx.AsyncClient:
        token = self._credentials().get("auth_token", "")
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(base_url=self._api, headers=headers, timeout=_TIMEOUT_S)

    async def _zone(self, http: httpx.AsyncClient, name: str) -> str:
        """Identity of the zone that `name` lies in: the longest of its endings that the token may see."""
        labels = name.split(".")
        for first in range(1, len(labels) - 1):
            found = await self._ask(
                http, "GET", "/zones", params={"name": ".".join(labels[first:])}
            )
            if found:
                return str(found[0]["id"])
        raise UserError(
            "dns.no-zone",
            f"the Cloudflare token may see no zone that {name} lies in",
            hint="make a token for this zone from the template Edit zone DNS, and put it into the file of dns_credentials",
        )

    async def _records(self, http: httpx.AsyncClient, zone: str, name: str, text: str) -> list[str]:
        found = await self._ask(
            http, "GET", f"/zones/{zone}/dns_records", params={"type": "TXT", "name": name}
        )
        return [str(item["id"]) for item in found if item["content"].strip('"') == text]

    async def _ask(
        self,
        http: httpx.AsyncClient,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, object] | None = None,
    ) -> Any:  # noqa: ANN401 -- JSON
        try:
            answer = await http.request(method, path, params=params, json=json)
            body = answer.json()
            if answer.status_code < 500 and body.get("success"):
                return body["result"]
        except (httpx.HTTPError, ValueError, AttributeError, KeyError) as error:
            raise TransientError(
                "dns.unreachable",
                f"Cloudflare does not answer: {str(error) or type(error).__name__}",
            ) from None
        message = "; ".join(str(fault.get("message", "")) for fault in body.get("errors", ()))
        if answer.status_code == 429 or answer.status_code >= 500:
            raise TransientError("dns.unreachable", f"Cloudflare asks to wait: {message[:300]}")
        raise UserError(
            "dns.refused",
            f"Cloudflare refuses: {message[:300] or answer.status_code}",
            hint="check the token in the file of dns_credentials; it needs Zone.DNS edit for this zone",
        )


if TYPE_CHECKING:
    _guard: DnsProvider = Cloudflare(dict)
