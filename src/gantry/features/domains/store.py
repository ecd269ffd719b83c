"""Which names there are."""

from gantry.engines.database.protocol import Session
from gantry.features.domains.model import Name, NameKind
from gantry.features.projects import store as projects
from gantry.features.projects.host_names import HostNames


async def list_names(session: Session, host_names: HostNames) -> tuple[Name, ...]:
    """The console's name, and those of every environment: its own below the platform's domain, and its domains."""
    found = [Name(host_names.console_host, NameKind.CONSOLE)]
    domains: dict[str, list[str]] = {}
    for row in await session.rows(
        """SELECT environments.id, domain
           FROM environments JOIN releases ON releases.id = environments.live_release,
                jsonb_array_elements_text(releases.manifest->'domains') domain
           ORDER BY environments.created_at, environments.id, domain"""
    ):
        domains.setdefault(row["id"], []).append(row["domain"])
    taken = set[str]()
    for environment in await projects.list_environments(session):
        whose = (environment.project, environment.name)
        own = host_names.environment_host(environment)
        found.append(Name(own, NameKind.ENVIRONMENT, *whose))
        for domain in domains.get(environment.id, ()):
            if domain not in taken and not host_names.is_own(domain):
                taken.add(domain)
                found.append(Name(domain, NameKind.DOMAIN, *whose))
    return tuple(found)
