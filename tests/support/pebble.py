"""Debian's pebble: an ACME server for tests, and the DNS server that it believes."""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx

from gantry.engines.certificates.local import LocalAuthority
from gantry.kernel.clock import SystemClock

HAS_PEBBLE = shutil.which("pebble") is not None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Pebble:
    """A running pebble whose validation asks `http_port` of this machine for every name.

    Attributes:
        dns_server: address of the DNS server that it believes.
        records_url: where that server's records are made.
    """

    def __init__(
        self, directory: str, ca_file: str, http_port: int, dns_server: str, records_url: str
    ) -> None:
        self.directory, self.ca_file, self.http_port = directory, ca_file, http_port
        self.dns_server, self.records_url = dns_server, records_url


class PebbleRecords:
    """The provider of the zone of every name: pebble's DNS server."""

    def __init__(self, records_url: str) -> None:
        self._url = records_url

    async def publish(self, name: str, text: str) -> None:
        """See `DnsProvider.publish`."""
        await self._ask("set-txt", {"host": f"{name}.", "value": text})

    async def withdraw(self, name: str, text: str) -> None:
        """See `DnsProvider.withdraw`."""
        await self._ask("clear-txt", {"host": f"{name}."})

    async def _ask(self, what: str, body: Mapping[str, str]) -> None:
        async with httpx.AsyncClient(trust_env=False) as http:
            (await http.post(f"{self._url}/{what}", json=body)).raise_for_status()


@contextlib.asynccontextmanager
async def running_pebble(tmp_path: Path) -> AsyncIterator[Pebble]:
    """Pebble and its DNS server, which answers 127.0.0.1 for every name, until the block ends."""

    async def nobody(answers: Mapping[str, str]) -> None:
        return None

    ca = LocalAuthority(tmp_path / "ca", "localhost", SystemClock())
    own = await ca.issue(("localhost",), nobody)
    (tmp_path / "cert.pem").write_text(own.chain_pem)
    (tmp_path / "key.pem").write_text(own.key_pem)
    acme_port, management, http_port, dns, records = (free_port() for _ in range(5))
    config = {
        "pebble": {
            "listenAddress": f"127.0.0.1:{acme_port}",
            "managementListenAddress": f"127.0.0.1:{management}",
            "certificate": str(tmp_path / "cert.pem"),
            "privateKey": str(tmp_path / "key.pem"),
            "httpPort": http_port,
            "tlsPort": free_port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }
    }
    (tmp_path / "pebble.json").write_text(json.dumps(config))
    off = [word for name in ("http01", "https01", "tlsalpn01") for word in (f"-{name}", "")]
    names = subprocess.Popen(
        [
            "pebble-challtestsrv",
            *("-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""),
            *off,
            *("-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{records}"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = subprocess.Popen(
        ["pebble", "-config", tmp_path / "pebble.json", "-dnsserver", f"127.0.0.1:{dns}"],
        env={"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "100", "PATH": "/usr/bin:/bin"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await answers(acme_port)
        await answers(dns)
        await answers(records)
        yield Pebble(
            f"https://localhost:{acme_port}/dir",
            str(ca.root_file),
            http_port,
            f"127.0.0.1:{dns}",
            f"http://127.0.0.1:{records}",
        )
    finally:
        for process in (server, names):
            process.kill()
            process.wait()


async def answers(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
