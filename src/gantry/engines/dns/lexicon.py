"""TXT records at every other provider, through dns-lexicon, which is installed when it is asked for."""

import asyncio
from typing import TYPE_CHECKING, Any

from gantry.engines.dns.protocol import Credentials, DnsProvider
from gantry.kernel.errors import GantryError, TransientError, UserError

_TTL_S = 60


class LexiconProvider:
    """Records at a provider that dns-lexicon knows.

    Parameters:
        provider: its name there, such as `hetzner`.
        zone: the domain whose zone is edited; the provider finds the zone that it lies in.
        credentials: read at each use; what the provider asks for, by the names of dns-lexicon, such as `auth_token`.
    """

    def __init__(self, provider: str, zone: str, credentials: Credentials) -> None:
        self._provider, self._zone, self._credentials = provider, zone, credentials

    async def publish(self, name: str, text: str) -> None:
        """See `DnsProvider.publish`."""
        await self._act("create_record", name, text)

    async def withdraw(self, name: str, text: str) -> None:
        """See `DnsProvider.withdraw`."""
        await self._act("delete_record", name, text)

    async def _act(self, action: str, name: str, text: str) -> None:
        try:
            await asyncio.to_thread(self._call, action, name, text)
        except GantryError:
            raise
        except OSError as error:  # what requests raises, too
            raise TransientError(
                "dns.unreachable", f"{self._provider} does not answer: {str(error)[:300]}"
            ) from None
        except Exception as error:  # noqa: BLE001 -- each of its providers raises what it likes
            raise UserError(
                "dns.refused",
                f"{self._provider} refuses: {self._redacted(str(error))[:300]}",
                hint="check the file of dns_credentials against the page of dns-lexicon for this provider",
            ) from None

    def _redacted(self, message: str) -> str:
        for value in self._credentials().values():
            message = message.replace(value, "…")
        return message

    def _call(self, action: str, name: str, text: str) -> None:
        client, config = _library()
        given: dict[str, Any] = {
            "provider_name": self._provider,
            "domain": self._zone,
            "resolve_zone_name": True,
            "ttl": _TTL_S,
            self._provider: dict(self._credentials()),
        }
        with client(config().with_dict(given)) as operations:
            if action == "create_record":
                operations.create_record(rtype="TXT", name=name, content=text)
            else:
                operations.delete_record(rtype="TXT", name=name, content=text)


def _library() -> tuple[Any, Any]:
    try:
        from lexicon.client import Client  # noqa: PLC0415 -- an extra
        from lexicon.config import ConfigResolver  # noqa: PLC0415
    except ImportError:
        raise UserError(
            "dns.no-library",
            "this DNS provider needs the package dns-lexicon, which is not installed",
            hint="pip install 'gantry[dns]'   (in the environment that runs Gantry)",
        ) from None
    return Client, ConfigResolver


if TYPE_CHECKING:
    _guard: DnsProvider = LexiconProvider("", "", dict)
