"""Starting instances anew: which one leaves next, how many there may be meanwhile, and when one may end."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gantry.features.instances.exchange import Exchange, exchange_of, is_old, may_end
from gantry.features.instances.model import Instance, Rolling
from tests.support.stories import T0, at, instance, want

BEFORE = at(100)
RESTART = Rolling(before=BEFORE, requests_s=30.0)


def old(slot: int, **changes: object) -> Instance:
    """One that was made before the restart, and serves."""
    made = {"id": f"old-{slot}", "slot": slot, "created_at": T0, "healthy_at": at(1)}
    return instance(**(made | changes))


def new(slot: int, **changes: object) -> Instance:
    """One that was made since, and serves."""
    made = {"id": f"new-{slot}", "slot": slot, "created_at": at(101), "healthy_at": at(103)}
    return instance(**(made | changes))


NOT_YET = {"healthy_at": None}
LEAVES = {"leaving_since": at(104)}
ENDS = {"leaving_since": at(104), "stopping_since": at(106)}

# What there is -> how many slots may be filled, and who leaves.
WEB = [
    ("nothing was asked for: the count", (old(0), old(1)), None, 2, ()),
    ("one more is made first", (old(0), old(1)), RESTART, 3, ()),
    ("nobody leaves before it is healthy", (old(0), old(1), new(2, **NOT_YET)), RESTART, 3, ()),
    ("then the first", (old(0), old(1), new(2)), RESTART, 3, ("old-0",)),
    ("one at a time", (old(0, **LEAVES), old(1), new(2)), RESTART, 3, ()),
    ("also while it ends", (old(0, **ENDS), old(1), new(2)), RESTART, 3, ()),
    ("its slot is filled anew before the next leaves", (new(0, **NOT_YET), old(1), new(2)), RESTART, 3, ()),
    ("then the next", (new(0), old(1), new(2)), RESTART, 3, ("old-1",)),
    ("the additional one stays until all are there", (new(0), new(1, **NOT_YET), new(2)), RESTART, 3, ()),
    ("and leaves last", (new(0), new(1), new(2)), RESTART, 2, ("new-2",)),
    ("which is over when it has gone", (new(0), new(1)), RESTART, 2, ()),
    ("what answers nobody gives nothing up: it goes first", (old(0), old(1, **NOT_YET), new(2)), RESTART, 3, ("old-1",)),
    ("a slot that is empty is no reason to wait", (old(1), new(2)), RESTART, 3, ("old-1",)),
    ("one too many leaves without a restart", (old(0), old(1), old(2)), Rolling(), 2, ("old-2",)),
    ("each of them", (old(0), old(1), old(2), old(3)), Rolling(), 2, ("old-2", "old-3")),
    ("one that leaves already is not asked again", (old(0), old(1), old(2, **LEAVES)), Rolling(), 2, ()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("instances", "rolling", "slots", "leaves"),
    [case[1:] for case in WEB],
    ids=[case[0] for case in WEB],
)
def test_what_visitors_reach(
    instances: tuple[Instance, ...],
    rolling: Rolling | None,
    slots: int,
    leaves: tuple[str, ...],
) -> None:
    wanted = want(count=2, rolling=rolling)
    assert exchange_of(wanted, instances) == Exchange(slots, frozenset(leaves))


WORKER = [
    ("in its place: no more run than were asked for", (old(0), old(1)), ("old-0",)),
    ("one at a time", (old(0, **ENDS), old(1)), ()),
    ("the next when the first is there again", (new(0), old(1)), ("old-1",)),
    ("and not before it is healthy", (new(0, **NOT_YET), old(1)), ()),
    ("one that is not healthy goes first", (old(0), old(1, **NOT_YET)), ("old-1",)),
    ("over", (new(0), new(1)), ()),
]


@pytest.mark.parametrize(
    ("instances", "leaves"), [case[1:] for case in WORKER], ids=[case[0] for case in WORKER]
)
def test_what_nobody_asks(instances: tuple[Instance, ...], leaves: tuple[str, ...]) -> None:
    wanted = want(count=2, probed=False, rolling=RESTART)
    assert exchange_of(wanted, instances) == Exchange(2, frozenset(leaves))


def test_none_is_wanted_and_none_is_made() -> None:
    assert exchange_of(want(count=0, rolling=Rolling()), ()) == Exchange(0)
    assert exchange_of(want(count=0, rolling=Rolling()), (old(0),)).leaves == {"old-0"}


@pytest.mark.parametrize(
    ("created_s", "before", "expected"),
    [(99, BEFORE, True), (100, BEFORE, False), (101, BEFORE, False), (0, None, False)],
)
def test_what_is_old(created_s: float, before: object, expected: bool) -> None:
    assert is_old(old(0, created_at=at(created_s)), before) is expected  # type: ignore[arg-type]


LEAVING = old(0, leaving_since=at(200))
BUSY, QUIET = Rolling(busy=True, requests_s=30.0), Rolling(busy=False, requests_s=30.0)


@pytest.mark.parametrize(
    ("found", "wanted", "age_s", "expected"),
    [
        # a request that was on its way shows after a second
        (LEAVING, want(rolling=QUIET), 0.9, False),
        (LEAVING, want(rolling=QUIET), 1, True),
        (LEAVING, want(rolling=BUSY), 1, False),
        (LEAVING, want(rolling=BUSY), 29.9, False),
        (LEAVING, want(rolling=BUSY), 30, True),
        # nobody is on these
        (replace(LEAVING, healthy_at=None), want(rolling=BUSY), 0, True),
        (LEAVING, want(probed=False, rolling=BUSY), 0, True),
        (LEAVING, want(rolling=None), 0, True),
        (old(0), want(rolling=BUSY), 0, True),
    ],
)
def test_when_one_that_leaves_may_end(
    found: Instance, wanted: object, age_s: float, expected: bool
) -> None:
    now = at(200) + timedelta(seconds=age_s)
    assert may_end(found, wanted, now) is expected  # type: ignore[arg-type]
