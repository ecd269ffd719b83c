"""Instances that were asked for by hand, and those that are one too many."""

from dataclasses import replace
from datetime import timedelta

from gantry.features.instances import rules
from gantry.features.instances.model import Instance, Rolling, Want
from gantry.features.instances.rules import Create, Delete, Leave, Terminate
from tests.support.stories import T0, exited, instance, running, want
from tests.unit.test_instance_rules import MAIL, WEB, of_shop

SECOND = replace(instance(), id="i-2", slot=1, started_at=T0, healthy_at=T0)
ONE = want()


def decided(
    found: Instance, *, wanted: Want = ONE, seconds: float = 0.0, runs: bool = True
) -> tuple[rules.Action, ...]:
    processes = {found.id: running(found.id) if runs else exited(found.id)}
    first = replace(instance(), started_at=T0, healthy_at=T0)
    now = T0 + timedelta(seconds=seconds)
    return rules.decide([wanted], [first, found], processes | {first.id: running()}, {}, now)


def test_what_is_asked_for_by_hand_comes_before_the_manifest() -> None:
    scaled = {"web": 5, "worker.mail": 0}
    wanted = rules.wants_of(of_shop(), live=True, scaled=scaled)
    assert wanted == (replace(WEB, count=5), replace(MAIL, count=0))


def test_more_are_made_at_once() -> None:
    steps = rules.decide([want(count=3)], [], {}, {}, T0)
    assert [step.slot for step in steps if isinstance(step, Create)] == [0, 1, 2]


def test_one_too_many_leaves_the_edge_and_ends_when_its_visitors_had_their_time() -> None:
    rolling = Rolling(busy=True, requests_s=60.0)
    wanted = replace(ONE, rolling=rolling)
    assert decided(SECOND, wanted=wanted) == (Leave(SECOND),)
    leaving = replace(SECOND, leaving_since=T0)
    assert decided(leaving, wanted=wanted, seconds=59) == ()
    assert decided(leaving, wanted=wanted, seconds=60) == (Terminate(leaving),)
    quiet = replace(ONE, rolling=replace(rolling, busy=False))
    assert decided(leaving, wanted=quiet, seconds=2) == (Terminate(leaving),)
    stopping = replace(leaving, stopping_since=T0)
    assert decided(stopping, wanted=wanted, seconds=61, runs=False) == (Delete(stopping),)


def test_what_has_no_visitors_ends_at_once() -> None:
    starting = replace(SECOND, healthy_at=None)
    assert decided(starting) == (Terminate(starting),)
    assert decided(SECOND, runs=False) == (Delete(SECOND),)
    worker = want(process="web", count=1, probed=False)
    assert decided(SECOND, wanted=worker) == (Terminate(SECOND),)
