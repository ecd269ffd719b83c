"""Builds in the database."""

import json
from collections.abc import Mapping
from datetime import datetime

from gantry.engines.builders.protocol import Artifact, BuildRequest
from gantry.engines.database.protocol import Row, Session
from gantry.features.builds.model import Build, BuildState
from gantry.kernel.errors import NotFoundError

_COLUMNS = """id, project, key, source_digest, state, framework, reasons, artifact_digest, size_bytes,
              phases, error, created_at, finished_at, fresh, cached, tools"""


def _build(row: Row) -> Build:
    return Build(
        **{**row, "state": BuildState(row["state"]), "reasons": tuple(row["reasons"])},
    )


async def get(session: Session, build_id: str) -> Build:
    """One build.

    Raises:
        NotFoundError: `build.unknown`.
    """
    row = await session.one(f"SELECT {_COLUMNS} FROM builds WHERE id = %(id)s", {"id": build_id})
    if row is None:
        raise NotFoundError("build.unknown", f"no build {build_id!r}")
    return _build(row)


async def lock(session: Session, build_id: str) -> Build:
    """One build, locked until the transaction ends: nobody deletes its artifact meanwhile.

    Raises:
        NotFoundError: `build.unknown`.
    """
    await session.rows("SELECT 1 FROM builds WHERE id = %(id)s FOR UPDATE", {"id": build_id})
    return await get(session, build_id)


async def list_by_ids(session: Session, ids: tuple[str, ...]) -> Mapping[str, Build]:
    """Some builds."""
    rows = await session.rows(
        f"SELECT {_COLUMNS} FROM builds WHERE id = ANY(%(ids)s)", {"ids": list(ids)}
    )
    return {row["id"]: _build(row) for row in rows}


async def list_all(session: Session) -> tuple[Build, ...]:
    """Every build whose artifact may still exist, or that is being made."""
    rows = await session.rows(
        f"""SELECT {_COLUMNS} FROM builds WHERE state IN ('building', 'built', 'ready')
            ORDER BY created_at DESC"""
    )
    return tuple(_build(row) for row in rows)


async def list_for_project(session: Session, project: str, *, limit: int = 50) -> tuple[Build, ...]:
    """A project's newest builds."""
    rows = await session.rows(
        f"""SELECT {_COLUMNS} FROM builds WHERE project = %(project)s
            ORDER BY created_at DESC LIMIT %(limit)s""",
        {"project": project, "limit": limit},
    )
    return tuple(_build(row) for row in rows)


async def claim(
    session: Session, request: BuildRequest, key: str, *, variables_sealed: bytes, at: datetime
) -> Build:
    """The open or finished build of that key, or a new one; locked until the transaction ends.

    Parameters:
        variables_sealed: `request.env`, sealed; the key says that those of an earlier build are equal.
    """
    await session.execute(
        """INSERT INTO builds (id, project, key, source_digest, state, created_at, fresh, cached, variables_sealed)
           VALUES (%(id)s, %(project)s, %(key)s, %(source)s, 'building', %(at)s, %(fresh)s, %(cached)s, %(variables)s)
           ON CONFLICT (project, key) WHERE state IN ('building', 'built', 'ready') DO NOTHING""",
        {
            "id": request.id,
            "project": request.project,
            "key": key,
            "source": request.source_digest,
            "at": at,
            "fresh": request.fresh,
            "cached": request.cached,
            "variables": variables_sealed,
        },
    )
    row = await session.one(
        f"""SELECT {_COLUMNS} FROM builds WHERE project = %(project)s AND key = %(key)s
            AND state IN ('building', 'built', 'ready') FOR UPDATE""",
        {"project": request.project, "key": key},
    )
    assert row is not None, "the statement before made sure of it"
    return _build(row)


async def variables_sealed(session: Session, build_id: str) -> bytes | None:
    """The variables that the build is made with, sealed as one JSON object; `None` where an older Gantry claimed it."""
    row = await session.one(
        "SELECT variables_sealed FROM builds WHERE id = %(id)s", {"id": build_id}
    )
    return bytes(row["variables_sealed"]) if row and row["variables_sealed"] is not None else None


async def is_building(session: Session, project: str) -> bool:
    """Whether a deploy of the project builds or tests, or is about to."""
    row = await session.one(
        """SELECT EXISTS (
               SELECT 1 FROM deploys JOIN environments ON environments.id = deploys.environment
               WHERE environments.project = %(project)s AND deploys.state = 'active'
                   AND deploys.step IN ('source', 'build', 'test')) AS found""",
        {"project": project},
    )
    return bool(row and row["found"])


async def set_built(
    session: Session,
    build_id: str,
    artifact: Artifact,
    *,
    phases: Mapping[str, float],
    ready: bool,
    at: datetime,
) -> None:
    """Record what it made."""
    await session.execute(
        """UPDATE builds SET state = %(state)s, artifact_digest = %(digest)s,
               framework = %(framework)s, size_bytes = %(size)s, reasons = %(reasons)s,
               phases = %(phases)s, tools = %(tools)s, finished_at = %(at)s
           WHERE id = %(id)s AND state = 'building'""",
        {
            "id": build_id,
            "state": BuildState.READY if ready else BuildState.BUILT,
            "digest": artifact.digest,
            "framework": artifact.framework,
            "size": artifact.size_bytes,
            "reasons": json.dumps(artifact.reasons),
            "phases": json.dumps(dict(phases)),
            "tools": json.dumps(dict(artifact.tools)),
            "at": at,
        },
    )


async def set_ready(session: Session, build_id: str) -> None:
    """The project's tests passed."""
    await session.execute(
        "UPDATE builds SET state = 'ready' WHERE id = %(id)s AND state = 'built'", {"id": build_id}
    )


async def set_failed(
    session: Session, build_id: str, error: Mapping[str, str], *, at: datetime
) -> None:
    """It cannot be made; the next deploy of the same tree tries anew."""
    await session.execute(
        """UPDATE builds SET state = 'failed', error = %(error)s, finished_at = %(at)s, variables_sealed = NULL
           WHERE id = %(id)s AND state IN ('building', 'built')""",
        {"id": build_id, "error": json.dumps(dict(error)), "at": at},
    )


async def is_artifact_used(session: Session, digest: str) -> bool:
    """Whether some build that is not gone made this artifact: different trees may give equal artifacts."""
    row = await session.one(
        """SELECT count(*) AS builds FROM builds
           WHERE artifact_digest = %(digest)s AND state IN ('building', 'built', 'ready')""",
        {"digest": digest},
    )
    return bool(row and row["builds"])


async def forget(session: Session, build_id: str) -> bool:
    """Say that its artifact is gone, unless a deploy or a release has come to need it; whether that was said.

    Its row is locked first: a deploy that claims the build either comes before, and is seen, or finds it gone.
    """
    await session.rows("SELECT 1 FROM builds WHERE id = %(id)s FOR UPDATE", {"id": build_id})
    changed = await session.execute(
        """UPDATE builds SET state = 'gone', variables_sealed = NULL
           WHERE id = %(id)s AND state IN ('built', 'ready')
               AND NOT EXISTS (
                   SELECT 1 FROM deploys LEFT JOIN releases
                       ON releases.id IN (deploys.release, deploys.previous_release)
                   WHERE deploys.state IN ('queued', 'active') AND builds.id IN (deploys.build, releases.build))
               AND NOT EXISTS (
                   SELECT 1 FROM releases
                   WHERE releases.build = builds.id AND releases.state IN ('pending', 'running'))""",
        {"id": build_id},
    )
    return changed == 1


async def set_gone(session: Session, build_id: str) -> None:
    """Its artifact was deleted or found corrupt."""
    await session.execute(
        "UPDATE builds SET state = 'gone', variables_sealed = NULL WHERE id = %(id)s",
        {"id": build_id},
    )
