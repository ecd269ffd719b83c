"""Errors, by what the caller must do next.

    GantryError
    +-- UserError         fix the request, the manifest or the machine
    +-- TransientError    the same call may succeed later
    +-- PermanentError    it will not succeed by itself
    +-- IntegrityError    stored data is not what was stored: stop
    +-- Cancelled         somebody asked for it

Each error carries a stable dotted `code` that scripts may match, one sentence for people, and
where possible a `hint` that can be typed. `docs/errors.md` lists the codes.
"""

from collections.abc import Mapping
from typing import ClassVar


class GantryError(Exception):
    """Base of all errors that Gantry raises on purpose.

    Parameters:
        code: stable dotted identifier, such as `manifest.unknown-key`.
        message: one sentence: what is wrong.
        hint: what to do next, preferably a command that can be typed.
        where: file and line, URL, or the name of the thing at fault.
    """

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    kind: ClassVar[str] = "permanent"

    def __init__(self, code: str, message: str, *, hint: str = "", where: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.where = where

    def as_dict(self) -> dict[str, str]:
        """The wire form: the same in the API, in `--json` output and in the database."""
        return {
            "kind": self.kind,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "where": self.where,
        }


class UserError(GantryError):
    """The request cannot be carried out as it is; the person must change something."""

    exit_code = 2
    http_status = 400
    kind = "user"


class NotFoundError(UserError):
    """The thing named in the request does not exist."""

    http_status = 404


class ConflictError(UserError):
    """The request contradicts the present state, such as a second `gantry up`."""

    http_status = 409


class AccessError(UserError):
    """The caller is not known, or may not do this."""

    exit_code = 5
    http_status = 403


class TransientError(GantryError):
    """Nothing is wrong with the request; the same call may succeed later."""

    exit_code = 3
    http_status = 503
    kind = "transient"


class PermanentError(GantryError):
    """The work was carried out and failed, and would fail again."""

    exit_code = 1
    http_status = 500
    kind = "permanent"


class IntegrityError(GantryError):
    """Stored data is not what was stored. Nothing goes on from here by itself."""

    exit_code = 4
    http_status = 500
    kind = "integrity"


class Cancelled(GantryError):  # noqa: N818 -- a request that was carried out, not a fault
    """Somebody asked for the work to stop."""

    exit_code = 130
    http_status = 409
    kind = "cancelled"


_BY_KIND: Mapping[str, type[GantryError]] = {
    kind.kind: kind
    for kind in (UserError, TransientError, PermanentError, IntegrityError, Cancelled)
}
_BY_STATUS: Mapping[int, type[GantryError]] = {
    401: AccessError,
    403: AccessError,
    404: NotFoundError,
    409: ConflictError,
}


def from_dict(fields: Mapping[str, str], *, http_status: int = 0) -> GantryError:
    """The error whose `as_dict()` is `fields`.

    Parameters:
        fields: at least `code` and `message`; an unknown `kind` makes a `PermanentError`.
        http_status: of the answer that carried it, which tells apart what share the kind `user`; 0 when unknown.
    """
    kind = _BY_KIND.get(fields.get("kind", ""), PermanentError)
    if kind is UserError:
        kind = _BY_STATUS.get(http_status, UserError)
    return kind(
        fields["code"],
        fields["message"],
        hint=fields.get("hint", ""),
        where=fields.get("where", ""),
    )
