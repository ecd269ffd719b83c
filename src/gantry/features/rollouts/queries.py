"""Rollouts in the database."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gantry.engines.state.protocol import Row, Session
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


async def begin_stage(session: Session, rollout: Rollout, number: int, *, at: datetime) -> None:
    """End the present stage and begin stage `number`."""
    await _close(session, rollout, at=at)
    await session.execute(
        f"""UPDATE rollouts SET stage = %(number)s, state = 'running', wish = NULL, paused_at = NULL,
                verdict = NULL, stage_started_at = %(at)s
            WHERE id = %(id)s AND stage = %(from)s AND {_OPEN}""",
        {"id": rollout.id, "number": number, "from": rollout.stage, "at": at},
    )
    await _begin(session, rollout.id, number, at=at)


async def hold(session: Session, rollout: Rollout, state: RolloutState, *, at: datetime) -> None:
    """Stop the clock of the present stage."""
    await session.execute(
        f"""UPDATE rollouts SET state = %(state)s, wish = NULL, paused_at = COALESCE(paused_at, %(at)s)
            WHERE id = %(id)s AND {_OPEN}""",
        {"id": rollout.id, "state": state, "at": at},
    )


async def resume(session: Session, rollout: Rollout, *, at: datetime) -> None:
    """Let the clock go on: the beginning of the stage moves by the length of the pause."""
    await session.execute(
        f"""UPDATE rollouts SET state = 'running', wish = NULL, paused_at = NULL,
                stage_started_at = stage_started_at + (%(at)s - COALESCE(paused_at, %(at)s))
            WHERE id = %(id)s AND {_OPEN}""",
        {"id": rollout.id, "at": at},
    )


async def end(
    session: Session, rollout: Rollout, state: RolloutState, reason: str, *, at: datetime
) -> None:
    """Record how it ended."""
    await _close(session, rollout, at=at)
    await session.execute(
        f"""UPDATE rollouts SET state = %(state)s, reason = %(reason)s, wish = NULL, ended_at = %(at)s
            WHERE id = %(id)s AND {_OPEN}""",
        {"id": rollout.id, "state": state, "reason": reason, "at": at},
    )


async def set_verdict(session: Session, rollout_id: str, verdict: Mapping[str, Any]) -> None:
    """Keep the last verdict, with the numbers that it was said of."""
    await session.execute(
        f"UPDATE rollouts SET verdict = %(verdict)s WHERE id = %(id)s AND {_OPEN}",
        {"id": rollout_id, "verdict": json.dumps(dict(verdict))},
    )


async def list_without_requests(session: Session) -> tuple[Rollout, ...]:
    """Rollouts whose failed requests have not been looked up yet."""
    rows = await session.rows(
        f"SELECT {_COLUMNS} FROM rollouts WHERE evidence->'requests' = 'null' ORDER BY ended_at"
    )
    return tuple(_rollout(row) for row in rows)


async def set_evidence(session: Session, rollout_id: str, evidence: Mapping[str, Any]) -> None:
    """Keep what the candidate had done."""
    await session.execute(
        "UPDATE rollouts SET evidence = %(evidence)s WHERE id = %(id)s",
        {"id": rollout_id, "evidence": json.dumps(dict(evidence))},
    )


async def set_wish(session: Session, rollout: Rollout, wish: Wish) -> None:
    """Ask for something.

    Raises:
        ConflictError: `rollout.ended`.
    """
    changed = await session.execute(
        f"UPDATE rollouts SET wish = %(wish)s WHERE id = %(id)s AND {_OPEN}",
        {"id": rollout.id, "wish": wish},
    )
    if not changed:
        raise ConflictError(
            "rollout.ended",
            f"the rollout {rollout.id} has ended already: {rollout.state}",
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


async def baseline(
    session: Session, rollout: Rollout, counted: Mapping[str, Any]
) -> Mapping[str, Any]:
    """What had been counted when the present stage came into effect: `counted`, unless that is known already."""
    row = await session.one(
        """UPDATE rollout_stages SET baseline = COALESCE(baseline, %(counted)s)
           WHERE rollout = %(id)s AND number = %(number)s RETURNING baseline""",
        {"id": rollout.id, "number": rollout.stage, "counted": json.dumps(dict(counted))},
    )
    assert row is not None, "a stage that is in effect has begun"
    found: Mapping[str, Any] = row["baseline"]
    return found


async def _begin(session: Session, rollout_id: str, number: int, *, at: datetime) -> None:
    await session.execute(
        """INSERT INTO rollout_stages (rollout, number, started_at) VALUES (%(id)s, %(number)s, %(at)s)
           ON CONFLICT (rollout, number) DO NOTHING""",
        {"id": rollout_id, "number": number, "at": at},
    )


async def _close(session: Session, rollout: Rollout, *, at: datetime) -> None:
    await session.execute(
        """UPDATE rollout_stages SET ended_at = %(at)s, verdict = %(verdict)s
           WHERE rollout = %(id)s AND number = %(number)s AND ended_at IS NULL""",
        {
            "id": rollout.id,
            "number": rollout.stage,
            "at": at,
            "verdict": None if rollout.verdict is None else json.dumps(dict(rollout.verdict)),
        },
    )
