"""Asking a URL from outside, as a visitor would."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What came back.

    Attributes:
        status: HTTP status, or 0 when there was no answer.
        error: why there was no answer, in words; empty otherwise.
        headers: lower-case names.
        body: the first 4 KB, decoded with replacement characters.
    """

    status: int
    elapsed_s: float
    error: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


class Prober(Protocol):
    """Sends single requests and never raises for what the other side does."""

    async def get(
        self,
        url: str,
        *,
        host: str = "",
        timeout_s: float = 5.0,
        headers: Mapping[str, str] | None = None,
    ) -> ProbeResult:
        """GET `url`, with `headers` beside the usual ones. `host` replaces the Host header and the TLS server name,
        so that the machine's own public port can be asked for any site. Redirects are not followed. Certificates are
        verified against the local authority and the system's.
        """
        ...
