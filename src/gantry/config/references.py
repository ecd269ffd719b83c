"""References in plain variables: `POSTGRES_URL = "${DATABASE_URL}"`. Pure.

Only what Gantry itself knows can be referred to, so that the text of a manifest never depends on another variable of the
team's, and no order of replacing is needed.
"""

import re
from collections.abc import Collection, Mapping

OWN = ("GANTRY_ENVIRONMENT", "GANTRY_PROJECT", "GANTRY_RELEASE", "GANTRY_URL")
"""Variables of a process that a plain value may refer to, besides those of services."""

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_BARE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")


def names_in(text: str) -> tuple[str, ...]:
    """Names that `text` refers to, in their order."""
    return tuple(_REFERENCE.findall(text))


def reference_fault(text: str) -> str | None:
    """What cannot be read in `text`; `None` when all of it can."""
    if "$${" in text:
        return "has $${, which has no meaning here; a value that holds ${ as text is set with gantry env set"
    if "${" in _REFERENCE.sub("", text):
        return (
            "has a ${ that no name and } follow; write it like ${DATABASE_URL}, or set a value that holds ${ as text with "
            "gantry env set"
        )
    return None


def bare_names(text: str, known: Collection[str]) -> tuple[str, ...]:
    """Those of `known` that `text` names without braces, as a shell would take them; Gantry leaves them as they are."""
    return tuple(name for name in _BARE.findall(text) if name in known)


def expand(text: str, values: Mapping[str, str]) -> str:
    """`text` with the values that it refers to. What is not known stays as it is written."""
    return _REFERENCE.sub(lambda match: values.get(match[1], match[0]), text)
