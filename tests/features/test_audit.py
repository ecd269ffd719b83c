"""The audit log on a real database."""

import asyncio

import pytest

from gantry.engines.database.postgres import PostgresDatabase
from gantry.features.audit import store
from gantry.kernel.errors import IntegrityError
from tests.support.stories import at


async def _record(database: PostgresDatabase, number: int) -> None:
    async with database.transaction() as session:
        await store.record(
            session,
            at=at(number),
            actor="ada",
            action="deploy",
            target=f"shop/{number}",
            details={"number": number, "note": "ünïcode"},
        )


async def test_entries_written_side_by_side_form_one_chain(database: PostgresDatabase) -> None:
    await asyncio.gather(*(_record(database, number) for number in range(20)))
    async with database.transaction() as session:
        assert await store.verify(session) == 20
        assert [entry.seq for entry in await store.latest(session, limit=3)] == [20, 19, 18]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE audit SET actor = 'eve' WHERE seq = 3",
        "UPDATE audit SET details = '{}' WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 3",
        "UPDATE audit SET hash = repeat('0', 64) WHERE seq = 3",
    ],
)
async def test_damage_is_found(database: PostgresDatabase, damage: str) -> None:
    for number in range(5):
        await _record(database, number)
    async with database.transaction() as session:
        await session.execute(damage)
    async with database.transaction() as session:
        with pytest.raises(IntegrityError) as caught:
            await store.verify(session)
    assert caught.value.code == "audit.broken"


async def test_what_was_rolled_back_was_never_recorded(database: PostgresDatabase) -> None:
    with pytest.raises(RuntimeError, match="no"):
        async with database.transaction() as session:
            await store.record(session, at=at(0), actor="a", action="b", target="c")
            raise RuntimeError("no")
    async with database.transaction() as session:
        assert await store.verify(session) == 0
