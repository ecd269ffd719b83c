"""Keeps instances as they should be: pure rules from what is wanted and seen to the next steps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from gantry.engines.runtime.protocol import ProcessState, ProcessStatus
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
_SIGKILL_EXIT = 137


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
    reason: str
    failures: int
    next_start_at: datetime
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class Leave:
    """Record that it is one too many, so that the edge lets go of it; or that it is wanted again."""

    instance: Instance
    is_leaving: bool


@dataclass(frozen=True, slots=True)
class Terminate:
    """Tell it to end."""

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
    actions: list[Action] = []
    filled = set()
    for instance in instances:
        filled.add((instance.release, instance.process, instance.slot))
        want = by_kind.get((instance.release, instance.process))
        process = processes.get(instance.id)
        if want is not None and _is_too_many(instance, want):
            action = _leave(instance, process, want, now)
        elif want is None or _must_go(instance, want):
            action = _stop(instance, process, want, now)
        elif instance.leaving_since is not None:
            action = Leave(instance, is_leaving=False)
        else:
            action = _keep(instance, process, health.get(instance.id), want, now)
        if action is not None:
            actions.append(action)
    for want in by_kind.values():
        for slot in range(want.count):
            if (want.release, want.process, slot) not in filled:
                actions.append(Create(want.release, want.process, slot, want.probed))
    return tuple(actions)


def back_off_s(failures: int) -> float:
    """Seconds to wait before the next start, after `failures` ends in a row that were its own fault."""
    return 0.0 if failures <= 1 else min(_MAX_BACK_OFF_S, 0.5 * 2.0 ** (failures - 2))


def _is_too_many(instance: Instance, want: Want) -> bool:
    """Visitors may be on it: not one that was told to end already."""
    return instance.slot >= want.count and instance.stopping_since is None


def _leave(
    instance: Instance, process: ProcessStatus | None, want: Want, now: datetime
) -> Action | None:
    """What has visitors leaves the edge first, and ends when they have had their time."""
    has_visitors = want.probed and instance.healthy_at is not None
    if has_visitors and process is not None and process.state is ProcessState.RUNNING:
        if instance.leaving_since is None:
            return Leave(instance, is_leaving=True)
        if now - instance.leaving_since < timedelta(seconds=want.drain_s):
            return None
    return _stop(instance, process, want, now)


def _must_go(instance: Instance, want: Want) -> bool:
    if instance.stopping_since is not None:
        return True
    started_at, renew_before = instance.started_at, want.renew_before
    return started_at is not None and renew_before is not None and started_at < renew_before


def _stop(
    instance: Instance, process: ProcessStatus | None, want: Want | None, now: datetime
) -> Action | None:
    if process is None or process.state is not ProcessState.RUNNING:
        return Delete(instance)
    if instance.stopping_since is None:
        return Terminate(instance)
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


def _exit(instance: Instance, process: ProcessStatus | None, now: datetime) -> RecordExit:
    lost = process is None or process.state is ProcessState.LOST
    # Somebody else's SIGKILL, or a reboot, is not the product's fault: start again at once.
    fault = bool(instance.killed_for) or not (lost or _killed_from_outside(process))
    if not fault:
        return RecordExit(instance, _words(instance, process), instance.failures, now)
    out_of_memory = process is not None and process.out_of_memory
    stable = instance.healthy_at is not None and now - instance.healthy_at >= _STABLE_AFTER
    failures = 1 if stable else instance.failures + 1
    next_start_at = now + timedelta(seconds=back_off_s(failures))
    return RecordExit(instance, _words(instance, process), failures, next_start_at, out_of_memory)


def _killed_from_outside(process: ProcessStatus | None) -> bool:
    return process is not None and process.exit_code == _SIGKILL_EXIT and not process.out_of_memory


def _words(instance: Instance, process: ProcessStatus | None) -> str:
    if instance.killed_for:
        return f"killed: {instance.killed_for}"
    if process is None or process.state is ProcessState.LOST:
        return "vanished, as after a restart of the machine"
    if process.out_of_memory:
        return "killed: out of memory"
    code = process.exit_code or 0
    return f"ended by signal {code - 128}" if code > 128 else f"exited with {code}"


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
                    drain_s=process.drain.streams_s if is_web else 0.0,
                )
            )
    return tuple(wants)
