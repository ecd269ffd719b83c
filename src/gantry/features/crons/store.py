"""Runs of scheduled commands in the database."""

from collections.abc import Iterable
from datetime import datetime

from gantry.engines.database.protocol import Row, Session
from gantry.features.crons.model import Run, RunState

# So many runs of each command are remembered, and the output of so many.
MAX_RUNS = 500
MAX_OUTPUTS = 20

_COLUMNS = """environment, cron, scheduled_for, process_id, state, asked_by, release,
              started_at, finished_at, detail, output"""


async def list_open(session: Session) -> tuple[Run, ...]:
    """Runs whose end was not recorded yet, the oldest first."""
    return _runs(
        await session.rows(
            f"SELECT {_COLUMNS} FROM cron_runs WHERE state IN ('asked', 'running') ORDER BY scheduled_for"
        )
    )


async def list_latest(session: Session, environment: str) -> tuple[Run, ...]:
    """The newest run of each command of an environment."""
    return _runs(
        await session.rows(
            f"""SELECT DISTINCT ON (cron) {_COLUMNS} FROM cron_runs WHERE environment = %(environment)s
                ORDER BY cron, scheduled_for DESC""",
            {"environment": environment},
        )
    )


async def list_failed(session: Session) -> tuple[tuple[str, str, Run], ...]:
    """Commands of live releases whose newest run that ended has failed: project, name of the environment, and the run."""
    rows = await session.rows(
        f"""SELECT environments.project, environments.name, newest.*
            FROM environments
            JOIN releases ON releases.id = environments.live_release
            CROSS JOIN LATERAL jsonb_object_keys(
                CASE jsonb_typeof(releases.manifest->'processes'->'cron')
                    WHEN 'object' THEN releases.manifest->'processes'->'cron' ELSE '{{}}' END) AS command
            CROSS JOIN LATERAL (
                SELECT {_COLUMNS} FROM cron_runs
                WHERE environment = environments.id AND cron = command AND state IN ('succeeded', 'failed')
                ORDER BY scheduled_for DESC LIMIT 1) AS newest
            WHERE newest.state = 'failed' AND environments.removal_requested_at IS NULL
            ORDER BY environments.project, environments.name, command"""
    )
    return tuple((row.pop("project"), row.pop("name"), _run(row)) for row in map(dict, rows))


async def list_runs(
    session: Session, environment: str, cron: str, *, limit: int
) -> tuple[Run, ...]:
    """The newest runs of a command, the newest first."""
    return _runs(
        await session.rows(
            f"""SELECT {_COLUMNS} FROM cron_runs WHERE environment = %(environment)s AND cron = %(cron)s
                ORDER BY scheduled_for DESC LIMIT %(limit)s""",
            {"environment": environment, "cron": cron, "limit": limit},
        )
    )


async def get(session: Session, environment: str, cron: str, process_id: str) -> Run | None:
    """One run of a command; `None` where there is none of that process."""
    row = await session.one(
        f"""SELECT {_COLUMNS} FROM cron_runs
            WHERE environment = %(environment)s AND cron = %(cron)s AND process_id = %(process)s""",
        {"environment": environment, "cron": cron, "process": process_id},
    )
    return _run(row) if row is not None else None


async def claim(session: Session, run: Run, *, skipped: str, at: datetime) -> bool:
    """Record that a moment was taken care of; `False` when it was already.

    Parameters:
        skipped: why nothing runs; empty when the run begins.
    """
    state = RunState.SKIPPED if skipped else run.state
    count = await session.execute(
        """INSERT INTO cron_runs (environment, cron, scheduled_for, process_id, state, asked_by, release,
                                  started_at, finished_at, detail)
           VALUES (%(environment)s, %(cron)s, %(for)s, %(process)s, %(state)s, %(by)s, %(release)s,
                   CASE WHEN %(state)s <> 'asked' THEN %(at)s::timestamptz END,
                   CASE WHEN %(state)s = 'skipped' THEN %(at)s::timestamptz END, %(skipped)s)
           ON CONFLICT DO NOTHING""",
        {
            "environment": run.environment,
            "cron": run.cron,
            "for": run.scheduled_for,
            "process": run.process_id,
            "state": state,
            "by": run.asked_by,
            "release": run.release,
            "skipped": skipped,
            "at": at,
        },
    )
    return count > 0


async def set_started(session: Session, run: Run, release: str, *, at: datetime) -> bool:
    """Record that a run that was asked for begins; `False` when it has begun already."""
    count = await session.execute(
        """UPDATE cron_runs SET state = 'running', release = %(release)s, started_at = %(at)s
           WHERE process_id = %(process)s AND environment = %(environment)s AND state = 'asked'""",
        {
            "process": run.process_id,
            "environment": run.environment,
            "release": release,
            "at": at,
        },
    )
    return count > 0


async def set_ended(
    session: Session,
    run: Run,
    state: RunState,
    *,
    detail: str,
    at: datetime,
    output: str | None = None,
) -> None:
    """Record how a run ended."""
    await session.execute(
        """UPDATE cron_runs SET state = %(state)s, finished_at = %(at)s, detail = %(detail)s, output = %(output)s
           WHERE process_id = %(process)s AND environment = %(environment)s""",
        {
            "state": state,
            "environment": run.environment,
            "process": run.process_id,
            "detail": detail,
            "output": output,
            "at": at,
        },
    )


async def processes_kept(session: Session) -> frozenset[str]:
    """Processes of the newest runs of every command, whose output can still be read, and of those that have not ended."""
    rows = await session.rows(
        """SELECT process_id FROM (
               SELECT process_id, state,
                      row_number() OVER (PARTITION BY environment, cron ORDER BY scheduled_for DESC) AS place
               FROM cron_runs WHERE state <> 'skipped') AS placed
           WHERE place <= %(most)s OR state IN ('asked', 'running')""",
        {"most": MAX_OUTPUTS},
    )
    return frozenset(row["process_id"] for row in rows)


async def delete_old(session: Session) -> None:
    """Forget runs of which there are newer ones enough."""
    await session.execute(
        """DELETE FROM cron_runs USING (
               SELECT environment, process_id,
                      row_number() OVER (PARTITION BY environment, cron ORDER BY scheduled_for DESC) AS place
               FROM cron_runs) AS placed
           WHERE cron_runs.environment = placed.environment AND cron_runs.process_id = placed.process_id
             AND placed.place > %(most)s AND cron_runs.state NOT IN ('asked', 'running')""",
        {"most": MAX_RUNS},
    )


def _runs(rows: Iterable[Row]) -> tuple[Run, ...]:
    return tuple(_run(row) for row in rows)


def _run(row: Row) -> Run:
    return Run(**{**row, "state": RunState(row["state"])})
