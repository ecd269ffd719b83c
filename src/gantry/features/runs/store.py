"""Runs in the database."""

from datetime import datetime

from gantry.engines.database.protocol import Row, Session
from gantry.features.runs.model import Program, Run, RunState
from gantry.kernel.errors import NotFoundError

_KEPT = 200
_COLUMNS = """id, environment, release,
              (SELECT number FROM releases WHERE releases.id = runs.release) AS release_number,
              program, command, terminal, detached, read_only, timeout_s, requested_by, origin, state, created_at,
              argv_sealed, started_at, finished_at, stopping_since, stop_reason, exit_code, detail"""


def _run(row: Row) -> Run:
    sealed = row["argv_sealed"]
    return Run(
        **{
            **row,
            "program": Program(row["program"]),
            "state": RunState(row["state"]),
            "argv_sealed": None if sealed is None else bytes(sealed),
        }
    )


async def insert(session: Session, run: Run) -> None:
    """Record a run that waits, and forget the oldest that have ended."""
    await session.execute(
        """INSERT INTO runs (id, environment, release, program, command, terminal, detached, read_only,
                             timeout_s, requested_by, origin, state, created_at, argv_sealed)
           VALUES (%(id)s, %(environment)s, %(release)s, %(program)s, %(command)s, %(terminal)s, %(detached)s,
                   %(read_only)s, %(timeout_s)s, %(requested_by)s, %(origin)s, %(state)s, %(created_at)s,
                   %(argv_sealed)s)""",
        {
            name: getattr(run, name)
            for name in (
                "id", "environment", "release", "program", "command", "terminal", "detached", "read_only",
                "timeout_s", "requested_by", "origin", "state", "created_at", "argv_sealed",
            )
        },
    )  # fmt: skip
    await session.execute(
        """DELETE FROM runs WHERE environment = %(environment)s AND finished_at IS NOT NULL AND id NOT IN (
               SELECT id FROM runs WHERE environment = %(environment)s
               ORDER BY created_at DESC, id DESC LIMIT %(kept)s)""",
        {"environment": run.environment, "kept": _KEPT},
    )


async def lock(session: Session) -> None:
    """Hold the table against other beginnings, so that what is counted stays true."""
    await session.execute("LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE")


async def get(session: Session, environment_id: str, run_id: str) -> Run:
    """One run of an environment.

    Raises:
        NotFoundError: `run.unknown`.
    """
    row = await session.one(
        f"SELECT {_COLUMNS} FROM runs WHERE environment = %(environment)s AND id = %(id)s",
        {"environment": environment_id, "id": run_id},
    )
    if row is None:
        raise NotFoundError(
            "run.unknown", f"there is no run {run_id!r} here", hint="gantry runs lists them"
        )
    return _run(row)


async def list_open(session: Session) -> tuple[Run, ...]:
    """Every run that has not ended, oldest first."""
    rows = await session.rows(
        f"SELECT {_COLUMNS} FROM runs WHERE finished_at IS NULL ORDER BY created_at, id"
    )
    return tuple(map(_run, rows))


async def list_recent(session: Session, environment_id: str, *, limit: int) -> tuple[Run, ...]:
    """An environment's newest runs, newest first."""
    rows = await session.rows(
        f"""SELECT {_COLUMNS} FROM runs WHERE environment = %(environment)s
            ORDER BY created_at DESC, id DESC LIMIT %(limit)s""",
        {"environment": environment_id, "limit": limit},
    )
    return tuple(map(_run, rows))


async def set_running(session: Session, run_id: str, *, at: datetime) -> bool:
    """Claim a run that waits; `False` when it does not wait any more."""
    count = await session.execute(
        """UPDATE runs SET state = 'running', started_at = %(at)s, argv_sealed = NULL
           WHERE id = %(id)s AND state = 'waiting'""",
        {"id": run_id, "at": at},
    )
    return count > 0


async def set_stopping(session: Session, run_id: str, *, reason: str, at: datetime) -> bool:
    """Record that it is told to end; `False` when it was told before, or has ended."""
    count = await session.execute(
        """UPDATE runs SET stopping_since = %(at)s, stop_reason = %(reason)s
           WHERE id = %(id)s AND stopping_since IS NULL AND finished_at IS NULL""",
        {"id": run_id, "reason": reason, "at": at},
    )
    return count > 0


async def set_ended(
    session: Session, run_id: str, *, exit_code: int | None, detail: str, at: datetime
) -> bool:
    """Record how it ended; `False` when that was recorded before."""
    count = await session.execute(
        """UPDATE runs SET state = %(state)s, finished_at = %(at)s, exit_code = %(code)s, detail = %(detail)s,
                           argv_sealed = NULL
           WHERE id = %(id)s AND finished_at IS NULL""",
        {
            "id": run_id,
            "state": RunState.SUCCEEDED if exit_code == 0 else RunState.FAILED,
            "code": exit_code,
            "detail": detail,
            "at": at,
        },
    )
    return count > 0
