"""Postgres for projects: one database and one least-privilege role per environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from gantry.engines.runtime.protocol import Client


@dataclass(frozen=True, slots=True)
class DatabaseGrant:
    """A database and the only role that may use it. Names are `[a-z][a-z0-9_]{0,62}`."""

    database: str
    role: str
    password: str = field(repr=False)
    connection_limit: int = 50


@dataclass(frozen=True, slots=True)
class Loan:
    """A role of somebody who may use a database for a while.

    Attributes:
        name: of the role, `[a-z0-9_]`; it gets a prefix.
        owner: the role whose database it is. What the borrower makes is the owner's.
        until: no new session begins after it.
        read_only: it may read every table, and change nothing.
    """

    name: str
    password: str = field(repr=False)
    database: str
    owner: str
    until: datetime
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """What the server says of itself."""

    running: bool
    version: str = ""
    databases: tuple[str, ...] = ()


class DatabaseServer(Protocol):
    """One Postgres server, embedded or found in the configuration."""

    async def start(self) -> None:
        """Make sure that it runs; returns when it takes connections. After a crash it retries while the old
        process is going away.

        Raises:
            TransientError: `database.start-failed` with the last lines of its log.
        """
        ...

    async def revive(self) -> None:
        """Start it again if it was started before and has ended; otherwise nothing.

        Raises:
            TransientError: `database.start-failed`.
        """
        ...

    async def ensure(self, grant: DatabaseGrant) -> str:
        """Make sure that database, role and password are as granted; return the URL for the product.

        The role owns its database's `public` schema, may connect to no other database and is no superuser.
        """
        ...

    async def drop(self, database: str, role: str) -> None:
        """Delete a database with its sessions and its role. Missing ones are ignored."""
        ...

    async def lend(self, loan: Loan) -> str:
        """Make the role of a loan; the URL for it, on this machine.

        Raises:
            UserError: `database.bad-name`.
            TransientError: `database.unreachable`.
        """
        ...

    async def end_loans(self) -> int:
        """End the sessions of loans that are over by the server's clock, and delete their roles; how many there were.

        Raises:
            TransientError: `database.unreachable`.
        """
        ...

    async def extensions(self) -> Mapping[str, bool]:
        """The extensions that it has, name -> whether the owner of a database may create it. The server need not run.

        Raises:
            TransientError: `database.unreachable`, of a server elsewhere.
        """
        ...

    def client(self, url: str, *, read_only: bool, interactive: bool) -> Client:
        """The program that talks to a database at a terminal, and what it needs.

        Parameters:
            url: of the database: one that was granted here, or one that a team set itself.
            read_only: transactions change nothing unless they are told to. It guards against slips, not against intent.
            interactive: it is for a terminal, where a line editor helps.

        Raises:
            UserError: `database.bad-url`.
            PermanentError: `database.no-program`.
        """
        ...

    async def status(self) -> DatabaseStatus:
        """What runs. Never raises."""
        ...

    async def stop(self) -> None:
        """A fast shutdown: sessions are ended, nothing is lost."""
        ...
