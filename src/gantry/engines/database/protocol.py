"""The control plane's memory: a Postgres database, asked in plain SQL from each feature's `store.py`.

Rows come back as dictionaries. Tests and the simulation use a real, throw-away Postgres: one dialect everywhere.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

Row = dict[str, Any]
Parameters = Mapping[str, object]


class Session(Protocol):
    """One transaction. Parameters are written `%(name)s` in the SQL."""

    async def rows(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Every row of the answer."""
        ...

    async def one(self, sql: str, parameters: Parameters | None = None) -> Row | None:
        """The only row of the answer, or `None`. More than one is a defect of the caller."""
        ...

    async def execute(self, sql: str, parameters: Parameters | None = None) -> int:
        """Run a statement; the number of rows it changed."""
        ...


class Database(Protocol):
    """Opens transactions."""

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        """A transaction: committed when the block ends well, rolled back when it raises.

        Raises:
            TransientError: `state.unreachable` the database does not answer; nothing was committed, or the answer
                to the commit was lost; `state.disk-full` nothing was committed.
            UserError: `state.bad-value` a text has a character that the database cannot hold: NUL.
            ConflictError: `state.conflict` a uniqueness rule or a concurrent change refused it.
        """
        ...
