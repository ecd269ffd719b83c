"""Authorities: the fake and the local one keep the same promises. ACME against a real server is in test_acme.py."""

import asyncio
import ssl
import stat
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from gantry.engines.certificates.local import LocalAuthority
from gantry.engines.certificates.protocol import Authority, Issued
from gantry.kernel.clock import ManualClock, SystemClock
from gantry.kernel.errors import TransientError, UserError
from tests.fakes.certificates import FakeAuthority
from tests.fakes.machine import Machine

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTS = ("a.localhost", "b.localhost")


async def nobody(_: Mapping[str, str]) -> None:
    return None


@pytest.fixture(params=["fake", "local"])
def authority(request: pytest.FixtureRequest, tmp_path: Path) -> Authority:
    clock = ManualClock(NOW)
    if request.param == "fake":
        return FakeAuthority(Machine(clock))
    return LocalAuthority(tmp_path / "ca", "localhost", clock)


async def test_a_certificate_is_for_exactly_the_names_and_valid_now(authority: Authority) -> None:
    issued = await authority.issue(HOSTS, nobody)
    assert issued.hosts == HOSTS
    assert issued.not_before <= NOW < issued.not_after
    assert issued.not_after - NOW == timedelta(days=90)


async def test_each_has_its_own_key_and_no_repr_shows_it(authority: Authority) -> None:
    first, second = [await authority.issue(HOSTS, nobody) for _ in range(2)]
    assert first.key_pem != second.key_pem
    assert first.chain_pem != second.chain_pem
    assert first.key_pem not in repr(first)


async def test_the_fake_proves_names_as_acme_does() -> None:
    published: dict[str, str] = {}

    async def publish(challenges: Mapping[str, str]) -> None:
        published.update(challenges)

    await FakeAuthority(Machine(ManualClock()), proves=True).issue(HOSTS, publish)
    assert len(published) == len(HOSTS)


@pytest.mark.parametrize(
    ("fault", "value", "error", "code"),
    [
        ("refuse", 1.0, TransientError, "certificate.unreachable"),
        ("rate_limited", True, TransientError, "certificate.rate-limited"),
        ("refused", frozenset({"b.localhost"}), UserError, "certificate.refused"),
    ],
)
async def test_the_fake_fails_when_told_to(
    fault: str, value: object, error: type[TransientError | UserError], code: str
) -> None:
    machine = Machine(ManualClock())
    authority = FakeAuthority(machine)
    setattr(machine.faults if fault == "refuse" else authority, fault, value)
    with pytest.raises(error) as caught:
        await authority.issue(HOSTS, nobody)
    assert caught.value.code == code
    assert machine.issued == []


# -- the local authority's own promises ------------------------------------------------------


def leaf_of(issued: Issued) -> x509.Certificate:
    return x509.load_pem_x509_certificates(issued.chain_pem.encode())[0]


async def test_the_leaf_is_what_browsers_ask_for(tmp_path: Path) -> None:
    hosts = tuple(f"{name}.localhost" for name in ("x" * 63, *(f"r-{n}" for n in range(200))))
    leaf = leaf_of(await LocalAuthority(tmp_path, "localhost", SystemClock()).issue(hosts, nobody))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(names.get_values_for_type(x509.DNSName)) == hosts
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    key = leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


async def test_keys_are_for_their_owner_only_and_the_root_stays(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    first = await LocalAuthority(folder, "localhost", SystemClock()).issue(HOSTS, nobody)
    second = await LocalAuthority(folder, "localhost", SystemClock()).issue(HOSTS, nobody)
    roots = [issued.chain_pem.split("-----BEGIN CERTIFICATE-----")[2] for issued in (first, second)]
    assert roots[0] == roots[1]
    assert stat.S_IMODE((folder / "root.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def handshake(authority: LocalAuthority, host: str, folder: Path) -> None:
    """A TLS connection to a server with a leaf for `host`, as a client that trusts the root.

    Raises:
        ssl.SSLCertVerificationError: the client does not believe it.
    """
    issued = await authority.issue((host,), nobody)
    (folder / "chain.pem").write_text(issued.chain_pem)
    (folder / "leaf.key").write_text(issued.key_pem)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(folder / "chain.pem", folder / "leaf.key")

    async def end(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(end, "127.0.0.1", 0, ssl=served) as server:
        port = server.sockets[0].getsockname()[1]
        trusting = ssl.create_default_context(cafile=str(authority.root_file))
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, server_hostname=host
        )
        writer.close()


async def test_a_client_that_trusts_the_root_believes_names_below_the_domain(
    tmp_path: Path,
) -> None:
    authority = LocalAuthority(tmp_path / "ca", "localhost", SystemClock())
    await handshake(authority, "r-1--shop.localhost", tmp_path)


async def test_the_root_can_vouch_for_nothing_outside_the_domain(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path / "ca", "localhost", SystemClock())
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        await handshake(authority, "bank.example", tmp_path)
