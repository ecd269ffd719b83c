"""Which instances a release should have."""

from gantry.features.instances.model import Want
from gantry.features.releases.model import Release, ReleaseState
from gantry.features.releases.reading import manifest_of


def wants_of(release: Release, *, live: bool) -> tuple[Want, ...]:
    """Which instances should run: the web processes of every running release, workers of the live one only,
    so that no job is done by two releases.
    """
    if release.state is not ReleaseState.RUNNING:
        return ()
    manifest = manifest_of(release)
    wants = []
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
                )
            )
    return tuple(wants)
