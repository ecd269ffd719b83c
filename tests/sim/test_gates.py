"""Every way to production asks the same gates, when it is asked for and when it acts."""

import asyncio
import inspect
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gantry.engines.database.postgres import PostgresDatabase
from gantry.features.accounts.model import Caller, Role
from gantry.features.builds import store as builds
from gantry.features.deploys import store as deploys
from gantry.features.deploys.gates import Gate
from gantry.features.deploys.model import Deploy, DeployKind, DeployState
from gantry.features.deploys.service import DeployService
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases.model import Commit
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import GantryError
from gantry.kernel.ids import SeededIds
from gantry.web.app import create_app
from tests.fakes.machine import Machine
from tests.fakes.programs import Program
from tests.sim.platform import MANIFEST, Platform
from tests.support.postgres import SharedDatabase
from tests.support.web import all_routes, client

HOST = "shop.localhost"
ENVIRONMENT = "/api/v1/projects/shop/environments/production"
CONSOLE = "/projects/shop/production"
GATED = MANIFEST.replace("postgres = true", "postgres = true\nredis = true").replace(
    "[environments.production]",
    '[variables]\nrequired = ["SECRET"]\n'
    '[environments.production]\nbranch = "main"\ndomains = ["shop.example.org"]',
)


@dataclass
class Shop:
    """A platform where releases 1 and 2 are live in staging and production, and every gate is open.

    Attributes:
        tree: digest of a snapshot that was not deployed yet.
        branch: of the commit that is deployed next.
    """

    platform: Platform
    tree: str = ""
    branch: str = "main"

    async def sql(self, statement: str, **values: object) -> None:
        async with self.platform.database.transaction() as session:
            await session.execute(statement, values)

    async def environment(self, name: str = "production") -> Environment:
        async with self.platform.database.transaction() as session:
            return await projects.get_environment(session, "shop", name)

    async def deploy(self, tree: str, environment: str) -> Deploy:
        return await self.platform.plane.deploys.deploy(
            "shop", environment, source_digest=tree, commit=Commit(branch=self.branch), by="ada"
        )


def tree(platform: Platform, note: str) -> str:
    return platform.sources.put(Program(manifest=f"{GATED}# {note}\n"))


@pytest.fixture(scope="session")
def kept_shop(shared_database: SharedDatabase) -> tuple[Machine, SeededIds]:
    """The machine of the shop, made once for each test process; the database is kept as it was then."""
    machine, ids = Machine(ManualClock(), random.Random(1)), SeededIds(1)

    async def make() -> None:
        database = PostgresDatabase(shared_database.url, most_connections=3)
        await database.open()
        try:
            await _fill(Shop(Platform(database, machine, ids)))
        finally:
            await database.aclose()

    shared_database.clear()
    asyncio.run(make())
    shared_database.keep("shop")
    return machine, ids


async def _fill(shop: Shop) -> None:
    for environment in ("staging", "production"):
        await shop.platform.plane.variables.change(
            "shop", environment, put={"SECRET": "s3cret"}, remove=(), by="ada"
        )
    for note in ("1", "2"):
        for environment in ("staging", "production"):
            asked = await shop.deploy(tree(shop.platform, note), environment)
            ended = await shop.platform.finish(asked.id)
            assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)


@pytest.fixture
async def shop(
    kept_shop: tuple[Machine, SeededIds],
    database: PostgresDatabase,
    shared_database: SharedDatabase,
) -> Shop:
    shared_database.bring_back("shop")
    platform = Platform(database, *deepcopy(kept_shop))
    return Shop(platform, tree(platform, "3"))


# -- the ways

Ask = Callable[[Shop], Awaitable[Deploy]]


def _service(shop: Shop) -> DeployService:
    return shop.platform.plane.deploys


ASKED: dict[str, Ask] = {
    "deploy": lambda shop: shop.deploy(shop.tree, "production"),
    "promote": lambda shop: _service(shop).promote(
        "shop", "production", from_environment="staging", by="ada"
    ),
    "roll_back": lambda shop: _service(shop).roll_back(
        "shop", "production", to_release=1, by="ada"
    ),
    "redeploy": lambda shop: _service(shop).redeploy("shop", "production", by="ada"),
    "restart": lambda shop: _service(shop).restart("shop", "production", by="ada"),
}
"""Method of the service -> how it is asked for production."""


def _body(shop: Shop) -> dict[str, Any]:
    return {"source_digest": shop.tree, "commit": {"branch": shop.branch}}


ROUTES: dict[str, Callable[[Shop], dict[str, Any]]] = {
    f"{ENVIRONMENT}/deploys": lambda shop: {"json": _body(shop)},
    f"{ENVIRONMENT}/promote": lambda _: {"json": {"from_environment": "staging"}},
    f"{ENVIRONMENT}/rollback": lambda _: {"json": {"to_release": 1}},
    f"{ENVIRONMENT}/redeploy": lambda _: {},
    f"{ENVIRONMENT}/restart": lambda _: {"json": {}},
    f"{CONSOLE}/promote": lambda _: {"data": {"from_environment": "staging"}},
    f"{CONSOLE}/rollback": lambda _: {"data": {"release": "1"}},
    f"{CONSOLE}/redeploy": lambda _: {},
    f"{CONSOLE}/restart": lambda _: {},
}
"""Route -> what is posted to it."""


def routes_that_deploy(shop: Shop) -> Iterator[str]:
    """The routes whose function calls a method of the service that begins a deploy."""
    for route in all_routes(create_app(shop.platform.plane.services)):
        endpoint = getattr(route, "endpoint", None)
        code = inspect.unwrap(endpoint).__code__ if endpoint is not None else None
        if code is not None and "deploys" in code.co_names and ASKED.keys() & set(code.co_names):
            yield str(route.path).format(project="shop", environment="production")


# -- the gates


async def _removing(shop: Shop) -> None:
    environment = await shop.environment()
    async with shop.platform.database.transaction() as session:
        await projects.request_removal(
            session, environment.id, at=datetime(2026, 1, 1, tzinfo=UTC), by="ada"
        )


async def _other_branch(shop: Shop) -> None:
    shop.branch = "feature"
    for table in ("releases", "deploys"):
        await shop.sql(
            f"UPDATE {table} SET commit = jsonb_set(commit, '{{branch}}', '\"feature\"')"
        )


async def _gone(shop: Shop) -> None:
    await shop.sql("UPDATE builds SET state = 'gone'")


async def _untested(shop: Shop) -> None:
    await shop.sql("UPDATE builds SET state = 'built'")


async def _no_variable(shop: Shop) -> None:
    variables = shop.platform.plane.variables
    await variables.change("shop", "production", put={}, remove=("SECRET",), by="ada")
    await shop.sql("UPDATE releases SET variables_sealed = %(none)s", none=variables.seal_all({}))


async def _domain_taken(shop: Shop) -> None:
    staging = await shop.environment("staging")
    await shop.sql(
        "UPDATE releases SET manifest = jsonb_set(manifest, '{domains}', %(domains)s)"
        " WHERE environment = %(environment)s",
        environment=staging.id,
        domains=json.dumps(["shop.example.org"]),
    )


async def _no_redis(shop: Shop) -> None:
    shop.platform.machine.faults.no_redis = True


async def _no_extension(shop: Shop) -> None:
    shop.platform.machine.faults.no_vector = True
    shop.platform.sources.rewrite("migrations/1.sql", "CREATE EXTENSION vector;")
    await shop.sql(
        "UPDATE releases SET manifest = jsonb_set(manifest, '{extensions}', %(created)s)",
        created=json.dumps({"vector": "migrations/1.sql:1"}),
    )


CLOSED: dict[Gate, tuple[Callable[[Shop], Awaitable[None]], str]] = {
    Gate.ENVIRONMENT: (_removing, "environment.removing"),
    Gate.BRANCH: (_other_branch, "deploy.other-branch"),
    Gate.ARTIFACT: (_gone, "rollback.gone"),
    Gate.TESTS: (_untested, "test.not-passed"),
    Gate.VARIABLES: (_no_variable, "variable.missing"),
    Gate.DOMAINS: (_domain_taken, "domain.taken"),
    Gate.SERVICES: (_no_redis, "cache.no-program"),
    Gate.EXTENSIONS: (_no_extension, "database.no-extension"),
}
"""Gate -> what closes it, and what is said then."""

# What is deployed from source is built and tested on its way, and a release that is made has been through its migrations.
_OPEN = {
    ("deploy", Gate.ARTIFACT),
    ("deploy", Gate.TESTS),
    ("rollback", Gate.EXTENSIONS),
    ("restart", Gate.EXTENSIONS),
}
_WAYS = {"deploys": "deploy", "roll_back": "rollback"}


def _ways(names: dict[str, Any]) -> list[tuple[str, Gate]]:
    return [
        (name, gate)
        for name in names
        for gate in Gate
        if (_WAYS.get(way := name.rpartition("/")[2], way), gate) not in _OPEN
    ]


@pytest.fixture
async def http(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    owner = Caller("ada", Role.OWNER)
    secret, _ = await shop.platform.plane.accounts.api_token(
        label="test", role=Role.DEVELOPER, days=1, by=owner
    )
    async with client(create_app(shop.platform.plane.services), token=secret) as opened:
        yield opened


async def test_the_tables_name_every_way_and_every_gate(shop: Shop) -> None:
    methods = {
        name
        for name, method in vars(DeployService).items()
        if inspect.iscoroutinefunction(method) and not name.startswith("_")
    }
    assert methods == ASKED.keys() | {"cancel"}, "a new way must be in the table"
    assert len(ASKED) == len(DeployKind)
    assert set(routes_that_deploy(shop)) == ROUTES.keys()
    assert CLOSED.keys() == set(Gate)


@pytest.mark.parametrize(("route", "gate"), _ways(ROUTES))
async def test_a_closed_gate_refuses_every_route(
    shop: Shop, http: httpx.AsyncClient, route: str, gate: Gate
) -> None:
    close, code = CLOSED[gate]
    await close(shop)
    answer = await http.post(route, **ROUTES[route](shop))
    assert 400 <= answer.status_code < 500, answer.text
    assert code in answer.text
    async with shop.platform.database.transaction() as session:
        assert await deploys.list_open(session) == ()


@pytest.mark.parametrize("route", ROUTES)
async def test_open_gates_let_every_route_through(
    shop: Shop, http: httpx.AsyncClient, route: str
) -> None:
    answer = await http.post(route, **ROUTES[route](shop))
    assert answer.status_code in (202, 303), answer.text
    async with shop.platform.database.transaction() as session:
        (asked,) = await deploys.list_open(session)
    ended = await shop.platform.finish(asked.id)
    assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)


# A promoted build that is not tested is tested on its way.
@pytest.mark.parametrize(
    ("way", "gate"), [case for case in _ways(ASKED) if case != ("promote", Gate.TESTS)]
)
async def test_a_gate_that_closes_while_a_deploy_waits_stops_it(
    shop: Shop, way: str, gate: Gate
) -> None:
    before = await shop.environment()
    asked = await ASKED[way](shop)
    close, code = CLOSED[gate]
    await close(shop)
    ended = await shop.platform.finish(asked.id)
    assert ended.state is DeployState.FAILED
    assert ended.error is not None
    # A build that is gone or untested is said where the step that needs it is.
    assert ended.error["code"] in {code, "build.gone", "test.not-passed", "artifact.missing"}
    assert (await shop.environment()).live_release == before.live_release


async def test_a_promotion_runs_the_tests_of_the_environment_that_it_goes_to(
    database: PostgresDatabase,
) -> None:
    platform = Platform(database, Machine(ManualClock(), random.Random(1)), SeededIds(1))
    manifest = MANIFEST.replace('[test]\ncommand = "npm test"\n', "").replace(
        "[environments.production]", '[environments.production.test]\ncommand = "npm test"'
    )
    staged = platform.sources.put(Program(manifest=manifest, test="fail"))
    assert (
        await platform.finish((await platform.request(staged, "staging")).id)
    ).state is DeployState.SUCCEEDED
    promoted = await platform.plane.deploys.promote(
        "shop", "production", from_environment="staging", by="ada"
    )
    ended = await platform.finish(promoted.id)
    assert ended.error is not None
    assert ended.error["code"] == "test.failed"


async def test_two_environments_that_want_a_domain_at_once_do_not_both_get_it(
    database: PostgresDatabase,
) -> None:
    platform = Platform(database, Machine(ManualClock(), random.Random(1)), SeededIds(1))
    plain = MANIFEST.replace("[environments.staging]", "").replace(
        "processes.web.instances = 1", ""
    )
    asked = []
    for environment in ("staging", "production"):
        text = plain.replace("[environments.production]", "")
        text += f'[environments.{environment}]\ndomains = ["example.org"]\n'
        asked.append(
            await platform.request(platform.sources.put(Program(manifest=text)), environment)
        )
    ended = [await platform.finish(deploy.id) for deploy in asked]
    codes = sorted(deploy.error["code"] if deploy.error else "" for deploy in ended)
    assert codes == ["", "domain.taken"]


async def test_a_release_that_lacks_what_it_requires_says_how_it_comes_back(shop: Shop) -> None:
    await _no_variable(shop)
    with pytest.raises(
        GantryError, match="release 1 of production of shop was made without"
    ) as refusal:
        await ASKED["roll_back"](shop)
    assert "gantry env set SECRET -e production" in refusal.value.hint
    assert "=" not in refusal.value.hint


async def test_the_build_of_a_rollback_that_waits_is_not_deleted(shop: Shop) -> None:
    """Retention had decided before somebody asked; the build was claimed in between."""
    asked = await ASKED["roll_back"](shop)
    async with shop.platform.database.transaction() as session:
        assert not await builds.forget(session, asked.build or "")
    assert (await shop.platform.finish(asked.id)).state is DeployState.SUCCEEDED


# -- what the tree says itself

_PAGES = GATED.replace('required = ["SECRET"]', 'required = ["NX_PUBLIC_API"]')


async def _with_files(shop: Shop, manifest: str, files: dict[str, str]) -> str:
    digest = shop.platform.sources.put(Program(manifest=manifest))
    for path, text in files.items():
        shop.platform.sources.rewrite(path, text)
    return digest


async def test_a_committed_public_variable_is_there_on_every_way(shop: Shop) -> None:
    """The pages are built with it, so that nothing is missing; also where the release is made already."""
    files = {".env": "NX_PUBLIC_API=https://api.example\n"}
    first = await _with_files(shop, f"{_PAGES}# a", files)
    shop.tree = await _with_files(shop, f"{_PAGES}# b", files)
    for environment in ("staging", "production"):
        assert (
            await shop.platform.finish((await shop.deploy(first, environment)).id)
        ).state is DeployState.SUCCEEDED
    for way in ("deploy", "promote", "redeploy", "restart"):
        ended = await shop.platform.finish((await ASKED[way](shop)).id)
        assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None), way
    live = (await shop.environment()).releases_made
    back = await _service(shop).roll_back("shop", "production", to_release=live - 1, by="ada")
    assert (await shop.platform.finish(back.id)).state is DeployState.SUCCEEDED


@pytest.mark.parametrize(
    ("required", "files"),
    [
        ("NX_PUBLIC_API", {}),
        ("NX_PUBLIC_API", {".env": "NX_PUBLIC_API=\n"}),
        ("SESSION_KEY", {".env": "SESSION_KEY=committed\n"}),  # the program never gets it
    ],
)
async def test_what_the_program_will_not_see_is_missing(
    shop: Shop, required: str, files: dict[str, str]
) -> None:
    manifest = GATED.replace('required = ["SECRET"]', f'required = ["{required}"]')
    tree = await _with_files(shop, manifest, files)
    with pytest.raises(GantryError, match=f"lacks required variables: {required}") as refusal:
        await shop.deploy(tree, "production")
    assert refusal.value.code == "variable.missing"


async def test_an_address_that_no_service_has_under_that_name_is_named(shop: Shop) -> None:
    manifest = GATED.replace('required = ["SECRET"]', 'required = ["POSTGRES_URL"]')
    with pytest.raises(GantryError) as refusal:
        await shop.deploy(await _with_files(shop, manifest, {}), "production")
    assert refusal.value.hint == (
        'write postgres = { as = ["POSTGRES_URL"] } below [services] in gantry.toml, or gantry env set POSTGRES_URL '
        "-e production"
    )


async def test_a_missing_extension_is_refused_before_the_build_with_its_place(shop: Shop) -> None:
    built = shop.platform.machine.builds_run
    files = {"db/migrations/1.sql": "\nCREATE EXTENSION IF NOT EXISTS postgis;"}
    tree = await _with_files(shop, GATED, files)
    with pytest.raises(GantryError) as refusal:
        await shop.deploy(tree, "production")
    error = refusal.value
    assert (error.code, error.where) == ("database.no-extension", "db/migrations/1.sql:2")
    assert "creates the extension postgis: Postgres here has no extension postgis" in error.message
    assert error.hint.endswith("gantry env set DATABASE_URL -e production")
    assert shop.platform.machine.builds_run == built
    plan = await shop.platform.plane.planner.plan("shop", "production", tree)
    assert [blocker.code for blocker in plan.blockers] == ["database.no-extension"]


async def test_a_database_elsewhere_has_extensions_of_its_own(shop: Shop) -> None:
    tree = await _with_files(shop, GATED, {"migrations/1.sql": "CREATE EXTENSION postgis;"})
    await shop.platform.plane.variables.change(
        "shop", "production", put={"DATABASE_URL": "postgres://db.example/x"}, remove=(), by="ada"
    )
    assert (await shop.deploy(tree, "production")).state is DeployState.QUEUED


async def test_a_plan_shows_the_extensions_that_migrations_create(shop: Shop) -> None:
    tree = await _with_files(shop, GATED, {"migrations/1.sql": "CREATE EXTENSION vector;"})
    plan = await shop.platform.plane.planner.plan("shop", "production", tree)
    assert plan.blockers == ()
    shown = [(change.name, change.after) for change in plan.changes if change.what == "extension"]
    assert shown == [("vector", "created by migrations/1.sql:1")]
    assert not [change for change in plan.changes if change.name.startswith("extensions")]
