"""Runs of scheduled commands in the database."""

from datetime import datetime

from gantry.engines.database.protocol import Session
from gantry.features.crons.rules import Run


async def list_running(session: Session) -> tuple[Run, ...]:
    """Runs whose end was not recorded yet."""
    rows = await session.rows(
        """SELECT environment, cron, scheduled_for, process_id FROM cron_runs
           WHERE state = 'running' ORDER BY scheduled_for"""
    )
    return tuple(Run(**row) for row in rows)


async def claim(session: Session, run: Run, *, skipped: str, at: datetime) -> bool:
    """Record that a moment was taken care of; `False` when it was already."""
    count = await session.execute(
        """INSERT INTO cron_runs
               (environment, cron, scheduled_for, process_id, state, started_at, finished_at, detail)
           VALUES (%(environment)s, %(cron)s, %(for)s, %(process)s,
                   CASE WHEN %(skipped)s = '' THEN 'running' ELSE 'skipped' END,
                   %(at)s, CASE WHEN %(skipped)s <> '' THEN %(at)s::timestamptz END, %(skipped)s)
           ON CONFLICT DO NOTHING""",
        {
            "environment": run.environment,
            "cron": run.cron,
            "for": run.scheduled_for,
            "process": run.process_id,
            "skipped": skipped,
            "at": at,
        },
    )
    return count > 0


async def set_ended(
    session: Session, run: Run, *, succeeded: bool, detail: str, at: datetime
) -> None:
    """Record how a run ended."""
    await session.execute(
        """UPDATE cron_runs SET state = %(state)s, finished_at = %(at)s, detail = %(detail)s
           WHERE environment = %(environment)s AND cron = %(cron)s
             AND scheduled_for = %(for)s""",
        {
            "state": "succeeded" if succeeded else "failed",
            "environment": run.environment,
            "cron": run.cron,
            "for": run.scheduled_for,
            "detail": detail,
            "at": at,
        },
    )
