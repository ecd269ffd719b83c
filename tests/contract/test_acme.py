"""Certificates by ACME, against Debian's pebble."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509

from gantry.engines.certificates.acme import AcmeAuthority, AcmeOptions, DnsProofs
from gantry.engines.dns.resolver import DnsResolver
from gantry.engines.edge.protocol import Certificate, EdgeConfig
from gantry.engines.probes.http import HttpProber
from gantry.kernel.clock import ManualClock, SystemClock
from gantry.kernel.errors import TransientError, UserError
from tests.fakes.dns import FakeResolver
from tests.fakes.machine import Machine
from tests.support.edge import lab
from tests.support.pebble import HAS_PEBBLE, Pebble, PebbleRecords, free_port, running_pebble

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not HAS_PEBBLE, reason="pebble is missing"),
]


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


@pytest.fixture
async def pebble(tmp_path: Path) -> AsyncIterator[Pebble]:
    async with running_pebble(tmp_path) as running:
        yield running


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


async def test_a_name_that_was_proven_lately_is_signed_for_again(
    pebble: Pebble, tmp_path: Path
) -> None:
    """As when a certificate is asked for anew after a move to another machine."""
    challenges = Challenges()
    options = AcmeOptions(pebble.directory, "", pebble.ca_file)
    async with await asyncio.start_server(challenges.serve, "127.0.0.1", pebble.http_port):
        authority = AcmeAuthority(options, tmp_path / "account.key")
        first = await authority.issue(("shop.example.test",), challenges.publish)
        again = await authority.issue(("shop.example.test",), no_challenge)
    assert again.chain_pem != first.chain_pem


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


def proven_by_dns(pebble: Pebble, tmp_path: Path) -> AcmeAuthority:
    proofs = DnsProofs(
        PebbleRecords(pebble.records_url), DnsResolver(pebble.dns_server), SystemClock()
    )
    options = AcmeOptions(pebble.directory, "", pebble.ca_file)
    return AcmeAuthority(
        options,
        tmp_path / "account.key",
        proofs=proofs,
        issuers_file=tmp_path / "issuers.pem",
    )


async def no_challenge(answers: Mapping[str, str]) -> None:
    raise AssertionError("proven over DNS, not over HTTP")


async def test_a_wildcard_is_proven_over_dns_and_the_record_goes_again(
    pebble: Pebble, tmp_path: Path
) -> None:
    authority = proven_by_dns(pebble, tmp_path)
    issued = await authority.issue(("*.apps.example.test",), no_challenge)
    leaf, *issuers = x509.load_pem_x509_certificates(issued.chain_pem.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["*.apps.example.test"]
    assert await DnsResolver(pebble.dns_server).texts("_acme-challenge.apps.example.test") == ()
    kept = x509.load_pem_x509_certificates((tmp_path / "issuers.pem").read_bytes())
    assert kept == issuers
    await authority.issue(("*.apps.example.test",), no_challenge)
    again = x509.load_pem_x509_certificates((tmp_path / "issuers.pem").read_bytes())
    assert again == issuers, "what is known is not written twice"


async def test_the_platform_believes_what_its_authority_signed(
    pebble: Pebble, tmp_path: Path
) -> None:
    """As with a public authority's staging server, whose root no machine knows."""
    issued = await proven_by_dns(pebble, tmp_path).issue(("*.apps.example.test",), no_challenge)
    async with lab() as edge:
        await edge.edge.start()
        local = await edge.certificate("a.localhost")
        wildcard = Certificate("wildcard", issued.hosts, issued.chain_pem, issued.key_pem)
        await edge.edge.apply(EdgeConfig(certificates=(local, wildcard)))
        url = f"https://127.0.0.1:{edge.settings.https_port}/"
        for trusted, believed in (((tmp_path / "issuers.pem",), True), ((), False)):
            prober = HttpProber(partial(tuple[Path, ...], trusted), SystemClock())
            answer = await prober.get(url, host="shop.apps.example.test")
            assert (answer.status != 0) is believed, answer.error


async def test_a_record_that_no_server_has_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    clock = ManualClock()
    resolver = FakeResolver(Machine(clock))
    proofs = DnsProofs(NoRecords(), resolver, clock)
    async with asyncio.timeout(20):
        task = asyncio.ensure_future(_show(proofs))
        while not task.done():
            clock.advance(10)
            await asyncio.sleep(0)
    with pytest.raises(TransientError) as caught:
        await task
    assert caught.value.code == "dns.not-visible"


class NoRecords:
    """A provider that says yes and does nothing."""

    async def publish(self, name: str, text: str) -> None:
        """See `DnsProvider.publish`."""

    async def withdraw(self, name: str, text: str) -> None:
        """See `DnsProvider.withdraw`."""


async def _show(proofs: DnsProofs) -> None:
    async with proofs.shown((("_acme-challenge.example.test", "x"),)):
        raise AssertionError("nobody sees the record")
