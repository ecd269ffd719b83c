"""Environments that are closed to visitors. Any noun may close one: it gives the platform a query that says which."""

from collections.abc import Iterable, Mapping

from gantry.engines.database.protocol import Row, Session
from gantry.engines.edge.protocol import Closed

_NONE = """SELECT NULL::text AS environment, NULL::text AS title, NULL::text AS message, NULL::text[] AS allowed
           WHERE false"""


def closed_query(queries: Iterable[str]) -> str:
    """One SELECT for all of them, so that whoever shows environments need not ask once more for each noun.

    Parameters:
        queries: each a SELECT of `environment` (identity), `title`, `message` and `allowed` (an array of networks).
    """
    return "\nUNION ALL ".join((_NONE, *queries))


async def list_closed(session: Session, queries: tuple[str, ...]) -> Mapping[str, Closed]:
    """Environment -> the page that its visitors get. Where several nouns close one, the first of them says which."""
    if not queries:
        return {}
    rows = await session.rows(closed_query(reversed(queries)))
    return {row["environment"]: closed_of(row) for row in rows}


def closed_of(row: Row) -> Closed:
    """A row of such a query."""
    return Closed(row["title"], row["message"], tuple(row["allowed"]))
