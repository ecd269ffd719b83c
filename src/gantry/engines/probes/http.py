"""Probes by HTTP with httpx."""

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from gantry.engines.probes.protocol import Prober, ProbeResult
from gantry.kernel.clock import Clock

_MAX_BYTES = 4_096
# The body is shown to people as it is, so nothing may compress it.
_HEADERS = {"user-agent": "gantry-probe", "accept": "*/*", "accept-encoding": "identity"}


class HttpProber:
    """One connection for each probe: a kept one would ask an old instance, or hide that nobody accepts any more.

    Parameters:
        trusted: files with the local authority's certificate and with what signed the platform's others, believed beside
            the system's; read again when they change.
    """

    def __init__(self, trusted: Callable[[], Iterable[Path]], clock: Clock) -> None:
        self._trusted = trusted
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._context_of = ""

    async def get(
        self,
        url: str,
        *,
        host: str = "",
        timeout_s: float = 5.0,
        headers: Mapping[str, str] | None = None,
    ) -> ProbeResult:
        """See `Prober.get`."""
        began_s = self._clock.monotonic_s()

        def result(
            status: int, error: str = "", answer: httpx.Response | None = None, body: bytes = b""
        ) -> ProbeResult:
            return ProbeResult(
                status=status,
                elapsed_s=self._clock.monotonic_s() - began_s,
                error=error,
                headers=dict(answer.headers) if answer is not None else {},
                body=body.decode(errors="replace"),
            )

        sent = {**_HEADERS, **(headers or {}), **({"host": host} if host else {})}
        extensions = {"sni_hostname": host} if host else {}
        transport = httpx.AsyncHTTPTransport(verify=self._trust() if url[:6] == "https:" else False)
        try:
            async with (
                asyncio.timeout(timeout_s),
                httpx.AsyncClient(transport=transport, timeout=timeout_s) as client,
                client.stream("GET", url, headers=sent, extensions=extensions) as answer,
            ):
                body = b""
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) >= _MAX_BYTES:
                        break
                return result(answer.status_code, "", answer, body[:_MAX_BYTES])
        except TimeoutError:
            return result(0, f"no answer within {timeout_s:g} s")
        except (httpx.HTTPError, ssl.SSLError, OSError) as error:
            return result(0, str(error) or type(error).__name__)

    def _trust(self) -> ssl.SSLContext:
        roots = "".join(path.read_text() for path in self._trusted() if path.exists())
        if self._context is None or roots != self._context_of:
            self._context = ssl.create_default_context()
            # What signed is believed by itself: its own root may be one that only visitors with a test set-up know.
            self._context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            if roots:
                self._context.load_verify_locations(cadata=roots)
            self._context_of = roots
        return self._context


if TYPE_CHECKING:

    def _guard(clock: Clock) -> Prober:
        return HttpProber(tuple, clock)
