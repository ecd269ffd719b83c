"""The platform's own certificate authority, for names that only this machine answers, such as `*.localhost`.

Its root may sign nothing outside the platform's domain (name constraints), so that a browser that trusts it is at no
risk should the key be stolen.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gantry.engines.certificates.protocol import Authority, Issued, PublishChallenges
from gantry.kernel.clock import Clock
from gantry.kernel.files import replace_file

_ROOT_LIFE = timedelta(days=3650)
# Browsers refuse leaves that live longer than 398 days.
_LEAF_LIFE = timedelta(days=90)
# Clocks of other machines may be behind.
_BACKDATED = timedelta(
    days=1
)  # a server whose clock goes before its visitors' is believed all the same


class LocalAuthority:
    """Signs with a root that is made on first use.

    Parameters:
        folder: holds `root.pem`, which people may trust, and `root.key`, mode 0600.
        domain: the only names that the root may sign.
    """

    def __init__(self, folder: Path, domain: str, clock: Clock) -> None:
        self._folder = folder
        self._domain = domain
        self._clock = clock

    @property
    def root_file(self) -> Path:
        """The root's certificate, PEM."""
        return self._folder / "root.pem"

    async def issue(self, hosts: tuple[str, ...], publish: PublishChallenges) -> Issued:
        """See `Authority.issue`. Never asks anybody."""
        root, root_key = self.root()
        key = ec.generate_private_key(ec.SECP256R1())
        now = self._clock.now()
        not_before, not_after = now - _BACKDATED, now + _LEAF_LIFE
        leaf = (
            x509.CertificateBuilder()
            .subject_name(_name(hosts[0][:64]))
            .issuer_name(root.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(h) for h in hosts]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
                critical=False,
            )
            .sign(root_key, hashes.SHA256())
        )
        return Issued(
            hosts=hosts,
            chain_pem=_pem(leaf) + _pem(root),
            not_before=not_before,
            not_after=not_after,
            key_pem=_key_pem(key).decode(),
        )

    def root(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """The root and its key; made when they are missing."""
        key_file = self._folder / "root.key"
        if not key_file.exists() or not self.root_file.exists():
            self._make_root(key_file)
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey), "we made it so"
        return x509.load_pem_x509_certificate(self.root_file.read_bytes()), key

    def _make_root(self, key_file: Path) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        now = self._clock.now()
        name = _name(f"Gantry local authority of {os.uname().nodename}"[:64])
        root = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + _ROOT_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_root_usage(), critical=True)
            .add_extension(
                x509.NameConstraints([x509.DNSName(self._domain)], excluded_subtrees=None),
                critical=True,
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        # The key last: where it exists, the certificate does too.
        replace_file(self.root_file, _pem(root), mode=0o644)
        replace_file(key_file, _key_pem(key))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _root_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


if TYPE_CHECKING:

    def _guard(folder: Path, clock: Clock) -> Authority:
        return LocalAuthority(folder, "localhost", clock)
