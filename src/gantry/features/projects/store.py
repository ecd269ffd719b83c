"""Projects and environments in the database."""

from datetime import datetime

from gantry.engines.database.protocol import Row, Session
from gantry.features.projects.model import Environment, Project
from gantry.kernel.errors import NotFoundError

_ENVIRONMENT = """id, project, name, live_release, releases_made, created_at, removal_requested_at,
                  removal_requested_by"""


def _environment(row: Row) -> Environment:
    return Environment(**row)


async def list_projects(session: Session) -> tuple[Project, ...]:
    """Every project, by name."""
    rows = await session.rows("SELECT name, created_at FROM projects ORDER BY name")
    return tuple(Project(**row) for row in rows)


async def find_project(session: Session, name: str) -> Project | None:
    """The project of that name."""
    row = await session.one(
        "SELECT name, created_at FROM projects WHERE name = %(name)s", {"name": name}
    )
    return Project(**row) if row else None


async def get_project(session: Session, name: str) -> Project:
    """The project of that name.

    Raises:
        NotFoundError: `project.unknown`.
    """
    found = await find_project(session, name)
    if found is None:
        raise no_project(name)
    return found


async def insert_project(
    session: Session, name: str, *, action_key_sealed: bytes, at: datetime
) -> None:
    """Create a project unless it exists."""
    await session.execute(
        """INSERT INTO projects (name, action_key_sealed, created_at)
           VALUES (%(name)s, %(key)s, %(at)s) ON CONFLICT (name) DO NOTHING""",
        {"name": name, "key": action_key_sealed, "at": at},
    )


async def action_key_sealed(session: Session, project: str) -> bytes:
    """The project's sealed key for server actions."""
    row = await session.one(
        "SELECT action_key_sealed FROM projects WHERE name = %(name)s", {"name": project}
    )
    if row is None:
        raise no_project(project)
    return bytes(row["action_key_sealed"])


async def fresh(session: Session, project: str) -> str:
    """What sets the project's builds apart from those before somebody wanted all built anew; empty if nobody did."""
    row = await session.one("SELECT fresh FROM projects WHERE name = %(name)s", {"name": project})
    if row is None:
        raise no_project(project)
    return str(row["fresh"])


async def set_fresh(session: Session, project: str, fresh: str) -> None:
    """From now on no build of before is found again."""
    await session.execute(
        "UPDATE projects SET fresh = %(fresh)s WHERE name = %(name)s",
        {"name": project, "fresh": fresh},
    )


async def delete_project(session: Session, name: str) -> None:
    """Delete a project and, by cascade, everything recorded about it."""
    await session.execute("DELETE FROM projects WHERE name = %(name)s", {"name": name})


async def list_environments(
    session: Session, project: str | None = None
) -> tuple[Environment, ...]:
    """Every environment, or those of one project, production first."""
    rows = await session.rows(
        f"""SELECT {_ENVIRONMENT} FROM environments
            WHERE %(project)s::text IS NULL OR project = %(project)s
            ORDER BY project, name <> 'production', name""",
        {"project": project},
    )
    return tuple(_environment(row) for row in rows)


async def get_environment(session: Session, project: str, name: str) -> Environment:
    """One environment.

    Raises:
        NotFoundError: `project.unknown` or `environment.unknown`.
    """
    found = await find_environment(session, project, name)
    if found is not None:
        return found
    if await find_project(session, project) is None:
        raise no_project(project)
    raise no_environment(project, name)


async def find_environment(session: Session, project: str, name: str) -> Environment | None:
    """One environment, or `None`."""
    row = await session.one(
        f"SELECT {_ENVIRONMENT} FROM environments WHERE project = %(project)s AND name = %(name)s",
        {"project": project, "name": name},
    )
    return _environment(row) if row else None


async def get_environment_by_id(session: Session, environment_id: str) -> Environment:
    """One environment by identity.

    Raises:
        NotFoundError: `environment.unknown` it was deleted meanwhile.
    """
    row = await session.one(
        f"SELECT {_ENVIRONMENT} FROM environments WHERE id = %(id)s", {"id": environment_id}
    )
    if row is None:
        raise NotFoundError("environment.unknown", f"environment {environment_id} does not exist")
    return _environment(row)


async def lock_environment(session: Session, environment_id: str) -> Environment:
    """One environment by identity, locked until the transaction ends.

    Raises:
        NotFoundError: `environment.unknown` it was deleted meanwhile.
    """
    row = await session.one(
        f"SELECT {_ENVIRONMENT} FROM environments WHERE id = %(id)s FOR UPDATE",
        {"id": environment_id},
    )
    if row is None:
        raise NotFoundError("environment.unknown", f"environment {environment_id} does not exist")
    return _environment(row)


async def insert_environment(
    session: Session, *, environment_id: str, project: str, name: str, at: datetime
) -> None:
    """Create an environment unless it exists."""
    await session.execute(
        """INSERT INTO environments (id, project, name, created_at)
           VALUES (%(id)s, %(project)s, %(name)s, %(at)s) ON CONFLICT (project, name) DO NOTHING""",
        {"id": environment_id, "project": project, "name": name, "at": at},
    )


async def next_release_number(session: Session, environment_id: str) -> int:
    """Take the next release number."""
    row = await session.one(
        """UPDATE environments SET releases_made = releases_made + 1 WHERE id = %(id)s
           RETURNING releases_made""",
        {"id": environment_id},
    )
    assert row is not None, "the caller holds the environment's lock"
    return int(row["releases_made"])


async def request_removal(session: Session, environment_id: str, *, at: datetime, by: str) -> None:
    """Say that the environment is to end. A second request changes nothing."""
    await session.execute(
        """UPDATE environments SET removal_requested_at = %(at)s, removal_requested_by = %(by)s
           WHERE id = %(id)s AND removal_requested_at IS NULL""",
        {"id": environment_id, "at": at, "by": by},
    )


async def delete_environment(session: Session, environment_id: str) -> None:
    """Delete an environment and, by cascade, everything recorded about it."""
    await session.execute("DELETE FROM environments WHERE id = %(id)s", {"id": environment_id})


def no_project(name: str) -> NotFoundError:
    """What to say when there is no project of that name."""
    return NotFoundError(
        "project.unknown",
        f"no project named {name!r}",
        hint="gantry status lists the projects; gantry deploy creates one",
    )


def no_environment(project: str, name: str) -> NotFoundError:
    """What to say when a project has no environment of that name."""
    return NotFoundError(
        "environment.unknown",
        f"{project} has no environment {name!r} yet",
        hint=f"deploy to it first: gantry deploy --to {name}",
    )
