"""Releases in the database."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta

from gantry.engines.database.protocol import Row, Session
from gantry.features.builds.model import BuildState
from gantry.features.releases.model import BuiltRelease, Commit, Release, ReleaseState
from gantry.kernel.errors import NotFoundError

_PAGES_LIVE = timedelta(days=1)
_COLUMNS = """id, environment, number, build, manifest, commit, state, created_at, live_at, left_at,
              retired_at, withdrawn_at"""


def _release(row: Row) -> Release:
    return Release(
        **{**row, "state": ReleaseState(row["state"]), "commit": Commit(**row["commit"])},
    )


async def get(session: Session, release_id: str) -> Release:
    """One release.

    Raises:
        NotFoundError: `release.unknown`.
    """
    row = await session.one(
        f"SELECT {_COLUMNS} FROM releases WHERE id = %(id)s", {"id": release_id}
    )
    if row is None:
        raise NotFoundError("release.unknown", f"no release {release_id!r}")
    return _release(row)


async def find_by_number(session: Session, environment_id: str, number: int) -> Release | None:
    """The environment's release of that number."""
    row = await session.one(
        f"SELECT {_COLUMNS} FROM releases WHERE environment = %(environment)s AND number = %(number)s",
        {"environment": environment_id, "number": number},
    )
    return _release(row) if row else None


async def newest_of_build(session: Session, build_id: str) -> Release | None:
    """The newest release that was made of a build, whatever its environment."""
    row = await session.one(
        f"""SELECT {_COLUMNS} FROM releases WHERE build = %(build)s
            ORDER BY created_at DESC, id DESC LIMIT 1""",
        {"build": build_id},
    )
    return _release(row) if row else None


async def list_for_environment(
    session: Session, environment_id: str, *, limit: int = 50
) -> tuple[Release, ...]:
    """An environment's newest releases."""
    rows = await session.rows(
        f"""SELECT {_COLUMNS} FROM releases WHERE environment = %(environment)s
            ORDER BY number DESC LIMIT %(limit)s""",
        {"environment": environment_id, "limit": limit},
    )
    return tuple(_release(row) for row in rows)


async def list_built(
    session: Session, environment_ids: Collection[str], *, newest_of: str = "", newest: int = 0
) -> tuple[BuiltRelease, ...]:
    """The releases of some environments that are live, run or have instances, with their builds; newest first.

    Parameters:
        newest_of, newest: the environment whose so many newest releases are wanted as well, whatever their state.
    """
    rows = await session.rows(
        f"""SELECT {_COLUMNS}, framework, size_bytes, build_state
            FROM releases JOIN (
                SELECT id AS build, framework, size_bytes, state AS build_state FROM builds
            ) AS built USING (build)
            WHERE environment = ANY(%(environments)s) AND (
                state = 'running'
                OR id IN (SELECT release FROM instances)
                OR id IN (SELECT live_release FROM environments)
                OR id IN (SELECT id FROM releases WHERE environment = %(newest_of)s
                          ORDER BY number DESC LIMIT %(newest)s))
            ORDER BY number DESC""",
        {"environments": list(environment_ids), "newest_of": newest_of, "newest": newest},
    )
    return tuple(_built(row) for row in rows)


def _built(row: Row) -> BuiltRelease:
    framework, size_bytes = row.pop("framework"), row.pop("size_bytes")
    kept = BuildState(row.pop("build_state")) is BuildState.READY
    return BuiltRelease(_release(row), framework, size_bytes, kept)


async def numbers(session: Session, release_ids: Collection[str]) -> dict[str, int]:
    """Release -> its number, for those of `release_ids` that there are."""
    rows = await session.rows(
        "SELECT id, number FROM releases WHERE id = ANY(%(ids)s)", {"ids": list(release_ids)}
    )
    return {row["id"]: row["number"] for row in rows}


async def list_some(session: Session, release_ids: Collection[str]) -> tuple[Release, ...]:
    """Those of `release_ids` that there are."""
    rows = await session.rows(
        f"SELECT {_COLUMNS} FROM releases WHERE id = ANY(%(ids)s)", {"ids": list(release_ids)}
    )
    return tuple(_release(row) for row in rows)


async def domain_holder(
    session: Session, domains: tuple[str, ...], *, except_project: str, except_environment: str
) -> tuple[str, str, str] | None:
    """One of `domains` that a live release of another environment has: domain, project, environment."""
    row = await session.one(
        """SELECT domain, e.project, e.name
           FROM environments e JOIN releases r ON r.id = e.live_release,
                jsonb_array_elements_text(r.manifest->'domains') domain
           WHERE domain = ANY(%(domains)s) AND (e.project, e.name) <> (%(project)s, %(name)s)
           ORDER BY domain LIMIT 1""",
        {"domains": list(domains), "project": except_project, "name": except_environment},
    )
    return (row["domain"], row["project"], row["name"]) if row else None


async def list_all(session: Session) -> tuple[Release, ...]:
    """Every release, oldest first."""
    rows = await session.rows(f"SELECT {_COLUMNS} FROM releases ORDER BY created_at")
    return tuple(_release(row) for row in rows)


async def list_present(session: Session) -> tuple[Release, ...]:
    """Every release that runs or still has instances."""
    rows = await session.rows(
        f"""SELECT {_COLUMNS} FROM releases
            WHERE state = 'running' OR id IN (SELECT release FROM instances)
            ORDER BY created_at"""
    )
    return tuple(_release(row) for row in rows)


async def builds_by_environment(session: Session, *, at: datetime) -> Mapping[str, tuple[str, ...]]:
    """Environment -> builds that its visitors may have pages of, the live one first, then the newest.

    A candidate that was taken back had visitors too; their pages live for a day.
    """
    rows = await session.rows(
        """SELECT releases.environment, releases.build
           FROM releases
           JOIN builds ON builds.id = releases.build AND builds.state IN ('built', 'ready')
           JOIN environments ON environments.id = releases.environment
           WHERE releases.state <> 'failed' OR releases.created_at > %(since)s
           ORDER BY (releases.id = environments.live_release) DESC NULLS LAST, releases.number DESC""",
        {"since": at - _PAGES_LIVE},
    )
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        found.setdefault(row["environment"], {})[row["build"]] = None
    return {environment: tuple(builds) for environment, builds in found.items()}


async def list_were_live(session: Session, environment_id: str) -> tuple[BuiltRelease, ...]:
    """Every release of an environment that visitors got, with its build; newest first."""
    rows = await session.rows(
        f"""SELECT {_COLUMNS}, framework, size_bytes, build_state
            FROM releases JOIN (
                SELECT id AS build, framework, size_bytes, state AS build_state FROM builds
            ) AS built USING (build)
            WHERE environment = %(environment)s AND live_at IS NOT NULL
            ORDER BY number DESC""",
        {"environment": environment_id},
    )
    return tuple(_built(row) for row in rows)


async def withdraw(session: Session, release_id: str, *, at: datetime) -> None:
    """Somebody rolled back from it: only its number leads there again."""
    await session.execute(
        "UPDATE releases SET withdrawn_at = %(at)s WHERE id = %(id)s", {"id": release_id, "at": at}
    )


async def lock_domains(session: Session) -> None:
    """Nobody else changes which environment a domain leads to until the transaction ends."""
    await session.rows("SELECT pg_advisory_xact_lock(hashtext('gantry.domains'))")


async def insert(session: Session, release: Release, *, variables_sealed: bytes) -> None:
    """Create a release."""
    await session.execute(
        """INSERT INTO releases
               (id, environment, number, build, manifest, variables_sealed, commit, state, created_at)
           VALUES (%(id)s, %(environment)s, %(number)s, %(build)s, %(manifest)s, %(variables)s,
                   %(commit)s, %(state)s, %(at)s)""",
        {
            "id": release.id,
            "environment": release.environment,
            "number": release.number,
            "build": release.build,
            "manifest": json.dumps(release.manifest),
            "variables": variables_sealed,
            "commit": json.dumps(asdict(release.commit)),
            "state": release.state,
            "at": release.created_at,
        },
    )


async def variables_sealed(session: Session, release_id: str) -> bytes:
    """The variables that the release runs with, sealed as one JSON object."""
    row = await session.one(
        "SELECT variables_sealed FROM releases WHERE id = %(id)s", {"id": release_id}
    )
    if row is None:
        raise NotFoundError("release.unknown", f"no release {release_id!r}")
    return bytes(row["variables_sealed"])


async def set_state(
    session: Session, release_id: str, state: ReleaseState, *, at: datetime
) -> None:
    """Say whether its instances should run. The database refuses it where the release is live and would not."""
    await session.execute(
        """UPDATE releases SET state = %(state)s,
               retired_at = CASE WHEN %(state)s IN ('retired', 'failed') THEN %(at)s::timestamptz END
           WHERE id = %(id)s""",
        {"id": release_id, "state": state, "at": at},
    )


async def retire(session: Session, release_id: str, *, at: datetime) -> bool:
    """End a running release, unless it is live or an open deploy works on it or may return to it; whether it was.

    The environment's lock keeps a switch from making it so in the same moment.
    """
    await session.rows(
        """SELECT 1 FROM environments
           WHERE id = (SELECT environment FROM releases WHERE id = %(id)s) FOR UPDATE""",
        {"id": release_id},
    )
    changed = await session.execute(
        """UPDATE releases SET state = 'retired', retired_at = %(at)s
           FROM environments
           WHERE releases.id = %(id)s AND releases.state = 'running'
               AND environments.id = releases.environment
               AND environments.live_release IS DISTINCT FROM releases.id
               AND NOT EXISTS (
                   SELECT 1 FROM deploys
                   WHERE deploys.environment = releases.environment
                       AND deploys.state IN ('queued', 'active')
                       AND releases.id IN (deploys.release, deploys.previous_release))""",
        {"id": release_id, "at": at},
    )
    return changed == 1


async def retire_all(session: Session, environment_id: str, *, at: datetime) -> None:
    """No release of the environment is live, and none should run any more."""
    await session.execute(
        "UPDATE environments SET live_release = NULL WHERE id = %(environment)s",
        {"environment": environment_id},
    )
    await session.execute(
        """UPDATE releases SET state = 'retired', retired_at = %(at)s
           WHERE environment = %(environment)s AND state = 'running'""",
        {"environment": environment_id, "at": at},
    )


async def set_live(
    session: Session,
    environment_id: str,
    release_id: str | None,
    *,
    previous: str | None,
    at: datetime,
) -> None:
    """Visitors of the environment get this release from now on, or the page that nothing is live, and no longer
    `previous`. What is live runs: a release that was retired is started again.
    """
    if release_id is not None:
        await session.execute(
            """UPDATE releases SET state = 'running', retired_at = NULL, live_at = %(at)s, left_at = NULL,
                   withdrawn_at = NULL
               WHERE id = %(id)s""",
            {"id": release_id, "at": at},
        )
    await session.execute(
        "UPDATE environments SET live_release = %(release)s WHERE id = %(id)s",
        {"id": environment_id, "release": release_id},
    )
    if previous is not None and previous != release_id:
        await session.execute(
            "UPDATE releases SET left_at = %(at)s WHERE id = %(id)s", {"id": previous, "at": at}
        )
