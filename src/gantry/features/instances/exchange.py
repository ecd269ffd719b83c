"""Starting a release's instances anew, one after the other, without losing a request. Pure.

A kind that visitors reach gets one instance more first. When that is healthy an old one leaves: the edge sends it nobody any
more, it is told to end when nobody is left on it, and its slot is filled anew; then the next. The additional one leaves
last. Workers are exchanged in their place, so that no more of them run than people asked for.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gantry.features.instances.model import Instance, Want

# A request that was on its way when the edge was told shows in its numbers by then.
_QUIET_AFTER = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the exchange of one kind's instances needs now.

    Attributes:
        slots: how many may be filled.
        leaves: ids of the instances that should get no visitors any more.
    """

    slots: int
    leaves: frozenset[str] = frozenset()


def exchange_of(want: Want, instances: Iterable[Instance]) -> Exchange:
    """The next step of the exchange among the instances of one kind; the plain count where there is none."""
    rolling = want.rolling
    if rolling is None:
        return Exchange(want.count)
    known = tuple(instances)
    staying = [item for item in known if not _goes(item)]
    old = [item for item in staying if is_old(item, rolling.before)]
    new = [item for item in staying if item not in old]
    filled = [item for item in new if item.slot < want.count and item.healthy_at is not None]
    extra = [item for item in new if item.slot >= want.count]
    unfinished = rolling.before is not None and len(filled) < want.count
    slots = want.count + 1 if want.probed and unfinished else want.count
    if old and not any(_goes(item) for item in known):
        ready = all(item.healthy_at is not None for item in new)
        if ready and (extra or not want.probed):
            # What answers nobody goes first: it gives nothing up.
            first = min(old, key=lambda item: (item.healthy_at is not None, item.slot))
            return Exchange(slots, frozenset({first.id}))
    if slots == want.count:
        return Exchange(slots, frozenset(item.id for item in extra if want.probed))
    return Exchange(slots)


def is_old(instance: Instance, before: datetime | None) -> bool:
    """Whether the exchange replaces it."""
    return before is not None and instance.created_at < before


def may_end(instance: Instance, want: Want, now: datetime) -> bool:
    """Whether an instance that leaves may be told to end, once the edge sends nobody there: nobody is left on it, or their time
    is over. That the edge does is asked where it is known: `Reconciler.once`.
    """
    rolling, since = want.rolling, instance.leaving_since
    if rolling is None or since is None or instance.healthy_at is None or not want.probed:
        return True
    age = now - since
    if age < _QUIET_AFTER:
        return False
    return not rolling.busy or age >= timedelta(seconds=rolling.requests_s)


def _goes(instance: Instance) -> bool:
    return instance.leaving_since is not None or instance.stopping_since is not None
