"""Roles, and the tokens by which a caller is known."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What a caller may do; each role may do what those before it may."""

    VIEWER = "viewer"  # look at everything except secrets
    DEVELOPER = "developer"  # deploy, roll back, set variables
    OWNER = "owner"  # tokens, destroying, the platform itself

    def covers(self, needed: "Role") -> bool:
        """Whether this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class TokenKind(StrEnum):
    """How a token is used."""

    LOGIN = "login"  # in a link, once
    SESSION = "session"  # in a browser's cookie
    API = "api"  # in an Authorization header


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request."""

    account: str
    role: Role


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it may be shown: only its hash is stored."""

    hash: str
    kind: TokenKind
    account: str
    role: Role
    label: str
    created_at: datetime
    expires_at: datetime
