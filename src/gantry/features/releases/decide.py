"""When a release that visitors no longer get may stop."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from gantry.features.releases.model import Release, ReleaseState

# Long enough for a request that was routed in the moment of the switch to show up in the edge's numbers.
_QUIET_AFTER = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a release is kept after it was live.

    Attributes:
        keep_warm_s: the release before the live one, ready for a rollback within a second.
        requests_s: deadline for requests that still run.
        streams_s: deadline for event streams and WebSockets.
    """

    keep_warm_s: float
    requests_s: float
    streams_s: float


def to_retire(
    releases: Iterable[Release],
    *,
    live: Mapping[str, str | None],
    held: frozenset[str],
    active_requests: Mapping[str, int],
    patience: Mapping[str, Patience],
    now: datetime,
) -> tuple[Release, ...]:
    """The running releases that nothing needs any more.

    Parameters:
        live: environment -> the release that visitors get.
        held: releases that a deploy is working on.
        active_requests: release -> requests and streams that the edge still has on it.
        patience: release -> how long it is kept.
    """
    left = [
        release
        for release in releases
        if release.state is ReleaseState.RUNNING
        and release.id != live.get(release.environment)
        and release.id not in held
    ]
    newest_left: dict[str, Release] = {}
    for release in left:
        best = newest_left.get(release.environment)
        if best is None or _left_at(release) > _left_at(best):
            newest_left[release.environment] = release
    return tuple(
        release
        for release in left
        if _may_stop(
            release,
            warm=newest_left[release.environment] is release,
            active_requests=active_requests.get(release.id, 0),
            patience=patience[release.id],
            now=now,
        )
    )


def _left_at(release: Release) -> datetime:
    return release.left_at or release.created_at


def _may_stop(
    release: Release, *, warm: bool, active_requests: int, patience: Patience, now: datetime
) -> bool:
    age_s = (now - _left_at(release)).total_seconds()
    if warm:
        return age_s >= max(patience.keep_warm_s, patience.streams_s)
    if active_requests == 0:
        return age_s >= min(_QUIET_AFTER.total_seconds(), patience.requests_s)
    return age_s >= patience.streams_s
