"""What the API takes and says of accounts and their tokens."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from gantry.kernel.bodies import Answer, Open, Request

if TYPE_CHECKING:
    from gantry.features.accounts.model import Token


class LoginLinkBody(Answer):
    """A link that logs one browser in, once."""

    url: str
    expires_at: datetime


class TokenRequest(Request):
    """A new API token."""

    label: str = Field(min_length=1, max_length=100)
    role: Literal["viewer", "developer", "owner"] = "developer"
    days: int = Field(90, ge=1, le=365)


class LoginRequest(Request):
    """The code of a login link, in exchange for an API token."""

    code: str = Field(min_length=1, max_length=200)
    label: str = Field(min_length=1, max_length=100, description="Under which it acts.")


class CallerBody(Answer):
    """Who sends this request."""

    account: str
    role: Open[Literal["viewer", "developer", "owner"]]


class TokenBody(Answer):
    """A token. `token` is shown once, when it is made."""

    id: str
    label: str
    role: Open[Literal["viewer", "developer", "owner"]]
    created_at: datetime
    expires_at: datetime
    token: str = ""

    @classmethod
    def of(cls, token: "Token", secret: str = "") -> Self:
        """A token.

        Parameters:
            secret: the token itself, where it has just been made.
        """
        return cls(
            id=token.hash[:12],
            label=token.label,
            role=token.role.value,
            created_at=token.created_at,
            expires_at=token.expires_at,
            token=secret,
        )
