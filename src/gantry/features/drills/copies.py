"""Whether the mirror copied what it may, and orders arrived once."""

from collections import Counter
from collections.abc import Iterator

from gantry.features.drills.seen import Seen

_SAFE = frozenset({"GET", "HEAD"})


def wrong_copies(seen: Seen) -> Iterator[str]:
    """Requests that an instance got and should not have got."""
    for one in seen.copies:
        if one.method not in _SAFE:
            yield f"{one.count} copies of {one.method} requests arrived at {one.release}"
        if one.release != seen.candidate:
            yield f"{one.count} copies arrived at {one.release}, which is not the candidate"
    # A copy that does not say that it is one, or a second try of what had arrived.
    times = Counter(order.number for order in seen.orders)
    twice = sorted(number for number, count in times.items() if count > 1)
    if twice:
        yield f"{len(twice)} orders arrived more than once: {', '.join(twice[:3])}"
