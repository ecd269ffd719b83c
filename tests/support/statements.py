"""Counts what a platform asks of its database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gantry.engines.database.protocol import Database, Parameters, Row, Session


@dataclass
class CountingDatabase:
    """A state that writes down every statement."""

    database: Database
    statements: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with self.database.transaction() as session:
            yield _CountingSession(session, self.statements)


@dataclass(frozen=True, slots=True)
class _CountingSession:
    session: Session
    statements: list[str]

    async def rows(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        self.statements.append(sql)
        return await self.session.rows(sql, parameters)

    async def one(self, sql: str, parameters: Parameters | None = None) -> Row | None:
        self.statements.append(sql)
        return await self.session.one(sql, parameters)

    async def execute(self, sql: str, parameters: Parameters | None = None) -> int:
        self.statements.append(sql)
        return await self.session.execute(sql, parameters)
