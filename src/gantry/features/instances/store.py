"""Instances in the database."""

from collections.abc import Collection
from datetime import datetime

from gantry.engines.database.protocol import Session
from gantry.features.instances.model import Instance

_COLUMNS = """id, release, process, slot, port, created_at, started_at, healthy_at, restarts, failures,
              next_start_at, stopping_since, last_exit, killed_for, out_of_memory_kills,
              leaving_since"""


async def list_all(session: Session) -> tuple[Instance, ...]:
    """Every instance."""
    rows = await session.rows(f"SELECT {_COLUMNS} FROM instances ORDER BY created_at, id")
    return tuple(Instance(**row) for row in rows)


async def list_for_environments(
    session: Session, environment_ids: Collection[str]
) -> tuple[Instance, ...]:
    """The instances of some environments' releases, the newest release's first."""
    rows = await session.rows(
        f"""SELECT {_COLUMNS} FROM instances
            JOIN (SELECT id AS release, number, environment FROM releases) AS releases USING (release)
            WHERE environment = ANY(%(environments)s)
            ORDER BY number DESC, process, slot""",
        {"environments": list(environment_ids)},
    )
    return tuple(Instance(**row) for row in rows)


async def insert(
    session: Session,
    *,
    instance_id: str,
    release: str,
    process: str,
    slot: int,
    port: int | None,
    at: datetime,
) -> None:
    """Create an instance unless its slot is filled. A port in use raises `state.conflict`."""
    await session.execute(
        """INSERT INTO instances (id, release, process, slot, port, created_at)
           VALUES (%(id)s, %(release)s, %(process)s, %(slot)s, %(port)s, %(at)s)
           ON CONFLICT (release, process, slot) DO NOTHING""",
        {
            "id": instance_id,
            "release": release,
            "process": process,
            "slot": slot,
            "port": port,
            "at": at,
        },
    )


async def set_started(session: Session, instance_id: str, *, at: datetime) -> None:
    """Its process was started."""
    await session.execute(
        """UPDATE instances SET started_at = %(at)s, healthy_at = NULL, next_start_at = NULL
           WHERE id = %(id)s""",
        {"id": instance_id, "at": at},
    )


async def set_healthy(session: Session, instance_id: str, *, at: datetime | None) -> None:
    """It is healthy since `at`, or (`None`) no longer."""
    await session.execute(
        "UPDATE instances SET healthy_at = %(at)s WHERE id = %(id)s", {"id": instance_id, "at": at}
    )


async def set_exited(
    session: Session,
    instance_id: str,
    *,
    failures: int,
    next_start_at: datetime,
    last_exit: str,
    out_of_memory: bool,
) -> None:
    """Its process ended by itself and is to be started again."""
    await session.execute(
        """UPDATE instances SET started_at = NULL, healthy_at = NULL, restarts = restarts + 1,
               failures = %(failures)s, next_start_at = %(next)s, last_exit = %(exit)s,
               killed_for = '', out_of_memory_kills = out_of_memory_kills + %(oom)s
           WHERE id = %(id)s""",
        {
            "id": instance_id,
            "failures": failures,
            "next": next_start_at,
            "exit": last_exit,
            "oom": int(out_of_memory),
        },
    )


async def set_killed_for(session: Session, instance_id: str, reason: str) -> None:
    """Gantry is about to kill it, for `reason`."""
    await session.execute(
        "UPDATE instances SET killed_for = %(reason)s WHERE id = %(id)s",
        {"id": instance_id, "reason": reason},
    )


async def set_stopping(session: Session, instance_id: str, *, at: datetime) -> None:
    """It was told to end."""
    await session.execute(
        "UPDATE instances SET stopping_since = %(at)s WHERE id = %(id)s AND stopping_since IS NULL",
        {"id": instance_id, "at": at},
    )


async def set_leaving(session: Session, instance_id: str, *, at: datetime | None) -> None:
    """It is one too many since `at`, or (`None`) no longer."""
    await session.execute(
        "UPDATE instances SET leaving_since = %(at)s WHERE id = %(id)s",
        {"id": instance_id, "at": at},
    )


async def delete(session: Session, instance_id: str) -> None:
    """It is gone."""
    await session.execute("DELETE FROM instances WHERE id = %(id)s", {"id": instance_id})
