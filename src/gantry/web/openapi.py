"""The OpenAPI document, in words that a person who has never seen Gantry understands."""

from typing import Any

DESCRIPTION = """Gantry takes a web product from a commit to production and keeps it there.

Everything that the console and the command line do goes through these endpoints.

- **Access.** `Authorization: Bearer <token>`; `gantry token create` makes one. Roles: `viewer` looks, `developer`
  deploys, rolls back and sets variables, `owner` destroys, makes tokens and ends the platform. Each may do what
  those before it may.
- **Errors.** Every refusal is `{"error": {...}}` with a stable `code`, a sentence, and a hint that can be typed.
- **Units.** Times are RFC 3339 in UTC, durations are seconds, sizes are bytes.
- **Doing it twice.** Uploading a snapshot or setting a variable again changes nothing.
"""

TAGS: list[dict[str, Any]] = [
    {"name": "platform", "description": "The platform itself: whether and how it runs."},
    {"name": "projects", "description": "Projects, their environments and releases."},
    {"name": "sources", "description": "Snapshots of source trees, which builds are made from."},
    {
        "name": "rollouts",
        "description": "How traffic moves to a new release, and what is said of it.",
    },
    {"name": "cache", "description": "What the edge keeps of a product's answers."},
    {"name": "deploys", "description": "The way of a change to its environment, step by step."},
    {"name": "variables", "description": "Configuration values of environments."},
    {"name": "logs", "description": "What instances print."},
    {"name": "accounts", "description": "Login links and API tokens."},
    {"name": "audit", "description": "Who changed what, and when."},
]
