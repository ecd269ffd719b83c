"""Keeps instances as they should be: pure rules from what is wanted and seen to the next steps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from gantry.engines.runtime.protocol import ProcessState, ProcessStatus
from gantry.features.instances.exchange import exchange_of, may_end
from gantry.features.instances.exits import Exit, exit_of, no_program
from gantry.features.instances.model import Health, Instance, Want
from gantry.features.releases.model import Release, ReleaseState
from gantry.features.releases.reading import manifest_of

# A live instance that fails this many probes in a row hangs. Live instances are probed every 5 s.
HUNG_AFTER_PROBES = 6
# Without a port, staying up this long counts as healthy.
SETTLED_AFTER = timedelta(seconds=1)
# Ends in a row that are its own fault; from here on people are told of a crash loop.
CRASH_LOOP_FAILURES = 5
# Healthy for this long before it ended: the end is a new story, not one more of a row.
_STABLE_AFTER = timedelta(seconds=30)
_MAX_BACK_OFF_S = 60.0
# From SIGTERM to SIGKILL where no release says otherwise any more.
_TERMINATE_S = 30.0


@dataclass(frozen=True, slots=True)
class Create:
    """Fill a slot."""

    release: str
    process: str
    slot: int
    probed: bool


@dataclass(frozen=True, slots=True)
class Start:
    """Start an instance's process, or adopt it where the answer to an earlier start was lost."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class MarkHealthy:
    """Record that it became healthy."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class RecordExit:
    """Record that its process ended, and when to start it again."""

    instance: Instance
    exit: Exit
    failures: int
    next_start_at: datetime


@dataclass(frozen=True, slots=True)
class Terminate:
    """Tell it to end."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Leave:
    """Let the edge send it no further visitors."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Kill:
    """End it by force."""

    instance: Instance
    reason: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Forget it: its process is gone and not wanted."""

    instance: Instance


Action = Create | Start | MarkHealthy | RecordExit | Leave | Terminate | Kill | Delete


def decide(
    wants: Iterable[Want],
    instances: Iterable[Instance],
    processes: Mapping[str, ProcessStatus],
    health: Mapping[str, Health],
    now: datetime,
) -> tuple[Action, ...]:
    """At most one step for each instance and each empty slot; nothing when all is as it should be."""
    by_kind = {(want.release, want.process): want for want in wants}
    known = tuple(instances)
    exchanges = {
        kind: exchange_of(want, (item for item in known if (item.release, item.process) == kind))
        for kind, want in by_kind.items()
    }
    actions: list[Action] = []
    filled = set()
    for instance in known:
        kind = (instance.release, instance.process)
        filled.add((*kind, instance.slot))
        want = by_kind.get(kind)
        process = processes.get(instance.id)
        action: Action | None
        if want is not None and instance.id in exchanges[kind].leaves:
            action = Leave(instance)
        elif want is None or _must_go(instance, want, exchanges[kind].slots):
            action = _stop(instance, process, want, now)
        else:
            action = _keep(instance, process, health.get(instance.id), want, now)
        if action is not None:
            actions.append(action)
    for kind, want in by_kind.items():
        for slot in range(exchanges[kind].slots):
            if (*kind, slot) not in filled:
                actions.append(Create(want.release, want.process, slot, want.probed))
    return tuple(actions)


def back_off_s(failures: int) -> float:
    """Seconds to wait before the next start, after `failures` ends in a row that were its own fault."""
    return 0.0 if failures <= 1 else min(_MAX_BACK_OFF_S, 0.5 * 2.0 ** (failures - 2))


def _must_go(instance: Instance, want: Want, slots: int) -> bool:
    if instance.slot >= slots or instance.stopping_since or instance.leaving_since:
        return True
    started_at, renew_before = instance.started_at, want.renew_before
    return started_at is not None and renew_before is not None and started_at < renew_before


def _stop(
    instance: Instance, process: ProcessStatus | None, want: Want | None, now: datetime
) -> Action | None:
    if process is None or process.state is not ProcessState.RUNNING:
        return Delete(instance)
    if instance.stopping_since is None:
        return Terminate(instance) if want is None or may_end(instance, want, now) else None
    patience_s = want.terminate_s if want is not None else _TERMINATE_S
    if now - instance.stopping_since >= timedelta(seconds=patience_s):
        return Kill(instance, "did not end within its deadline")
    return None


def _keep(
    instance: Instance,
    process: ProcessStatus | None,
    health: Health | None,
    want: Want,
    now: datetime,
) -> Action | None:
    if instance.started_at is None:
        waits = instance.next_start_at is not None and now < instance.next_start_at
        return None if waits else Start(instance)
    if process is None or process.state is not ProcessState.RUNNING:
        return _exit(instance, process, now)
    if instance.killed_for:
        return Kill(instance, instance.killed_for)  # the first signal may have been lost
    age = now - instance.started_at
    if instance.healthy_at is None:
        settled = health is not None and health.healthy if want.probed else age >= SETTLED_AFTER
        if settled:
            return MarkHealthy(instance)
        if age >= timedelta(seconds=want.start_deadline_s):
            last = health.message if health is not None else "no answer"
            return Kill(
                instance, f"was not healthy {want.start_deadline_s:.0f} s after its start: {last}"
            )
    elif want.probed and health is not None and health.failures >= HUNG_AFTER_PROBES:
        return Kill(instance, f"stopped answering: {health.message}")
    return None


def not_started(instance: Instance, message: str, now: datetime) -> RecordExit:
    """Its program could not be started, and cannot be the next time.

    Parameters:
        message: what the runtime said.
    """
    return _recorded(instance, no_program(message), now)


def _exit(instance: Instance, process: ProcessStatus | None, now: datetime) -> RecordExit:
    settled = instance.healthy_at is not None
    return _recorded(
        instance, exit_of(process, killed_for=instance.killed_for, settled=settled), now
    )


def _recorded(instance: Instance, exit: Exit, now: datetime) -> RecordExit:
    if not exit.fault:
        return RecordExit(instance, exit, instance.failures, now)  # start again at once
    stable = instance.healthy_at is not None and now - instance.healthy_at >= _STABLE_AFTER
    failures = 1 if stable else instance.failures + 1
    if exit.hopeless:
        failures = max(failures, CRASH_LOOP_FAILURES)
    return RecordExit(instance, exit, failures, now + timedelta(seconds=back_off_s(failures)))


def wants_of(
    release: Release,
    *,
    live: bool,
    now: datetime | None = None,
    busy: bool = False,
    scaled: Mapping[str, int] = MappingProxyType({}),
) -> tuple[Want, ...]:
    """Which instances should run: the web processes of every running release, workers of the live one only,
    so that no job is done by two releases.

    Parameters:
        busy: the edge still has requests or streams on the release. A release that visitors no longer get is kept
            warm for longer than streams may stay on it: at their deadline its instances are made anew.
        scaled: process -> how many were asked for by hand, in place of what the manifest says.
    """
    if release.state is not ReleaseState.RUNNING:
        return ()
    manifest = manifest_of(release)
    wants = []
    deadline = (release.left_at or release.created_at) + timedelta(seconds=manifest.drain.streams_s)
    overdue = (
        not live and busy and now is not None and release.left_at is not None and now >= deadline
    )
    for name, process in manifest.long_running.items():
        is_web = name == "web"
        if is_web or live:
            wants.append(
                Want(
                    release=release.id,
                    process=name,
                    count=scaled.get(name, process.instances),
                    probed=is_web,
                    start_deadline_s=process.health.start_deadline_s if is_web else 60.0,
                    terminate_s=process.drain.terminate_s,
                    renew_before=deadline if overdue and is_web else None,
                )
            )
    return tuple(wants)
