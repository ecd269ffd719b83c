"""Configuration values of an environment."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gantry.kernel.errors import UserError

MAX_VALUE_CHARACTERS = 32_768
MAX_VARIABLES = 500
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# Gantry sets these for each instance; a value of the project's own would break routing or identity.
RESERVED = frozenset({"PORT", "HOST", "HOSTNAME"})

DifferenceState = Literal["equal", "differs", "only-here", "only-there"]
"""How a variable of one environment stands to that of another."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable as it may be shown: its value never leaves the platform this way."""

    name: str
    updated_at: datetime
    updated_by: str


def check(name: str, value: str) -> None:
    """Refuse what cannot be a variable.

    Raises:
        UserError: `variable.bad-name`, `variable.reserved`, `variable.bad-value`.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            "variable.bad-name",
            f"{name[:80]!r} cannot be the name of a variable",
            hint="use letters, digits and _, and start with a letter, such as SESSION_SECRET",
        )
    if name in RESERVED or name.startswith("GANTRY_"):
        raise UserError(
            "variable.reserved",
            f"{name} is set by Gantry for each instance and cannot be changed",
            hint="read it in your program, or choose another name",
        )
    if len(value) > MAX_VALUE_CHARACTERS or "\0" in value:
        raise UserError(
            "variable.bad-value",
            f"the value of {name} has {len(value)} characters; the limit is {MAX_VALUE_CHARACTERS}, "
            "and none of them may be NUL",
            hint="put large data in a file of the project or in a service",
        )
