"""The rules that keep instances as they should be, as a table of stories."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from gantry.config.load import load_manifest
from gantry.engines.runtime.protocol import ProcessState, ProcessStatus
from gantry.features.instances import rules
from gantry.features.instances.model import Health, Instance, Want
from gantry.features.releases.model import Release, ReleaseState
from tests.support.stories import at, exited, instance, release, running, want


def decide(
    wants: list[Want],
    instances: list[Instance],
    processes: list[ProcessStatus],
    health: dict[str, Health] | None = None,
    now: float = 100.0,
) -> tuple[rules.Action, ...]:
    return rules.decide(
        wants, instances, {process.id: process for process in processes}, health or {}, at(now)
    )


def test_empty_slots_are_filled() -> None:
    assert decide([want(count=2)], [], []) == (
        rules.Create("r-1", "web", 0, True),
        rules.Create("r-1", "web", 1, True),
    )


def test_a_new_instance_is_started() -> None:
    fresh = instance()
    assert decide([want()], [fresh], []) == (rules.Start(fresh),)


def test_an_instance_whose_start_was_not_recorded_is_started_again_which_adopts_it() -> None:
    fresh = instance()
    assert decide([want()], [fresh], [running()]) == (rules.Start(fresh),)


def test_nothing_is_done_while_a_back_off_lasts() -> None:
    waiting = instance(next_start_at=at(101))
    assert decide([want()], [waiting], [exited()]) == ()
    assert decide([want()], [waiting], [exited()], now=101) == (rules.Start(waiting),)


def test_it_becomes_healthy_by_its_first_good_probe_only() -> None:
    started = instance(started_at=at(99))
    assert decide([want()], [started], [running()]) == ()
    assert decide([want()], [started], [running()], {"i-1": Health(False, 3, "x")}) == ()
    healthy = decide([want()], [started], [running()], {"i-1": Health(True)})
    assert healthy == (rules.MarkHealthy(started),)


def test_a_worker_is_healthy_when_it_stays_up() -> None:
    worker = instance(process="worker.mail", port=None, started_at=at(99.5))
    wanted = want(process="worker.mail", probed=False)
    assert decide([wanted], [worker], [running()], now=100) == ()
    assert decide([wanted], [worker], [running()], now=100.5) == (rules.MarkHealthy(worker),)


def test_one_that_never_becomes_healthy_is_killed_with_the_reason() -> None:
    started = instance(started_at=at(0))
    (action,) = decide(
        [want()], [started], [running()], {"i-1": Health(False, 9, "/: 500")}, now=60
    )
    assert action == rules.Kill(started, "was not healthy 60 s after its start: /: 500")


def test_one_that_was_never_asked_is_killed_for_it_too() -> None:
    started = instance(started_at=at(0))
    assert decide([want()], [started], [running()], now=59.9) == ()
    (action,) = decide([want()], [started], [running()], now=60)
    assert action == rules.Kill(started, "was not healthy 60 s after its start: no answer")


def test_one_that_hangs_is_killed() -> None:
    hung = instance(started_at=at(0), healthy_at=at(1))
    probe = {"i-1": Health(False, rules.HUNG_AFTER_PROBES, "/: timed out")}
    assert decide([want()], [hung], [running()], probe) == (
        rules.Kill(hung, "stopped answering: /: timed out"),
    )
    slow = {"i-1": Health(False, rules.HUNG_AFTER_PROBES - 1, "/: timed out")}
    assert decide([want()], [hung], [running()], slow) == ()
    assert decide([want(probed=False)], [hung], [running()], probe) == (), "nobody asks a worker"


def test_one_that_was_killed_and_runs_on_is_killed_again_for_the_same_reason() -> None:
    dying = instance(started_at=at(0), healthy_at=at(1), killed_for="it hung")
    assert decide([want()], [dying], [running()]) == (rules.Kill(dying, "it hung"),)


@pytest.mark.parametrize(
    ("changes", "process", "failures", "delay_s", "words"),
    [
        ({}, exited(exit_code=3), 1, 0, "exited with 3"),
        ({"failures": 1}, exited(exit_code=3), 2, 0.5, "exited with 3"),
        ({"failures": 4}, exited(exit_code=139), 5, 4, "ended by signal 11"),
        ({"failures": 20}, exited(), 21, 60, "exited with 1"),
        # healthy for 30 s: a new story
        ({"failures": 4, "healthy_at": at(50)}, exited(), 1, 0, "exited with 1"),
        ({"failures": 4, "healthy_at": at(70)}, exited(), 1, 0, "exited with 1"),
        ({"failures": 4, "healthy_at": at(71)}, exited(), 5, 4, "exited with 1"),
        # above 128 it is the number of a signal
        ({}, exited(exit_code=128), 1, 0, "exited with 128"),
        ({}, exited(exit_code=129), 1, 0, "ended by signal 1"),
        ({}, exited(exit_code=0), 1, 0, "exited with 0"),
        # somebody else's SIGKILL and a reboot are not its fault
        ({"failures": 2}, exited(exit_code=137), 2, 0, "ended by signal 9"),
        ({"failures": 2}, None, 2, 0, "vanished, as after a restart of the machine"),
        # but running out of memory is, and so is what Gantry had to kill it for
        ({}, exited(exit_code=137, out_of_memory=True), 1, 0, "killed: out of memory"),
        (
            {"failures": 1, "killed_for": "it hung"},
            exited(exit_code=137),
            2,
            0.5,
            "killed: it hung",
        ),
    ],
)
def test_an_end_is_recorded_with_its_back_off(
    changes: dict[str, Any],
    process: ProcessStatus | None,
    failures: int,
    delay_s: float,
    words: str,
) -> None:
    ended = instance(started_at=at(10), **changes)
    (action,) = decide([want()], [ended], [process] if process else [])
    out_of_memory = process is not None and process.out_of_memory
    assert action == rules.RecordExit(ended, words, failures, at(100 + delay_s), out_of_memory)


def test_back_off_doubles_up_to_a_minute() -> None:
    assert [rules.back_off_s(count) for count in range(10)] == [
        0, 0, 0.5, 1, 2, 4, 8, 16, 32, 60,
    ]  # fmt: skip


def test_what_is_not_wanted_is_told_to_end_then_killed_then_forgotten() -> None:
    old = instance(started_at=at(0), healthy_at=at(1))
    assert decide([], [old], [running()]) == (rules.Terminate(old),)
    told = instance(started_at=at(0), stopping_since=at(90))
    assert decide([], [told], [running()], now=95) == ()
    assert decide([want()], [told], [running()], now=100) == (
        rules.Kill(told, "did not end within its deadline"),
    )
    assert decide([], [told], [exited()]) == (rules.Delete(told),)


def test_what_no_release_asks_for_any_more_has_half_a_minute_to_end() -> None:
    told = instance(started_at=at(0), stopping_since=at(0))
    assert decide([], [told], [running()], now=29.9) == ()
    (action,) = decide([], [told], [running()], now=30)
    assert action == rules.Kill(told, "did not end within its deadline")


def test_fewer_instances_are_wanted_than_there_are() -> None:
    first = instance(started_at=at(0), healthy_at=at(1))
    second = instance(id="i-2", slot=1, started_at=at(0), healthy_at=at(1))
    both = [running(), running("i-2")]
    assert decide([want(count=2)], [first, second], both) == ()
    assert decide([want(count=1)], [first, second], both) == (rules.Leave(second, is_leaving=True),)
    assert decide([want(count=0)], [first], [running()]) == (rules.Leave(first, is_leaving=True),)


def test_one_that_was_told_to_end_is_not_taken_back_but_made_anew() -> None:
    told = instance(started_at=at(0), stopping_since=at(99))
    assert decide([want()], [told], [running()]) == ()
    assert decide([want()], [told], [exited()]) == (rules.Delete(told),)
    assert decide([want()], [], []) == (rules.Create("r-1", "web", 0, True),)


def test_streams_that_outstay_their_deadline_are_told_by_making_the_instance_anew() -> None:
    old = instance(started_at=at(0), healthy_at=at(1))
    fresh = instance(started_at=at(61), healthy_at=at(62))
    renewing = want(renew_before=at(60))
    assert decide([renewing], [old], [running()]) == (rules.Terminate(old),)
    assert decide([renewing], [fresh], [running()]) == ()
    just = instance(started_at=at(60), healthy_at=at(62))
    assert decide([renewing], [just], [running()]) == ()
    assert decide([renewing], [instance()], []) == (rules.Start(instance()),)


def test_a_settled_platform_needs_nothing() -> None:
    fine = instance(started_at=at(0), healthy_at=at(1))
    assert decide([want()], [fine], [running()], {"i-1": Health(True)}) == ()


def test_lost_processes_of_a_rebooted_machine_are_started_at_once() -> None:
    was = instance(started_at=at(0), healthy_at=at(1), failures=0)
    lost = ProcessStatus("i-1", ProcessState.LOST, None, at(0))
    (action,) = decide([want()], [was], [lost])
    assert isinstance(action, rules.RecordExit)
    assert action.next_start_at - at(100) == timedelta(0)


MANIFEST = """
[project]
name = "shop"
[processes.web]
instances = 2
health = { path = "/health", start_deadline = "45s" }
drain = { streams = "5m", terminate = "20s" }
[processes.worker.mail]
command = "node mail.mjs"
drain = { terminate = "40s" }
[environments.production]
"""
WEB = Want("r-1", "web", 2, probed=True, start_deadline_s=45.0, terminate_s=20.0, drain_s=300.0)
MAIL = Want("r-1", "worker.mail", 1, probed=False, start_deadline_s=60.0, terminate_s=40.0)


def of_shop(**changes: Any) -> Release:
    """A release of a product with a worker, which visitors left after 100 s."""
    manifest = load_manifest(MANIFEST, where="gantry.toml").for_environment("production")
    return release(manifest=manifest.model_dump(mode="json"), **{"left_at": at(100)} | changes)


def test_workers_run_of_the_live_release_only() -> None:
    assert rules.wants_of(of_shop(), live=True) == (WEB, MAIL)
    assert rules.wants_of(of_shop(), live=False) == (WEB,)
    assert rules.wants_of(of_shop(), live=False, now=at(400)) == (WEB,), (
        "nobody is known to be on it"
    )


@pytest.mark.parametrize("state", [state for state in ReleaseState if state != "running"])
def test_nothing_runs_of_a_release_that_does_not_run(state: ReleaseState) -> None:
    assert rules.wants_of(of_shop(state=state), live=True) == ()


@pytest.mark.parametrize(
    ("changes", "live", "busy", "now", "renewed"),
    [
        ({}, False, True, at(400), True),
        ({}, False, True, at(399), False),
        ({}, False, False, at(400), False),  # nobody is on it
        ({}, True, True, at(400), False),  # it is live again
        ({}, False, True, None, False),
        ({"left_at": None}, False, True, at(400), False),  # visitors never had it
    ],
)
def test_streams_may_stay_on_a_release_until_their_deadline(
    changes: dict[str, Any], live: bool, busy: bool, now: datetime | None, renewed: bool
) -> None:
    web, *_ = rules.wants_of(of_shop(**changes), live=live, now=now, busy=busy)
    assert web == replace(WEB, renew_before=at(400) if renewed else None)
