"""Certificates by ACME, against Debian's pebble."""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from cryptography import x509

from gantry.engines.certificates.acme import AcmeAuthority, AcmeOptions
from gantry.engines.certificates.local import LocalAuthority
from gantry.engines.edge.protocol import Certificate, EdgeConfig
from gantry.kernel.clock import SystemClock
from gantry.kernel.errors import TransientError, UserError
from tests.support.edge import lab

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("pebble") is None, reason="pebble is missing"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Challenges:
    """Answers HTTP-01 on a port, as the edge does."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}

    async def publish(self, answers: Mapping[str, str]) -> None:
        self.answers.update(answers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        answer = self.answers.get(path.rpartition("/")[2], "").encode()
        status = b"200 OK" if answer else b"404 Not Found"
        head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        writer.write(head % (status, len(answer)) + answer)
        await writer.drain()
        writer.close()


class Pebble:
    """A running pebble whose validation asks `http_port` of this machine for every name."""

    def __init__(self, directory: str, ca_file: str, http_port: int) -> None:
        self.directory, self.ca_file, self.http_port = directory, ca_file, http_port


@pytest.fixture
async def pebble(tmp_path: Path) -> AsyncIterator[Pebble]:
    async def nobody(answers: Mapping[str, str]) -> None:
        return None

    ca = LocalAuthority(tmp_path / "ca", "localhost", SystemClock())
    own = await ca.issue(("localhost",), nobody)
    (tmp_path / "cert.pem").write_text(own.chain_pem)
    (tmp_path / "key.pem").write_text(own.key_pem)
    acme_port, management, http_port, dns = (free_port() for _ in range(4))
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
            *("-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{free_port()}"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = subprocess.Popen(
        ["pebble", "-config", tmp_path / "pebble.json", "-dnsserver", f"127.0.0.1:{dns}"],
        env={"PEBBLE_VA_NOSLEEP": "1", "PATH": "/usr/bin:/bin"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await _answers(acme_port)
        await _answers(dns)
        yield Pebble(f"https://localhost:{acme_port}/dir", str(ca.root_file), http_port)
    finally:
        for process in (server, names):
            process.kill()
            process.wait()


async def _answers(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def test_a_certificate_is_issued_and_the_account_is_found_again(
    pebble: Pebble, tmp_path: Path
) -> None:
    challenges = Challenges()
    options = AcmeOptions(pebble.directory, "ada@example.org", pebble.ca_file)
    async with await asyncio.start_server(challenges.serve, "127.0.0.1", pebble.http_port):
        for number in range(2):
            authority = AcmeAuthority(options, tmp_path / "account.key")
            issued = await authority.issue((f"shop{number}.example.test",), challenges.publish)
            leaf = x509.load_pem_x509_certificate(issued.chain_pem.encode())
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert names.get_values_for_type(x509.DNSName) == [f"shop{number}.example.test"]
            assert issued.not_before == leaf.not_valid_before_utc < issued.not_after
            (tmp_path / "chain.pem").write_text(issued.chain_pem)
            (tmp_path / "leaf.key").write_text(issued.key_pem)
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                tmp_path / "chain.pem", tmp_path / "leaf.key"
            )
    assert (tmp_path / "account.key").stat().st_mode & 0o077 == 0


async def test_the_edge_answers_challenges_and_serves_what_was_issued(
    pebble: Pebble, tmp_path: Path
) -> None:
    hosts = ("shop.example.test", "www.shop.example.test")
    options = AcmeOptions(pebble.directory, "", pebble.ca_file)
    authority = AcmeAuthority(options, tmp_path / "account.key")
    async with lab(http_port=pebble.http_port) as edge:
        await edge.edge.start()

        async def publish(answers: Mapping[str, str]) -> None:
            await edge.edge.apply(EdgeConfig(acme_challenges=answers))

        issued = await authority.issue(hosts, publish)
        local = await edge.certificate("a.localhost")
        real = Certificate(hosts[0], hosts, issued.chain_pem, issued.key_pem)
        await edge.edge.apply(EdgeConfig(certificates=(local, real)))
        for name in hosts:
            assert await edge.served_certificate(name) in issued.chain_pem
        assert await edge.served_certificate("a.localhost") in local.chain_pem


async def test_an_unanswered_challenge_is_refused_with_the_authority_s_words(
    pebble: Pebble, tmp_path: Path
) -> None:
    async def nowhere(answers: Mapping[str, str]) -> None:
        return None

    options = AcmeOptions(pebble.directory, "", pebble.ca_file)
    with pytest.raises(UserError) as caught:
        await AcmeAuthority(options, tmp_path / "account.key").issue(("a.example.test",), nowhere)
    assert caught.value.code == "certificate.refused"
    assert "a.example.test" in caught.value.message


async def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    async def nowhere(answers: Mapping[str, str]) -> None:
        return None

    options = AcmeOptions(f"https://localhost:{free_port()}/dir")
    with pytest.raises(TransientError) as caught:
        await AcmeAuthority(options, tmp_path / "account.key").issue(("a.example.test",), nowhere)
    assert caught.value.code == "certificate.unreachable"
