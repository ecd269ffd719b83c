"""Errors that travelled as data between processes, made into errors again."""

from collections.abc import Mapping

from gantry.kernel.errors import (
    Cancelled,
    GantryError,
    IntegrityError,
    PermanentError,
    TransientError,
    UserError,
)

_KINDS: Mapping[str, type[GantryError]] = {
    "user": UserError,
    "transient": TransientError,
    "permanent": PermanentError,
    "integrity": IntegrityError,
    "cancelled": Cancelled,
}


def rebuild(fields: Mapping[str, str]) -> GantryError:
    """The error whose `as_dict()` is `fields`."""
    make = _KINDS.get(fields.get("kind", ""), PermanentError)
    return make(
        fields["code"],
        fields["message"],
        hint=fields.get("hint", ""),
        where=fields.get("where", ""),
    )
