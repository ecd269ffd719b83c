"""Rollouts in the database."""

import json
from collections.abc import Collection
from datetime import datetime
from itertools import groupby

from gantry.engines.database.protocol import Row, Session
from gantry.features.rollouts.model import (
    Evidence,
    Rollout,
    RolloutCommand,
    RolloutRecord,
    RolloutState,
    Stage,
    StageKind,
    StageRecord,
)
from gantry.features.rollouts.verdict.model import Verdict
from gantry.features.rollouts.window import StageWindows
from gantry.kernel.errors import ConflictError, NotFoundError

_COLUMNS = """id, deploy, environment, candidate, current, stages, stage, state, approval, wish, started_at,
              stage_started_at, paused_at, verdict, reason, cookie_key, ended_at, evidence"""
_OPEN = "state IN ('running', 'paused', 'waiting')"


def _rollout(row: Row) -> Rollout:
    return Rollout(
        id=row["id"],
        deploy=row["deploy"],
        environment=row["environment"],
        candidate=row["candidate"],
        current=row["current"],
        stages=tuple(
            Stage(StageKind(stage["kind"]), stage["percent"], stage["time_s"])
            for stage in row["stages"]
        ),
        stage=row["stage"],
        state=RolloutState(row["state"]),
        approval=row["approval"],
        cookie_key=row["cookie_key"],
        started_at=row["started_at"],
        stage_started_at=row["stage_started_at"],
        requested=None if row["wish"] is None else RolloutCommand(row["wish"]),
        paused_at=row["paused_at"],
        verdict=None if row["verdict"] is None else Verdict.parse(row["verdict"]),
        reason=row["reason"],
        ended_at=row["ended_at"],
        evidence=None if row["evidence"] is None else Evidence.parse(row["evidence"]),
    )


async def list_open(session: Session) -> tuple[Rollout, ...]:
    """Every rollout that has not ended."""
    rows = await session.rows(
        f"SELECT {_COLUMNS} FROM rollouts WHERE {_OPEN} ORDER BY started_at, id"
    )
    return tuple(_rollout(row) for row in rows)


async def list_for_deploys(session: Session, deploys: tuple[str, ...]) -> tuple[Rollout, ...]:
    """The rollouts of these deploys, ended or not."""
    if not deploys:
        return ()
    rows = await session.rows(
        f"SELECT {_COLUMNS} FROM rollouts WHERE deploy = ANY(%(deploys)s)",
        {"deploys": list(deploys)},
    )
    return tuple(_rollout(row) for row in rows)


async def latest(session: Session, environment_id: str) -> Rollout | None:
    """The newest rollout of an environment, ended or not."""
    row = await session.one(
        f"""SELECT {_COLUMNS} FROM rollouts WHERE environment = %(environment)s
            ORDER BY started_at DESC, id LIMIT 1""",
        {"environment": environment_id},
    )
    return _rollout(row) if row else None


async def list_newest(
    session: Session, environment_ids: Collection[str]
) -> tuple[RolloutRecord, ...]:
    """The newest rollout of each of some environments that had one, ended or not, with its stages."""
    rows = await session.rows(
        f"""SELECT newest.*, stages.number AS stage_number, stages.started_at AS stage_began_at,
                stages.ended_at AS stage_ended_at, stages.verdict AS stage_verdict,
                (SELECT number FROM releases WHERE id = newest.candidate) AS candidate_number,
                (SELECT number FROM releases WHERE id = newest.current) AS current_number,
                (SELECT finished_at IS NOT NULL FROM deploys WHERE id = newest.deploy) AS deploy_ended
            FROM (SELECT DISTINCT ON (environment) {_COLUMNS} FROM rollouts
                  WHERE environment = ANY(%(environments)s)
                  ORDER BY environment, started_at DESC, id) AS newest
            LEFT JOIN rollout_stages AS stages ON stages.rollout = newest.id
            ORDER BY newest.id, stages.number""",
        {"environments": list(environment_ids)},
    )
    grouped = groupby(rows, key=lambda row: row["id"])
    return tuple(_record(list(stages)) for _, stages in grouped)


def _record(rows: list[Row]) -> RolloutRecord:
    """A rollout from its rows, one a stage."""
    first = rows[0]
    stages = (
        StageRecord(
            row["stage_number"],
            row["stage_began_at"],
            row["stage_ended_at"],
            None if row["stage_verdict"] is None else Verdict.parse(row["stage_verdict"]),
        )
        for row in rows
        if row["stage_number"] is not None
    )
    return RolloutRecord(
        rollout=_rollout(first),
        candidate_number=first["candidate_number"],
        current_number=first["current_number"],
        deploy_ended=first["deploy_ended"],
        stages=tuple(stages),
    )


async def get(session: Session, rollout_id: str) -> Rollout:
    """The rollout with this identity.

    Raises:
        NotFoundError: `rollout.unknown`.
    """
    row = await session.one(
        f"SELECT {_COLUMNS} FROM rollouts WHERE id = %(id)s", {"id": rollout_id}
    )
    if row is None:
        raise NotFoundError("rollout.unknown", f"no rollout {rollout_id!r}")
    return _rollout(row)


async def insert(session: Session, rollout: Rollout) -> None:
    """Begin a rollout with its first stage. One that the deploy has already is left as it is."""
    changed = await session.execute(
        """INSERT INTO rollouts (id, deploy, environment, candidate, current, stages, stage, state, approval,
                                 cookie_key, started_at, stage_started_at)
           VALUES (%(id)s, %(deploy)s, %(environment)s, %(candidate)s, %(current)s, %(stages)s, 0, 'running',
                   %(approval)s, %(cookie_key)s, %(at)s, %(at)s)
           ON CONFLICT (deploy) DO NOTHING""",
        {
            "id": rollout.id,
            "deploy": rollout.deploy,
            "environment": rollout.environment,
            "candidate": rollout.candidate,
            "current": rollout.current,
            "stages": json.dumps([stage.as_dict() for stage in rollout.stages]),
            "approval": rollout.approval,
            "cookie_key": rollout.cookie_key,
            "at": rollout.started_at,
        },
    )
    if changed:
        await _begin(session, rollout.id, 0, at=rollout.started_at)


async def begin_stage(session: Session, rollout: Rollout, number: int, *, at: datetime) -> bool:
    """End the present stage and begin stage `number`; False where the rollout is not as it was seen any more."""
    sets = "stage = %(number)s, state = 'running', paused_at = NULL, verdict = NULL, stage_started_at = %(at)s"
    if not await _change(session, rollout, sets, at=at, number=number):
        return False
    await _close(session, rollout.id, rollout.verdict, at=at)
    await _begin(session, rollout.id, number, at=at)
    return True


async def hold(session: Session, rollout: Rollout, state: RolloutState, *, at: datetime) -> bool:
    """Stop the clock of the present stage; False where the rollout is not as it was seen any more."""
    sets = "state = %(state)s, paused_at = COALESCE(paused_at, %(at)s)"
    return await _change(session, rollout, sets, at=at, state=state)


async def resume(session: Session, rollout: Rollout, *, at: datetime) -> bool:
    """Let the clock go on: the beginning of the stage moves by the length of the pause.

    False where the rollout is not as it was seen any more.
    """
    sets = "state = 'running', paused_at = NULL, stage_started_at = %(began)s"
    return await _change(session, rollout, sets, at=at, began=at - rollout.stage_age(at))


async def end(
    session: Session, rollout: Rollout, state: RolloutState, reason: str, *, at: datetime
) -> bool:
    """Record how it ended; False where the rollout is not as it was seen any more."""
    sets = "state = %(state)s, reason = %(reason)s, ended_at = %(at)s"
    if not await _change(session, rollout, sets, at=at, state=state, reason=reason):
        return False
    await _close(session, rollout.id, rollout.verdict, at=at)
    return True


async def abort(session: Session, rollout_id: str, reason: str, *, at: datetime) -> None:
    """End it with its deploy, however it stands. One that has ended is left as it is."""
    row = await session.one(
        f"""UPDATE rollouts SET state = 'aborted', reason = %(reason)s, wish = NULL, ended_at = %(at)s
            WHERE id = %(id)s AND {_OPEN} RETURNING verdict""",
        {"id": rollout_id, "reason": reason, "at": at},
    )
    if row is not None:
        verdict = None if row["verdict"] is None else Verdict.parse(row["verdict"])
        await _close(session, rollout_id, verdict, at=at)


async def _change(
    session: Session, rollout: Rollout, sets: str, *, at: datetime, **values: object
) -> bool:
    """Change what is still as it was seen: what somebody asked meanwhile must be decided upon first."""
    changed = await session.execute(
        f"""UPDATE rollouts SET wish = NULL, {sets}
            WHERE id = %(id)s AND stage = %(seen_stage)s AND state = %(seen_state)s
              AND wish IS NOT DISTINCT FROM %(seen_wish)s""",
        {
            **values,
            "id": rollout.id,
            "at": at,
            "seen_stage": rollout.stage,
            "seen_state": rollout.state,
            "seen_wish": rollout.requested,
        },
    )
    return changed == 1


async def record_verdict(
    session: Session, rollout: Rollout, verdict: Verdict, windows: StageWindows
) -> None:
    """Keep the last verdict on the present stage, and the numbers from which the next control plane would go on."""
    await session.execute(
        f"UPDATE rollouts SET verdict = %(verdict)s WHERE id = %(id)s AND stage = %(stage)s AND {_OPEN}",
        {"id": rollout.id, "stage": rollout.stage, "verdict": json.dumps(verdict.as_dict())},
    )
    await session.execute(
        "UPDATE rollout_stages SET windows = %(windows)s WHERE rollout = %(id)s AND number = %(number)s",
        {"id": rollout.id, "number": rollout.stage, "windows": json.dumps(windows.as_dict())},
    )


async def list_without_evidence(session: Session) -> tuple[Rollout, ...]:
    """Rollouts whose evidence is not complete yet."""
    rows = await session.rows(
        f"""SELECT {_COLUMNS} FROM rollouts
            WHERE evidence->'requests' = 'null' OR evidence->'lines' = 'null' ORDER BY ended_at"""
    )
    return tuple(_rollout(row) for row in rows)


async def set_evidence(session: Session, rollout_id: str, evidence: Evidence) -> None:
    """Keep the evidence against the candidate."""
    await session.execute(
        "UPDATE rollouts SET evidence = %(evidence)s WHERE id = %(id)s",
        {"id": rollout_id, "evidence": json.dumps(evidence.as_dict())},
    )


async def request(session: Session, rollout: Rollout, command: RolloutCommand) -> None:
    """Note a command for the reactor. An abort is not taken back by another command.

    Raises:
        ConflictError: `rollout.ended`, `rollout.aborting`.
    """
    changed = await session.execute(
        f"""UPDATE rollouts SET wish = %(command)s
            WHERE id = %(id)s AND {_OPEN} AND (wish IS DISTINCT FROM 'abort' OR %(command)s = 'abort')""",
        {"id": rollout.id, "command": command},
    )
    if changed:
        return
    now = await get(session, rollout.id)
    if now.state.ended:
        raise ConflictError(
            "rollout.ended",
            f"the rollout {rollout.id} has ended already: {now.state}",
            hint="gantry rollout status",
        )
    raise ConflictError(
        "rollout.aborting",
        f"the rollout {rollout.id} is being aborted",
        hint="gantry rollout status",
    )


async def begin_windows(
    session: Session, rollout: Rollout, opened: StageWindows, *, at: datetime
) -> StageWindows:
    """The windows of the present stage, which is in effect; `opened` where that is seen for the first time.

    Then its time counts from now.
    """
    stage = {"id": rollout.id, "number": rollout.stage}
    first = await session.execute(
        """UPDATE rollout_stages SET windows = %(opened)s
           WHERE rollout = %(id)s AND number = %(number)s AND windows IS NULL""",
        {**stage, "opened": json.dumps(opened.as_dict())},
    )
    if first:
        await session.execute(
            """UPDATE rollouts SET stage_started_at = COALESCE(paused_at, %(at)s)
               WHERE id = %(id)s AND stage = %(number)s""",
            {**stage, "at": at},
        )
    row = await session.one(
        "SELECT windows FROM rollout_stages WHERE rollout = %(id)s AND number = %(number)s", stage
    )
    assert row is not None, "a stage that is in effect has begun"
    return StageWindows.parse(row["windows"])


async def _begin(session: Session, rollout_id: str, number: int, *, at: datetime) -> None:
    await session.execute(
        """INSERT INTO rollout_stages (rollout, number, started_at) VALUES (%(id)s, %(number)s, %(at)s)
           ON CONFLICT (rollout, number) DO NOTHING""",
        {"id": rollout_id, "number": number, "at": at},
    )


async def _close(
    session: Session, rollout_id: str, verdict: Verdict | None, *, at: datetime
) -> None:
    """The stage that lasts has ended, with the last verdict on it."""
    await session.execute(
        """UPDATE rollout_stages SET ended_at = %(at)s, verdict = %(verdict)s
           WHERE rollout = %(id)s AND ended_at IS NULL""",
        {
            "id": rollout_id,
            "at": at,
            "verdict": None if verdict is None else json.dumps(verdict.as_dict()),
        },
    )
