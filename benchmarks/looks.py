"""What a look costs: `python -m benchmarks.looks [--rounds N]`.

Every page and answer that is asked for again and again, on a platform with one deploy and on one with three projects,
six environments each and twenty deploys each ("of many"): statements that it asks of the database, milliseconds in this
process, and size. The first platform is the baseline of the second; the statements of commit 642228c stand beside both.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table
from tests.support.console_seed import crowd
from tests.support.postgres import fresh_database, running_postgres
from tests.support.statements import CountingDatabase
from tests.support.web import START, House, client

from gantry.engines.database.postgres import PostgresDatabase
from gantry.features.accounts.model import Role
from gantry.web.access import COOKIE
from gantry.web.app import create_app

_PROJECT = "/api/v1/projects/team-0"
# Path -> statements at 642228c: of one, of many.
LOOKS = {
    "/": (13, 100),
    "/projects/team-0/production": (21, 78),
    "/projects/team-0/production/logs": (13, 47),
    "/api/v1/status": (13, 100),
    "/api/v1/projects": (13, 100),
    f"{_PROJECT}/environments/production/deploys": (8, 44),
    f"{_PROJECT}/environments/production/rollout": (7, 7),
}


@dataclass(frozen=True, slots=True)
class Look:
    """A page or answer, as it was asked for several times."""

    statements: int
    elapsed_ms: float
    size_bytes: int


async def _measure(
    database: str, rounds: int, *, projects: int, environments: int, deploys: int
) -> dict[str, Look]:
    database_pool = PostgresDatabase(database, most_connections=3)
    await database_pool.open()
    try:
        with tempfile.TemporaryDirectory(prefix="gantry-bench-") as home:
            counting = CountingDatabase(database_pool)
            house = House(counting, Path(home))
            await crowd(house, START, projects=projects, environments=environments, deploys=deploys)
            return await _looks(house, counting, rounds)
    finally:
        await database_pool.aclose()


async def _looks(house: House, counting: CountingDatabase, rounds: int) -> dict[str, Look]:
    cookie = await house.session(Role.OWNER)
    found = {}
    async with client(create_app(house.services)) as http:
        http.cookies.set(COOKIE, cookie)
        for path in LOOKS:
            await _look(http, counting, path)  # fills caches
            looks = [await _look(http, counting, path) for _ in range(rounds)]
            median_ms = statistics.median(look.elapsed_ms for look in looks)
            found[path] = replace(looks[-1], elapsed_ms=median_ms)
    return found


async def _look(http: httpx.AsyncClient, counting: CountingDatabase, path: str) -> Look:
    counting.statements.clear()
    begun_s = time.perf_counter()
    answer = await http.get(path)
    elapsed_ms = 1000 * (time.perf_counter() - begun_s)
    answer.raise_for_status()
    return Look(len(counting.statements), elapsed_ms, len(answer.content))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=20, help="times that each is asked for")
    options = parser.parse_args()
    with running_postgres() as server:
        with fresh_database(server) as url:
            small = asyncio.run(
                _measure(url, options.rounds, projects=1, environments=1, deploys=1)
            )
        with fresh_database(server) as url:
            large = asyncio.run(
                _measure(url, options.rounds, projects=3, environments=6, deploys=20)
            )
    table = Table(
        "look", "statements", "at 642228c", "of many", "at 642228c", "ms", "of many", "ratio", "kB"
    )
    for path, before in LOOKS.items():
        little, much = small[path], large[path]
        table.add_row(
            path,
            str(little.statements),
            str(before[0]),
            str(much.statements),
            str(before[1]),
            f"{little.elapsed_ms:.1f}",
            f"{much.elapsed_ms:.1f}",
            f"{much.elapsed_ms / little.elapsed_ms:.1f}",
            f"{much.size_bytes / 1000:.0f}",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
