"""Questions to the domain name system with dnspython."""

import asyncio
from typing import TYPE_CHECKING

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver

from gantry.engines.dns.protocol import Records, Resolver

_PORT = 53
# Each question to one server; a name takes up to three questions.
_ASK_TIMEOUT_S = 2.0


class DnsResolver:
    """Asks the machine's resolver, or one server.

    Parameters:
        server: `1.1.1.1` or `127.0.0.1:5353`; empty for the machine's own.
    """

    def __init__(self, server: str = "") -> None:
        self._server = server

    async def look(self, name: str, *, timeout_s: float = 5.0) -> Records:
        """See `Resolver.look`."""
        try:
            async with asyncio.timeout(timeout_s):
                resolver = self._resolver()
                v4, v6 = await asyncio.gather(
                    self._ask(resolver, name, "A"), self._ask(resolver, name, "AAAA")
                )
        except TimeoutError:
            return Records(name, error=f"no DNS server answered within {timeout_s:g} s")
        except dns.exception.DNSException as error:
            return Records(name, error=f"the DNS server does not say: {_message(error)}")
        except OSError as error:
            return Records(name, error=f"no DNS server can be asked: {error}")
        alias = next((found for _, found in (v4, v6) if found), "")
        return Records(name, tuple(sorted(v4[0])) + tuple(sorted(v6[0])), alias)

    async def texts(self, name: str, *, timeout_s: float = 5.0) -> tuple[str, ...]:
        """See `Resolver.texts`."""
        try:
            async with asyncio.timeout(timeout_s):
                found = await asyncio.gather(
                    *(self._texts_of(resolver, name) for resolver in await self._hosts_of(name))
                )
        except (TimeoutError, OSError, dns.exception.DNSException):
            return ()
        # What one server of the zone does not have yet, the authority may not see either.
        return tuple(sorted(set.intersection(*map(set, found)))) if found else ()

    async def _hosts_of(self, name: str) -> list[dns.asyncresolver.Resolver]:
        """A resolver for each server that hosts the zone of `name`."""
        if self._server:
            return [self._resolver()]
        own = self._resolver()
        zone = await dns.asyncresolver.zone_for_name(dns.name.from_text(name), resolver=own)
        hosts = await own.resolve(zone, "NS")
        return [await self._at(own, str(host.target)) for host in hosts]

    async def _at(self, own: dns.asyncresolver.Resolver, host: str) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [str(record) for record in await own.resolve(host, "A")]
        resolver.timeout = resolver.lifetime = _ASK_TIMEOUT_S
        return resolver

    async def _texts_of(self, resolver: dns.asyncresolver.Resolver, name: str) -> tuple[str, ...]:
        try:
            answer = await resolver.resolve(name, "TXT")
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        return tuple(b"".join(record.strings).decode("ascii", "replace") for record in answer)

    async def _ask(
        self, resolver: dns.asyncresolver.Resolver, name: str, kind: str
    ) -> tuple[list[str], str]:
        """Addresses of one kind, and the name that `name` is an alias of."""
        asked = dns.name.from_text(name)
        try:
            answer = await resolver.resolve(asked, kind, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            return [], ""
        alias = "" if answer.canonical_name == asked else str(answer.canonical_name).rstrip(".")
        return [str(record) for record in answer.rrset or ()], alias

    def _resolver(self) -> dns.asyncresolver.Resolver:
        # Made for each question: a machine's resolver may change while we run. It keeps no answers.
        resolver = dns.asyncresolver.Resolver(configure=not self._server)
        if self._server:
            host, _, port = (
                self._server.rpartition(":")
                if self._server.count(":") == 1
                else (self._server, "", "")
            )
            resolver.nameservers, resolver.port = [host], int(port or _PORT)
        resolver.timeout, resolver.lifetime, resolver.cache = (
            _ASK_TIMEOUT_S,
            _ASK_TIMEOUT_S * 2,
            None,
        )
        return resolver


def _message(error: dns.exception.DNSException) -> str:
    if isinstance(error, dns.resolver.NoNameservers):
        return "it answers with an error for this name"
    return str(error).rstrip(".")[:200] or type(error).__name__


if TYPE_CHECKING:
    _guard: Resolver = DnsResolver()
