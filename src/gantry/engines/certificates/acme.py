"""Certificates for real domains from an ACME server (RFC 8555), proven over HTTP-01 or DNS-01."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import requests
from acme import challenges, client, crypto_util, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwa import ES256
from josepy.jwk import JWKEC

from gantry.engines.certificates.protocol import Authority, Issued, PublishChallenges
from gantry.engines.dns.protocol import DnsProvider, Resolver
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError, TransientError, UserError
from gantry.kernel.files import replace_file

_USER_AGENT = "gantry"
_TIMEOUT_S = 90
_NONCES_MAX = 5
# Servers of a zone take a record over from one another, some of them within minutes.
_VISIBLE_TIMEOUT_S = 300.0
_VISIBLE_INTERVAL_S = 3.0
_MAX_ISSUERS_BYTES = 200_000
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class AcmeOptions:
    """Which server, as whom.

    Attributes:
        directory: URL of the server's directory.
        email: for the authority's warnings; empty for none.
        ca_file: trusted for the connection to the server itself, for test servers; empty for the system's.
    """

    directory: str
    email: str = ""
    ca_file: str = ""


@dataclass(frozen=True, slots=True)
class DnsProofs:
    """Proves names by TXT records, so that wildcards can be signed.

    Attributes:
        provider: of the zone.
        resolver: tells when the zone's servers have a record.
    """

    provider: DnsProvider
    resolver: Resolver
    clock: Clock

    @contextlib.asynccontextmanager
    async def shown(self, records: tuple[tuple[str, str], ...]) -> AsyncIterator[None]:
        """Records of (name, text) that all servers have while the block runs."""
        try:
            for name, text in records:
                await self.provider.publish(name, text)
            for name, text in records:
                await self._visible(name, text)
            yield
        finally:
            for name, text in records:
                with contextlib.suppress(GantryError):  # a record too many does no harm
                    await self.provider.withdraw(name, text)

    async def _visible(self, name: str, text: str) -> None:
        deadline_s = self.clock.monotonic_s() + _VISIBLE_TIMEOUT_S
        while text not in await self.resolver.texts(name):
            if self.clock.monotonic_s() > deadline_s:
                raise TransientError(
                    "dns.not-visible",
                    f"the record {name} was made, but the servers of its zone do not have it after "
                    f"{_VISIBLE_TIMEOUT_S / 60:.0f} minutes",
                    hint=f"dig TXT {name}",
                )
            await self.clock.sleep(_VISIBLE_INTERVAL_S)


class AcmeAuthority:
    """Orders certificates.

    Parameters:
        account_key_file: the account's key, mode 0600; made, and the account with it, on first use.
        proofs: over DNS; without it names are proven over HTTP.
        issuers_file: gets what signed the certificates, so that the platform believes its own address also where the
            machine does not know the authority, as with one for tests.
    """

    def __init__(
        self,
        options: AcmeOptions,
        account_key_file: Path,
        *,
        proofs: DnsProofs | None = None,
        issuers_file: Path | None = None,
    ) -> None:
        self._options = options
        self._account_key_file = account_key_file
        self._proofs = proofs
        self._issuers_file = issuers_file
        self._client: client.ClientV2 | None = None
        # One order at a time: the client is not made for threads.
        self._lock = asyncio.Lock()

    async def issue(self, hosts: tuple[str, ...], publish: PublishChallenges) -> Issued:
        """See `Authority.issue`."""
        async with self._lock:
            if self._client is None:
                self._client = await self._ask(self._connect)
            acme: client.ClientV2 = self._client
            key = ec.generate_private_key(ec.SECP256R1())
            key_pem = _pem(key)
            request = crypto_util.make_csr(key_pem, list(hosts))
            order = await self._ask(lambda: acme.new_order(request))
            async with self._proving(acme, order, publish) as chosen:
                issued = await self._ask(lambda: _finish(acme, order, chosen, hosts, key_pem))
            self._keep_issuers(issued.chain_pem)
            return issued

    @contextlib.asynccontextmanager
    async def _proving(
        self, acme: client.ClientV2, order: messages.OrderResource, publish: PublishChallenges
    ) -> AsyncIterator[list[messages.ChallengeBody]]:
        """The challenges of an order, with their answers before the world while the block runs."""
        # A name that was proven lately need not be proven again, and may not.
        asked = [item for item in order.authorizations if item.body.status != messages.STATUS_VALID]
        if self._proofs is None:
            chosen = [_chosen(item, challenges.HTTP01) for item in asked]
            answers = {
                challenge.chall.encode("token"): challenge.validation(acme.net.key)
                for challenge in chosen
            }
            if answers:
                await publish(answers)
            yield chosen
            return
        chosen = [_chosen(item, challenges.DNS01) for item in asked]
        records = tuple(
            (
                challenge.chall.validation_domain_name(item.body.identifier.value),
                challenge.validation(acme.net.key),
            )
            for item, challenge in zip(asked, chosen, strict=True)
        )
        async with self._proofs.shown(records):
            yield chosen

    def _keep_issuers(self, chain_pem: str) -> None:
        if self._issuers_file is None:
            return
        known = self._issuers_file.read_text() if self._issuers_file.exists() else ""
        pems = [
            item.public_bytes(serialization.Encoding.PEM).decode()
            for item in x509.load_pem_x509_certificates(chain_pem.encode())[1:]
        ]
        fresh = "".join(pem for pem in pems if pem not in known)
        if fresh:
            kept = known if len(known) < _MAX_ISSUERS_BYTES else ""
            replace_file(self._issuers_file, kept + fresh, mode=0o644)

    async def _ask(self, question: Callable[[], _Result]) -> _Result:
        """Run a blocking conversation in a thread, and map what it raises."""
        try:
            return await asyncio.to_thread(question)
        except messages.Error as error:
            raise _refused(error) from error
        except errors.ValidationError as error:
            raise UserError(
                "certificate.refused",
                f"the certificate authority could not reach the domain: {_validation_words(error)}",
                hint="point the domain's DNS to this machine, and let port 80 through: gantry domains",
            ) from error
        except (errors.Error, requests.RequestException, OSError) as error:
            raise TransientError(
                "certificate.unreachable",
                f"the certificate authority does not answer: {error}",
                hint=f"GANTRY_ACME_DIRECTORY is {self._options.directory}",
            ) from error

    def _connect(self) -> client.ClientV2:
        key = JWKEC(key=_read_or_make_key(self._account_key_file))
        net = _PatientNetwork(
            key,
            alg=ES256,
            user_agent=_USER_AGENT,
            timeout=_TIMEOUT_S,
        )
        if self._options.ca_file:
            net.session.verify = self._options.ca_file
            # The library passes its own flag with every request, which would win over the session's file.
            net.verify_ssl = self._options.ca_file  # type: ignore[assignment]
        directory = client.ClientV2.get_directory(self._options.directory, net)
        acme = client.ClientV2(directory, net)
        registration = messages.NewRegistration.from_data(
            email=self._options.email or None, terms_of_service_agreed=True
        )
        try:
            acme.new_account(registration)
        except errors.ConflictError as known:
            acme.query_registration(
                messages.RegistrationResource(
                    uri=known.location, body=messages.Registration.from_data()
                )
            )
        return acme


class _PatientNetwork(client.ClientNetwork):
    """Repeats a request with a fresh nonce when the server did not take the last one (RFC 8555, 6.5).

    The library repeats it once. A server may refuse a nonce at any time, and a certificate that is not issued
    because of two in a row would be asked for only hours later.
    """

    def post(self, *args: object, **kwargs: object) -> requests.Response:
        """See `ClientNetwork.post`."""
        for _ in range(_NONCES_MAX - 1):
            try:
                return super().post(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return super().post(*args, **kwargs)


def _finish(
    acme: client.ClientV2,
    order: messages.OrderResource,
    chosen: list[messages.ChallengeBody],
    hosts: tuple[str, ...],
    key_pem: bytes,
) -> Issued:
    for challenge in chosen:
        acme.answer_challenge(challenge, challenge.response(acme.net.key))
    # The library compares with the naive local clock.
    deadline = datetime.datetime.now() + datetime.timedelta(seconds=_TIMEOUT_S)  # noqa: DTZ005
    chain_pem: str = acme.poll_and_finalize(order, deadline).fullchain_pem
    leaf = x509.load_pem_x509_certificate(chain_pem.encode())
    return Issued(
        hosts=hosts,
        chain_pem=chain_pem,
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        key_pem=key_pem.decode(),
    )


def _chosen(
    authorization: messages.AuthorizationResource, kind: type[challenges.KeyAuthorizationChallenge]
) -> messages.ChallengeBody:
    for challenge in authorization.body.challenges:
        if isinstance(challenge.chall, kind):
            return challenge
    raise UserError(
        "certificate.refused",
        f"the certificate authority offers no {kind.typ} for {authorization.body.identifier.value}",
        hint="wildcard names need a DNS provider: gantry settings set dns_provider cloudflare",
    )


def _refused(error: messages.Error) -> GantryError:
    detail = error.detail or error.description or str(error)
    if error.code in ("rateLimited", "serverInternal", "badNonce"):
        return TransientError(
            f"certificate.{'rate-limited' if error.code == 'rateLimited' else 'unreachable'}",
            f"the certificate authority asks to wait: {detail}",
        )
    return UserError(
        "certificate.refused",
        f"the certificate authority rejected the request: {detail}",
        hint="check the domain's name and its DNS records",
    )


def _validation_words(error: errors.ValidationError) -> str:
    details: list[str] = []
    for failed in error.failed_authzrs:
        for challenge in failed.body.challenges:
            if challenge.error is not None:
                details.append(f"{failed.body.identifier.value}: {challenge.error.detail}")
    return "; ".join(details) or str(error)


def _read_or_make_key(path: Path) -> ec.EllipticCurvePrivateKey:
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, _pem(ec.generate_private_key(ec.SECP256R1())))
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey), "we made it so"
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


if TYPE_CHECKING:

    def _guard(options: AcmeOptions, path: Path) -> Authority:
        return AcmeAuthority(options, path)
