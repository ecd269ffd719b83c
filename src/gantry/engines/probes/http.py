"""Probes by HTTP with httpx."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
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
        root_file: certificate of the local authority, trusted beside the system's; read again when it changes.
    """

    def __init__(self, root_file: Callable[[], Path], clock: Clock) -> None:
        self._root_file = root_file
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
        path = self._root_file()
        root = path.read_text() if path.exists() else ""
        if self._context is None or root != self._context_of:
            self._context = ssl.create_default_context()
            if root:
                self._context.load_verify_locations(cadata=root)
            self._context_of = root
        return self._context


if TYPE_CHECKING:

    def _guard(clock: Clock) -> Prober:
        return HttpProber(Path, clock)
