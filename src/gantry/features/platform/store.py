"""Reads everything that is shown of projects and environments, in as many statements for all as for one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from gantry.engines.database.protocol import Row, Session
from gantry.features.deploys import store as deploys
from gantry.features.instances import store as instances
from gantry.features.platform.model import EnvironmentRecord, ProjectRecord, RefusedDomain
from gantry.features.projects.model import Environment, Project
from gantry.features.releases import store as releases
from gantry.features.rollouts import store as rollouts
from gantry.features.routes.closed import closed_of, closed_query
from gantry.features.scales import CURRENT
from gantry.features.services.model import ServiceKind


@dataclass(frozen=True, slots=True)
class History:
    """How much of the past is wanted of one environment.

    Attributes:
        environment: its name.
        releases, deploys: so many of the newest.
    """

    environment: str
    releases: int
    deploys: int


# As the edge grants them: the older environment keeps a domain that two live releases declare.
_REFUSED_DOMAINS = """(
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'domain', domain, 'project', older.project, 'environment', older.name)
               ORDER BY domain, older.created_at), '[]')
    FROM releases AS mine
    CROSS JOIN jsonb_array_elements_text(mine.manifest->'domains') AS domain
    JOIN environments AS older ON (older.created_at, older.id) < (environments.created_at, environments.id)
    JOIN releases AS theirs ON theirs.id = older.live_release AND theirs.manifest->'domains' ? domain
    WHERE mine.id = environments.live_release)"""


async def list_projects(
    session: Session,
    name: str | None = None,
    *,
    closed_by: Iterable[str],
    history: History | None = None,
) -> tuple[ProjectRecord, ...]:
    """Every project, or the one of that name, with its environments.

    Parameters:
        closed_by: queries of the nouns that close environments, see `closed_query`.
        history: of an environment of the project `name`.
    """
    # Not one statement for each environment: whoever looks, looks again two seconds later.
    rows = await session.rows(
        f"""SELECT projects.name AS project, projects.created_at AS project_created_at,
                  environments.id, environments.name, live_release, releases_made,
                  environments.created_at, removal_requested_at, removal_requested_by,
                  ARRAY(SELECT kind FROM services WHERE environment = environments.id ORDER BY kind)
                      AS services,
                  {_REFUSED_DOMAINS} AS refused_domains,
                  (SELECT to_jsonb(closed) FROM ({closed_query(closed_by)}) AS closed
                   WHERE closed.environment = environments.id LIMIT 1) AS closed,
                  (SELECT jsonb_object_agg(process, count) FROM ({CURRENT}) AS scaled
                   WHERE scaled.environment = environments.id) AS scaled
           FROM projects LEFT JOIN environments ON environments.project = projects.name
           WHERE %(name)s::text IS NULL OR projects.name = %(name)s
           ORDER BY projects.name, environments.name <> 'production', environments.name""",
        {"name": name},
    )
    environments = await _environments(session, rows, history)
    projects = {row["project"]: row["project_created_at"] for row in rows}
    return tuple(
        ProjectRecord(
            Project(project, created_at),
            tuple(record for record in environments if record.environment.project == project),
        )
        for project, created_at in projects.items()
    )


async def _environments(
    session: Session, rows: Iterable[Row], history: History | None
) -> tuple[EnvironmentRecord, ...]:
    found = {row["id"]: (_environment(row), row) for row in rows if row["id"] is not None}
    ids = list(found)
    if not ids:
        return ()
    past = history or History("", 0, 1)
    detailed = next((item.id for item, _ in found.values() if item.name == past.environment), "")
    built = await releases.list_built(session, ids, newest_of=detailed, newest=past.releases)
    running = await instances.list_for_environments(session, ids)
    newest = {item: past.deploys if item == detailed else 1 for item in ids}
    recent = await deploys.list_recent(session, newest)
    moving = {item.rollout.environment: item for item in await rollouts.list_newest(session, ids)}
    owner = {item.release.id: item.release.environment for item in built}
    return tuple(
        EnvironmentRecord(
            environment=environment,
            services=tuple(ServiceKind(kind) for kind in row["services"]),
            closed=closed_of(row["closed"]) if row["closed"] is not None else None,
            releases=tuple(item for item in built if item.release.environment == environment.id),
            # Each statement sees what is there when it begins: a release may have come since the first.
            instances=tuple(item for item in running if owner.get(item.release) == environment.id),
            deploys=tuple(item for item in recent if item.deploy.environment == environment.id),
            rollout=moving.get(environment.id),
            refused_domains=_refused(row["refused_domains"]),
            scaled=row["scaled"] or {},
        )
        for environment, row in found.values()
    )


def _refused(found: Iterable[Mapping[str, str]]) -> tuple[RefusedDomain, ...]:
    first: dict[str, RefusedDomain] = {}
    for item in found:
        first.setdefault(item["domain"], RefusedDomain(**item))
    return tuple(first.values())


def _environment(row: Row) -> Environment:
    return Environment(**{field.name: row[field.name] for field in fields(Environment)})
