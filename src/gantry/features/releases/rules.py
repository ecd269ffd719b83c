"""When a release that visitors no longer get may stop, and where a rollback leads."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from gantry.features.releases.model import BuiltRelease, Release, ReleaseState

# Long enough for a request that was routed in the moment of the switch to show up in the edge's numbers.
_QUIET_AFTER = timedelta(seconds=10)
# Releases that run for pages that were loaded from them: each costs memory, and a page is rarely older.
_MAX_OLDER = 3
_MAX_SKEW_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a release is kept after it was live.

    Attributes:
        keep_warm_s: the release before the live one, ready for a rollback within a second.
        requests_s: deadline for requests that still run.
        streams_s: deadline for event streams and WebSockets.
        skew_s: how long an older release keeps running after its last request, for pages that were loaded from it.
    """

    keep_warm_s: float
    requests_s: float
    streams_s: float
    skew_s: float


def to_retire(
    releases: Iterable[Release],
    *,
    live: Mapping[str, str | None],
    held: frozenset[str],
    active_requests: Mapping[str, int],
    asked_at: Mapping[str, datetime],
    patience: Mapping[str, Patience],
    now: datetime,
) -> tuple[Release, ...]:
    """The running releases that nothing needs any more.

    Parameters:
        live: environment -> the release that visitors get.
        held: releases that an open deploy works on, or may return to.
        active_requests: release -> requests and streams that the edge still has on it.
        asked_at: release -> when a request was last seen to go to it.
        patience: release -> how long it is kept.
    """
    left = [
        release
        for release in releases
        if release.state is ReleaseState.RUNNING
        and release.id != live.get(release.environment)
        and release.id not in held
    ]
    newest_first: dict[str, list[Release]] = {}
    for release in sorted(left, key=_left_at, reverse=True):
        newest_first.setdefault(release.environment, []).append(release)
    return tuple(
        release
        for release in left
        if _may_stop(
            release,
            rank=newest_first[release.environment].index(release),
            active_requests=active_requests.get(release.id, 0),
            asked_at=asked_at.get(release.id, _left_at(release)),
            patience=patience[release.id],
            now=now,
        )
    )


def _left_at(release: Release) -> datetime:
    return release.left_at or release.created_at


def _may_stop(
    release: Release,
    *,
    rank: int,
    active_requests: int,
    asked_at: datetime,
    patience: Patience,
    now: datetime,
) -> bool:
    age_s = (now - _left_at(release)).total_seconds()
    if rank == 0 and age_s < max(patience.keep_warm_s, patience.streams_s):
        return False
    unasked_s = min(age_s, (now - asked_at).total_seconds())
    if rank < _MAX_OLDER and unasked_s < patience.skew_s and age_s < _MAX_SKEW_S:
        return False
    if active_requests == 0:
        return age_s >= min(_QUIET_AFTER.total_seconds(), patience.requests_s)
    return age_s >= patience.streams_s


def rollback_target(releases: Iterable[BuiltRelease], live: str | None) -> BuiltRelease | None:
    """Where a rollback that names no release leads: down to the next release below the live one that can go live again.

    Never to one that somebody rolled back from, or whose switch failed: what was bad once does not come back by itself.

    Parameters:
        releases: of one environment.
        live: the one that visitors get; `None` where nothing is live, then every number is below.
    """
    known = tuple(releases)
    number = next((built.release.number for built in known if built.release.id == live), None)
    below = (
        built
        for built in known
        if built.kept
        and built.release.was_live
        and built.release.withdrawn_at is None
        and built.release.id != live
        and (number is None or built.release.number < number)
    )
    return max(below, key=lambda built: built.release.number, default=None)
