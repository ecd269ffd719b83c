"""Which instances a release should have."""

from datetime import datetime, timedelta

from gantry.features.instances.model import Want
from gantry.features.releases.model import Release, ReleaseState
from gantry.features.releases.reading import manifest_of


def wants_of(
    release: Release, *, live: bool, now: datetime | None = None, busy: bool = False
) -> tuple[Want, ...]:
    """Which instances should run: the web processes of every running release, workers of the live one only,
    so that no job is done by two releases.

    Parameters:
        busy: the edge still has requests or streams on the release. A release that visitors no longer get is kept
            warm for longer than streams may stay on it: at their deadline its instances are made anew.
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
                    count=process.instances,
                    probed=is_web,
                    start_deadline_s=process.health.start_deadline_s if is_web else 60.0,
                    terminate_s=process.drain.terminate_s,
                    renew_before=deadline if overdue and is_web else None,
                )
            )
    return tuple(wants)
