"""Projects on a real database: nothing gets a name that could be another's address."""

import psycopg
import pytest

from gantry.engines.database.postgres import PostgresDatabase
from gantry.features.projects import store
from gantry.features.projects.service import ProjectService
from gantry.features.variables.service import VariableService
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import UserError
from gantry.kernel.ids import SeededIds
from tests.fakes.secrets import FakeBox
from tests.support.names import BAD, GOOD
from tests.support.stories import T0

SERVICE = ProjectService(FakeBox(), ManualClock(), SeededIds())


async def _insert(database: PostgresDatabase, name: str) -> None:
    async with database.transaction() as session:
        await store.insert_project(session, name, action_key_sealed=b"", at=T0)


async def _projects(database: PostgresDatabase) -> list[str]:
    async with database.transaction() as session:
        return [project.name for project in await store.list_projects(session)]


@pytest.mark.parametrize("name", GOOD)
async def test_the_database_takes_what_the_rule_allows(
    database: PostgresDatabase, name: str
) -> None:
    await _insert(database, name)
    assert await _projects(database) == [name]


# Postgres has no text with NUL at all.
@pytest.mark.parametrize("name", [name for name in BAD if "\0" not in name])
async def test_the_database_refuses_what_the_rule_refuses(
    database: PostgresDatabase, name: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="projects_name"):
        await _insert(database, name)


@pytest.mark.parametrize("name", ["", "..", "Staging", "a--b", "bücher", "x" * 64])
async def test_the_database_refuses_environments_that_cannot_be_part_of_an_address(
    database: PostgresDatabase, name: str
) -> None:
    await _insert(database, "shop")
    with pytest.raises(psycopg.errors.CheckViolation, match="environments_name"):
        async with database.transaction() as session:
            await store.insert_environment(
                session, environment_id="env-1", project="shop", name=name, at=T0
            )


@pytest.mark.parametrize("name", BAD)
async def test_no_service_makes_a_project_of_a_bad_name(
    database: PostgresDatabase, name: str
) -> None:
    variables = VariableService(database, SERVICE, FakeBox(), ManualClock())
    with pytest.raises(UserError) as caught:
        await variables.change(name, "production", put={"A": "b"}, remove=(), by="eve")
    assert caught.value.code == "project.bad-name"
    async with database.transaction() as session:
        with pytest.raises(UserError) as caught:
            await SERVICE.ensure(session, name, "production", by="eve")
    assert caught.value.code == "project.bad-name"
    assert await _projects(database) == []


async def test_variables_may_be_set_before_the_first_deploy(database: PostgresDatabase) -> None:
    variables = VariableService(database, SERVICE, FakeBox(), ManualClock())
    await variables.change("smart-sign", "production", put={"A": "b"}, remove=(), by="ada")
    assert await _projects(database) == ["smart-sign"]
