"""The variables by which a process finds the services of its environment. Pure."""

from collections.abc import Collection, Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from gantry.config.references import expand

SHOWN = frozenset({"PGHOST", "PGPORT", "PGUSER", "PGDATABASE"})
"""Names whose values are no secrets: masked in a log, they would hide addresses and numbers that mean something else."""

_URL = "DATABASE_URL"
_PG_PREFIX = "PG"
# Whoever sets one of these means another server, for which the name and password of ours are wrong.
_OTHER_SERVER = frozenset({"PGHOST", "PGHOSTADDR", "PGSERVICE"})


def postgres_variables(url: str, aliases: Collection[str]) -> dict[str, str]:
    """What tells a process where its database is: as a URL under each of its names, and as libpq's variables.

    Parameters:
        url: `postgresql://…`, with a unix socket's folder as `host` in the query.
    """
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return {
        **dict.fromkeys((_URL, *aliases), url),
        "PGHOST": parts.hostname or query.get("host", ""),
        "PGPORT": str(parts.port or query.get("port", "5432")),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.removeprefix("/")),
    }


def redis_variables(url: str, aliases: Collection[str]) -> dict[str, str]:
    """What tells a process where its cache is. Under the last name Gantry itself finds it, whatever the team sets."""
    return dict.fromkeys(("REDIS_URL", *aliases, "GANTRY_REDIS_URL"), url)


def process_variables(
    of_services: Mapping[str, str],
    of_team: Mapping[str, str],
    plain: Mapping[str, str],
    own: Mapping[str, str],
) -> dict[str, str]:
    """The variables of a release's processes: what the team set wins, and plain values refer to the rest.

    Parameters:
        of_team: what the release kept; those of `plain` are among them unless somebody set them otherwise.
        plain: `[variables.plain]`, as it is written.
        own: what Gantry says of the release.
    """
    elsewhere = not _OTHER_SERVER.isdisjoint(of_team)
    provided = {
        name: value
        for name, value in of_services.items()
        if not (elsewhere and name.startswith(_PG_PREFIX))
    }
    as_written = {name for name, text in plain.items() if of_team.get(name) == text}
    # A service's variable that was set with `gantry env set` is meant; one in the manifest may refer to the service's.
    known = {
        **own,
        **of_services,
        **{name: of_team[name] for name in of_services.keys() & of_team.keys() - as_written},
    }
    expanded = {name: expand(of_team[name], known) for name in as_written}
    return {**provided, **of_team, **expanded}
