"""The API's description, in words that a person who has never seen Gantry understands."""

from collections.abc import Iterable
from typing import Any

from gantry.web.noun import Noun

DESCRIPTION = """Gantry takes a web product from a commit to production and keeps it there.

Everything that the console and the command line do goes through these endpoints.

- **Access.** `Authorization: Bearer <token>`; `gantry token create` makes one. Roles: `viewer` looks, `developer`
  deploys, rolls back and sets variables, `owner` destroys, makes tokens and ends the platform. Each may do what
  those before it may.
- **Errors.** Every refusal is `{"error": {...}}` with a stable `code`, a sentence, and a hint that can be typed.
- **Units.** Times are RFC 3339 in UTC, durations are seconds, sizes are bytes.
- **Doing it twice.** Uploading a snapshot or setting a variable again changes nothing.
"""


def tags(nouns: Iterable[Noun]) -> list[dict[str, Any]]:
    """The groups of endpoints, one a noun."""
    return [
        {"name": noun.tag, "description": noun.description} for noun in nouns if noun.description
    ]
