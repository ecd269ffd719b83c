"""A prober that asks nobody."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gantry.engines.probes.protocol import Prober, ProbeResult

Answer = Callable[[str, str], ProbeResult]
"""`(url, host)`: what comes back."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One probe."""

    url: str
    host: str
    headers: Mapping[str, str]


def refuse(_url: str, _host: str) -> ProbeResult:
    """Nobody listens anywhere."""
    return ProbeResult(0, 0.0, "connection refused")


class FakeProber:
    """Answers from a function, and remembers what was asked.

    Parameters:
        answer: what comes back, such as `Machine.probe`; what takes longer than the deadline becomes a timeout.

    Attributes:
        answers: host -> what comes back for it instead.
    """

    def __init__(self, answer: Answer = refuse) -> None:
        self.answer = answer
        self.answers: dict[str, ProbeResult] = {}
        self.asked: list[Asked] = []

    async def get(
        self,
        url: str,
        *,
        host: str = "",
        timeout_s: float = 5.0,
        headers: Mapping[str, str] | None = None,
    ) -> ProbeResult:
        """See `Prober.get`."""
        self.asked.append(Asked(url, host, headers or {}))
        result = self.answers.get(host) or self.answer(url, host)
        if result.elapsed_s > timeout_s:
            return ProbeResult(0, timeout_s, f"no answer within {timeout_s:g} s")
        return result


if TYPE_CHECKING:
    _guard: Prober = FakeProber()
