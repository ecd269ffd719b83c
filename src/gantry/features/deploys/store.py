"""Deploys in the database."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from gantry.engines.database.protocol import Row, Session
from gantry.features.deploys.model import (
    Deploy,
    DeployKind,
    DeployRecord,
    DeployState,
    Step,
    StepRecord,
    StepState,
)
from gantry.features.releases.model import Commit, Release
from gantry.kernel.errors import ConflictError, NotFoundError

_COLUMNS = """id, environment, kind, state, step, source_digest, commit, manifest, build, release,
              previous_release, requested_by, requested_at, started_at, step_started_at, finished_at,
              cancel_requested, error, process, use_cache"""

_RECORD = f"""SELECT {_COLUMNS},
    (SELECT number FROM releases WHERE releases.id = deploys.release) AS release_number,
    (SELECT tools FROM builds WHERE builds.id = deploys.build) AS tools,
    CASE state WHEN 'queued' THEN
        (SELECT count(*) FROM deploys AS earlier
         WHERE earlier.environment = deploys.environment AND earlier.state = 'queued'
           AND (earlier.requested_at, earlier.id) < (deploys.requested_at, deploys.id))
    END AS queue_position"""

MOVED = "deploy.moved"


def _deploy(row: Row) -> Deploy:
    return Deploy(
        **{
            **row,
            "kind": DeployKind(row["kind"]),
            "state": DeployState(row["state"]),
            "step": Step(row["step"]),
            "commit": Commit(**row["commit"]),
        }
    )


async def get(session: Session, deploy_id: str) -> Deploy:
    """One deploy.

    Raises:
        NotFoundError: `deploy.unknown`.
    """
    row = await session.one(f"SELECT {_COLUMNS} FROM deploys WHERE id = %(id)s", {"id": deploy_id})
    if row is None:
        raise _no_deploy(deploy_id)
    return _deploy(row)


def _no_deploy(deploy_id: str) -> NotFoundError:
    return NotFoundError(
        "deploy.unknown", f"no deploy {deploy_id!r}", hint="gantry status lists the last ones"
    )


async def list_open(session: Session) -> tuple[Deploy, ...]:
    """Every deploy that has not ended, oldest first."""
    rows = await session.rows(
        f"""SELECT {_COLUMNS} FROM deploys WHERE state IN ('queued', 'active')
            ORDER BY requested_at, id"""
    )
    return tuple(_deploy(row) for row in rows)


async def list_for_environment(
    session: Session, environment_id: str, *, limit: int = 20
) -> tuple[Deploy, ...]:
    """An environment's newest deploys."""
    rows = await session.rows(
        f"""SELECT {_COLUMNS} FROM deploys WHERE environment = %(environment)s
            ORDER BY requested_at DESC LIMIT %(limit)s""",
        {"environment": environment_id, "limit": limit},
    )
    return tuple(_deploy(row) for row in rows)


async def get_record(session: Session, deploy_id: str) -> DeployRecord:
    """A deploy with its steps, and what is shown beside it.

    Raises:
        NotFoundError: `deploy.unknown`.
    """
    rows = await session.rows(f"{_RECORD} FROM deploys WHERE id = %(id)s", {"id": deploy_id})
    if not rows:
        raise _no_deploy(deploy_id)
    return (await _records(session, rows))[0]


async def list_recent(session: Session, newest: Mapping[str, int]) -> tuple[DeployRecord, ...]:
    """The deploys of some environments that are under way and their newest ones, the newest first.

    Parameters:
        newest: environment -> how many of its newest deploys are wanted.
    """
    rows = await session.rows(
        f"""{_RECORD}
            FROM unnest(%(environments)s::text[], %(newest)s::integer[]) AS wanted(wanted, newest),
            LATERAL (
                (SELECT {_COLUMNS} FROM deploys WHERE environment = wanted
                 ORDER BY requested_at DESC, id DESC LIMIT newest)
                UNION
                (SELECT {_COLUMNS} FROM deploys WHERE environment = wanted AND state = 'active')
            ) AS deploys
            ORDER BY requested_at DESC, id DESC""",
        {"environments": list(newest), "newest": list(newest.values())},
    )
    return await _records(session, rows)


async def _records(session: Session, rows: list[Row]) -> tuple[DeployRecord, ...]:
    steps = await _steps_of(session, [row["id"] for row in rows]) if rows else {}
    return tuple(
        DeployRecord(
            release_number=row.pop("release_number"),
            queue_position=row.pop("queue_position"),
            tools=row.pop("tools") or {},
            steps=steps.get(row["id"], ()),
            deploy=_deploy(row),
        )
        for row in rows
    )


async def list_steps(session: Session, deploy_id: str) -> tuple[StepRecord, ...]:
    """The steps of a deploy so far, in no order: that is the pipeline's."""
    return (await _steps_of(session, [deploy_id])).get(deploy_id, ())


async def _steps_of(
    session: Session, deploy_ids: list[str]
) -> Mapping[str, tuple[StepRecord, ...]]:
    rows = await session.rows(
        """SELECT deploy, name, state, started_at, finished_at, detail FROM deploy_steps
           WHERE deploy = ANY(%(deploys)s)""",
        {"deploys": deploy_ids},
    )
    found: dict[str, list[StepRecord]] = {}
    for row in rows:
        record = StepRecord(
            name=Step(row["name"]),
            state=StepState(row["state"]),
            started_at=row["started_at"],
            finished_at=row["finished_at"],
            detail=row["detail"],
        )
        found.setdefault(row["deploy"], []).append(record)
    return {deploy: tuple(records) for deploy, records in found.items()}


async def insert(session: Session, deploy: Deploy) -> None:
    """Queue a deploy."""
    await session.execute(
        """INSERT INTO deploys (id, environment, kind, state, step, source_digest, commit, manifest,
                                build, release, requested_by, requested_at, process, use_cache)
           VALUES (%(id)s, %(environment)s, %(kind)s, 'queued', %(step)s, %(source)s, %(commit)s,
                   %(manifest)s, %(build)s, %(release)s, %(by)s, %(at)s, %(process)s, %(use_cache)s)""",
        {
            "id": deploy.id,
            "environment": deploy.environment,
            "kind": deploy.kind,
            "step": deploy.step,
            "source": deploy.source_digest,
            "commit": json.dumps(asdict(deploy.commit)),
            "manifest": None if deploy.manifest is None else json.dumps(deploy.manifest),
            "build": deploy.build,
            "release": deploy.release,
            "by": deploy.requested_by,
            "at": deploy.requested_at,
            "process": deploy.process,
            "use_cache": deploy.use_cache,
        },
    )


async def activate(session: Session, deploy: Deploy, *, at: datetime) -> None:
    """Take a queued deploy from the queue and begin its first step."""
    await session.execute(
        """UPDATE deploys SET state = 'active', started_at = %(at)s, step_started_at = %(at)s
           WHERE id = %(id)s AND state = 'queued'""",
        {"id": deploy.id, "at": at},
    )
    await _begin_step(session, deploy.id, deploy.step, at=at)


async def set_source(
    session: Session, deploy_id: str, *, manifest: Mapping[str, Any], build: str
) -> None:
    """Record what the source step found."""
    await session.execute(
        "UPDATE deploys SET manifest = %(manifest)s, build = %(build)s WHERE id = %(id)s",
        {"id": deploy_id, "manifest": json.dumps(manifest), "build": build},
    )


async def take_over(session: Session, deploy_id: str, release: Release) -> None:
    """Record that it makes its release of what `release` is made of."""
    await session.execute(
        """UPDATE deploys SET build = %(build)s, commit = %(commit)s, manifest = %(manifest)s
           WHERE id = %(id)s""",
        {
            "id": deploy_id,
            "build": release.build,
            "commit": json.dumps(asdict(release.commit)),
            "manifest": json.dumps(release.manifest),
        },
    )


async def set_release(session: Session, deploy_id: str, release_id: str) -> None:
    """Record the release that was made."""
    await session.execute(
        "UPDATE deploys SET release = %(release)s WHERE id = %(id)s",
        {"id": deploy_id, "release": release_id},
    )


async def set_previous_release(session: Session, deploy_id: str, release_id: str | None) -> None:
    """Record what was live before the switch."""
    await session.execute(
        "UPDATE deploys SET previous_release = %(release)s WHERE id = %(id)s",
        {"id": deploy_id, "release": release_id},
    )


async def advance(
    session: Session,
    deploy: Deploy,
    to: Step | None,
    *,
    state: StepState,
    detail: str,
    at: datetime,
) -> None:
    """End the present step and begin `to`; `None` ends the deploy in success.

    Raises:
        ConflictError: `deploy.moved` the deploy is not at that step any more: whoever decided this saw the past.
    """
    changed = await session.execute(
        """UPDATE deploys SET step = %(to)s, step_started_at = %(at)s
           WHERE id = %(id)s AND step = %(from)s AND state = 'active'""",
        {"id": deploy.id, "from": deploy.step, "to": to or deploy.step, "at": at},
    )
    if not changed:
        raise ConflictError(MOVED, f"{deploy.id} is not at the step {deploy.step} any more")
    await _end_step(session, deploy.id, deploy.step, state=state, detail=detail, at=at)
    if to is None:
        await _end(session, deploy.id, DeployState.SUCCEEDED, None, at=at)
    else:
        await _begin_step(session, deploy.id, to, at=at)


async def finish_failed(
    session: Session, deploy: Deploy, state: DeployState, error: Mapping[str, str], *, at: datetime
) -> None:
    """End a deploy as failed or cancelled, at the step where it is."""
    if deploy.state is DeployState.ACTIVE:
        await _end_step(
            session, deploy.id, deploy.step, state=StepState.FAILED, detail=error["message"], at=at
        )
    await _end(session, deploy.id, state, error, at=at)


async def request_cancel(session: Session, deploy_id: str) -> None:
    """Ask for a deploy to stop."""
    await session.execute(
        """UPDATE deploys SET cancel_requested = true
           WHERE id = %(id)s AND state IN ('queued', 'active')""",
        {"id": deploy_id},
    )


async def _begin_step(session: Session, deploy_id: str, step: Step, *, at: datetime) -> None:
    await session.execute(
        """INSERT INTO deploy_steps (deploy, name, state, started_at)
           VALUES (%(deploy)s, %(name)s, 'running', %(at)s) ON CONFLICT (deploy, name) DO NOTHING""",
        {"deploy": deploy_id, "name": step, "at": at},
    )


async def _end_step(
    session: Session, deploy_id: str, step: Step, *, state: StepState, detail: str, at: datetime
) -> None:
    await session.execute(
        """UPDATE deploy_steps SET state = %(state)s, finished_at = %(at)s, detail = %(detail)s
           WHERE deploy = %(deploy)s AND name = %(name)s""",
        {"deploy": deploy_id, "name": step, "state": state, "detail": detail, "at": at},
    )


async def _end(
    session: Session,
    deploy_id: str,
    state: DeployState,
    error: Mapping[str, str] | None,
    *,
    at: datetime,
) -> None:
    await session.execute(
        """UPDATE deploys SET state = %(state)s, finished_at = %(at)s, error = %(error)s
           WHERE id = %(id)s AND state IN ('queued', 'active')""",
        {
            "id": deploy_id,
            "state": state,
            "at": at,
            "error": None if error is None else json.dumps(dict(error)),
        },
    )
