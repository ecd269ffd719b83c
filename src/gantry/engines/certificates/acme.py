"""Certificates for real domains from an ACME server (RFC 8555), proven over HTTP-01."""

import asyncio
import datetime
from collections.abc import Callable
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
from gantry.kernel.errors import GantryError, TransientError, UserError
from gantry.kernel.files import replace_file

_USER_AGENT = "gantry"
_TIMEOUT_S = 90
_NONCES_MAX = 5
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


class AcmeAuthority:
    """Orders certificates.

    Parameters:
        account_key_file: the account's key, mode 0600; made, and the account with it, on first use.
    """

    def __init__(self, options: AcmeOptions, account_key_file: Path) -> None:
        self._options = options
        self._account_key_file = account_key_file
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
            chosen = [_http01(authorization) for authorization in order.authorizations]
            answers = {
                challenge.chall.encode("token"): challenge.validation(acme.net.key)
                for challenge in chosen
            }
            await publish(answers)
            return await self._ask(lambda: _finish(acme, order, chosen, hosts, key_pem))

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
                hint="point the domain's DNS to this machine, and let port 80 through",
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


def _http01(authorization: messages.AuthorizationResource) -> messages.ChallengeBody:
    for challenge in authorization.body.challenges:
        if isinstance(challenge.chall, challenges.HTTP01):
            return challenge
    raise UserError(
        "certificate.refused",
        f"the certificate authority offers no HTTP-01 for {authorization.body.identifier.value}",
        hint="wildcard names need DNS-01, which Gantry does not do",
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
