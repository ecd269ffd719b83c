"""Tokens in the database, hashed."""

from datetime import datetime

from gantry.engines.database.protocol import Row, Session
from gantry.features.accounts.model import Role, Token, TokenKind

_COLUMNS = "hash, kind, account, role, label, created_at, expires_at"


def _token(row: Row) -> Token:
    return Token(**{**row, "kind": TokenKind(row["kind"]), "role": Role(row["role"])})


async def insert(session: Session, token: Token) -> None:
    """Store a token."""
    await session.execute(
        f"""INSERT INTO tokens ({_COLUMNS})
            VALUES (%(hash)s, %(kind)s, %(account)s, %(role)s, %(label)s, %(created)s, %(expires)s)""",
        {
            "hash": token.hash,
            "kind": token.kind,
            "account": token.account,
            "role": token.role,
            "label": token.label,
            "created": token.created_at,
            "expires": token.expires_at,
        },
    )


async def find(session: Session, token_hash: str, *, at: datetime) -> Token | None:
    """The token, unless it has expired."""
    row = await session.one(
        f"SELECT {_COLUMNS} FROM tokens WHERE hash = %(hash)s AND expires_at > %(at)s",
        {"hash": token_hash, "at": at},
    )
    return _token(row) if row else None


async def take(session: Session, token_hash: str, *, at: datetime) -> Token | None:
    """The token, unless it has expired; it is gone afterwards, so it works once."""
    row = await session.one(
        f"DELETE FROM tokens WHERE hash = %(hash)s RETURNING {_COLUMNS}", {"hash": token_hash}
    )
    return _token(row) if row and row["expires_at"] > at else None


async def list_api_tokens(session: Session) -> tuple[Token, ...]:
    """Tokens that people made, newest first."""
    rows = await session.rows(
        f"SELECT {_COLUMNS} FROM tokens WHERE kind = 'api' ORDER BY created_at DESC"
    )
    return tuple(_token(row) for row in rows)


async def delete_expired(session: Session, *, at: datetime) -> int:
    """Remove what no longer opens anything; how many."""
    return await session.execute("DELETE FROM tokens WHERE expires_at <= %(at)s", {"at": at})
