"""Numbers as people read them."""

from math import isinf

from gantry.kernel.units import counted

# Below this, "3 of 40 requests" says more than a percentage does.
_FEW = 100


def part_of_requests(count: int, of: int) -> str:
    """`5.1 % of 412 requests`, or `3 of 40 requests` where there are few."""
    noun = "request" if of == 1 else "requests"
    if of < _FEW:
        return f"{count} of {of} {noun}"
    return f"{percent(count / of)} of {of:,} {noun}"


def part_of(count: int, of: int) -> str:
    """The same for the second of two, where the noun is clear: `0.1 % of 7,912`."""
    return f"{count} of {of}" if of < _FEW else f"{percent(count / of)} of {of:,}"


def percent(share: float) -> str:
    """`12.5 %`; enough digits that neither a little is called nothing nor almost all is called all."""
    value = 100 * share
    if value in (0.0, 100.0):
        return f"{value:.0f} %"
    if value < 0.01:
        return "under 0.01 %"
    if value > 99.99:
        return "over 99.99 %"
    return f"{value:.2f} %" if value < 0.095 or value >= 99.95 else f"{value:.1f} %"


def latency(latency_ms: float, last_ms: float) -> str:
    """`8.4 ms`, `184 ms` or `2.3 s`; `over 60 s` beyond `last_ms`, the last bound of the histogram."""
    if isinf(latency_ms):
        return f"over {latency(last_ms, last_ms)}"
    if latency_ms >= 1000:
        return f"{latency_ms / 1000:.3g} s"
    return f"{latency_ms:.0f} ms" if latency_ms >= 10 else f"{latency_ms:.2g} ms"


def count_of(count: int, singular: str, plural: str) -> str:
    """`1 restart`, `3 restarts`, `no restarts`."""
    return counted(count, singular, plural) if count else f"no {plural}"


def number(count: int) -> str:
    """`7,912`, or `none`."""
    return f"{count:,}" if count else "none"
