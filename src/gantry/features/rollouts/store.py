"""Rollouts in the database."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gantry.engines.database.protocol import Row, Session
from gantry.features.rollouts.model import Rollout, RolloutState, Stage, StageKind, Wish
from gantry.kernel.errors import ConflictError, NotFoundError

_COLUMNS = """id, deploy, environment, candidate, current, stages, stage, state, approval, wish, started_at,
              stage_started_at, paused_at, verdict, reason, cookie_key, ended_at, evidence"""
_OPEN = "state IN ('running', 'paused', 'waiting')"


def _rollout(row: Row) -> Rollout:
    stages = tuple(
        Stage(StageKind(stage["kind"]), stage["percent"], stage["time_s"])
        for stage in row["stages"]
    )
    wish = Wish(row["wish"]) if row["wish"] else None
    return Rollout(**{**row, "stages": stages, "state": RolloutState(row["state"]), "wish": wish})


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


async def find_by_deploy(session: Session, deploy_id: str) -> Rollout | None:
    """The rollout of a deploy, ended or not."""
    row = await session.one(
        f"SELECT {_COLUMNS} FROM rollouts WHERE deploy = %(deploy)s", {"deploy": deploy_id}
    )
    return _rollout(row) if row else None


async def latest(session: Session, environment_id: str) -> Rollout | None:
    """The newest rollout of an environment, ended or not."""
    row = await session.one(
        f"""SELECT {_COLUMNS} FROM rollouts WHERE environment = %(environment)s
            ORDER BY started_at DESC, id LIMIT 1""",
        {"environment": environment_id},
    )
    return _rollout(row) if row else None


async def get(session: Session, rollout_id: str) -> Rollout:
    """One rollout.

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
    sets = """state = 'running', paused_at = NULL,
              stage_started_at = stage_started_at + (%(at)s - COALESCE(paused_at, %(at)s))"""
    return await _change(session, rollout, sets, at=at)


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
        await _close(session, rollout_id, row["verdict"], at=at)


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
            "seen_wish": rollout.wish,
        },
    )
    return changed == 1


async def record_look(
    session: Session, rollout: Rollout, verdict: Mapping[str, Any], windows: Mapping[str, Any]
) -> None:
    """Keep the last verdict on the present stage, and the numbers from which the next control plane would go on."""
    await session.execute(
        f"UPDATE rollouts SET verdict = %(verdict)s WHERE id = %(id)s AND stage = %(stage)s AND {_OPEN}",
        {"id": rollout.id, "stage": rollout.stage, "verdict": json.dumps(dict(verdict))},
    )
    await session.execute(
        "UPDATE rollout_stages SET windows = %(windows)s WHERE rollout = %(id)s AND number = %(number)s",
        {"id": rollout.id, "number": rollout.stage, "windows": json.dumps(dict(windows))},
    )


async def list_without_evidence(session: Session) -> tuple[Rollout, ...]:
    """Rollouts whose evidence is not complete yet."""
    rows = await session.rows(
        f"""SELECT {_COLUMNS} FROM rollouts
            WHERE evidence->'requests' = 'null' OR evidence->'lines' = 'null' ORDER BY ended_at"""
    )
    return tuple(_rollout(row) for row in rows)


async def set_evidence(session: Session, rollout_id: str, evidence: Mapping[str, Any]) -> None:
    """Keep what the candidate had done."""
    await session.execute(
        "UPDATE rollouts SET evidence = %(evidence)s WHERE id = %(id)s",
        {"id": rollout_id, "evidence": json.dumps(dict(evidence))},
    )


async def set_wish(session: Session, rollout: Rollout, wish: Wish) -> None:
    """Ask for something. An abort that was asked for is not taken back by another wish.

    Raises:
        ConflictError: `rollout.ended`, `rollout.aborting`.
    """
    changed = await session.execute(
        f"""UPDATE rollouts SET wish = %(wish)s
            WHERE id = %(id)s AND {_OPEN} AND (wish IS DISTINCT FROM 'abort' OR %(wish)s = 'abort')""",
        {"id": rollout.id, "wish": wish},
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


async def stage_history(session: Session, rollout_id: str) -> tuple[Row, ...]:
    """Every stage so far: number, started_at, ended_at, verdict."""
    rows = await session.rows(
        """SELECT number, started_at, ended_at, verdict FROM rollout_stages
           WHERE rollout = %(id)s ORDER BY number""",
        {"id": rollout_id},
    )
    return tuple(rows)


async def begin_windows(
    session: Session, rollout: Rollout, opened: Mapping[str, Any], *, at: datetime
) -> Mapping[str, Any]:
    """The present stage is in effect: the numbers so far, which are `opened` where it is seen to be for the first time.

    Then its time counts from now.
    """
    stage = {"id": rollout.id, "number": rollout.stage}
    first = await session.execute(
        """UPDATE rollout_stages SET windows = %(opened)s
           WHERE rollout = %(id)s AND number = %(number)s AND windows IS NULL""",
        {**stage, "opened": json.dumps(dict(opened))},
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
    found: Mapping[str, Any] = row["windows"]
    return found


async def _begin(session: Session, rollout_id: str, number: int, *, at: datetime) -> None:
    await session.execute(
        """INSERT INTO rollout_stages (rollout, number, started_at) VALUES (%(id)s, %(number)s, %(at)s)
           ON CONFLICT (rollout, number) DO NOTHING""",
        {"id": rollout_id, "number": number, "at": at},
    )


async def _close(
    session: Session, rollout_id: str, verdict: Mapping[str, Any] | None, *, at: datetime
) -> None:
    """The stage that lasts has ended, with what was said of it last."""
    await session.execute(
        """UPDATE rollout_stages SET ended_at = %(at)s, verdict = %(verdict)s
           WHERE rollout = %(id)s AND ended_at IS NULL""",
        {
            "id": rollout_id,
            "at": at,
            "verdict": None if verdict is None else json.dumps(dict(verdict)),
        },
    )
