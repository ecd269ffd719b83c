"""Extensions of Postgres that migrations ask for and do not get. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_OTHER_SERVER = "set DATABASE_URL to a Postgres that has it: gantry env set DATABASE_URL"
_MISSING = re.compile(
    r"""extension ["'`]?(?P<name>[\w-]{1,63})["'`]? is not available"""
    r"""|could not open extension control file [^\n]*/(?P<file>[\w-]{1,63})\.control""",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile(
    r"""permission denied to create extension ["'`]?(?P<name>[\w-]{1,63})""", re.IGNORECASE
)
# What it stands for since Postgres has it built in.
_INSTEAD = {"pgcrypto": "gen_random_uuid() and sha256() need no extension"}


@dataclass(frozen=True, slots=True)
class Refused:
    """Why an extension is not created, and what to do."""

    reason: str
    hint: str


def refused_extension(log: str) -> Refused | None:
    """What Postgres said in the output of a release command; `None` when it was something else."""
    if (missing := _MISSING.search(log)) is not None:
        return _missing(missing["name"] or missing["file"])
    if (forbidden := _FORBIDDEN.search(log)) is not None:
        return _forbidden(forbidden["name"])
    return None


def refused_beforehand(name: str, creatable: Mapping[str, bool]) -> Refused | None:
    """Why a database here will not get the extension `name`; `None` when it will.

    Parameters:
        creatable: the extensions that the server has, name -> whether a database's owner may create it.
    """
    if name not in creatable:
        return _missing(name)
    return None if creatable[name] else _forbidden(name)


def _missing(name: str) -> Refused:
    if name in _INSTEAD:
        return Refused(
            f"Postgres here has not got the extension {name} yet; it is fetched from the package index, which "
            "did not answer",
            f"deploy again when this machine reaches the index ({_INSTEAD[name]})",
        )
    return Refused(f"Postgres here has no extension {name}", _OTHER_SERVER)


def _forbidden(name: str) -> Refused:
    return Refused(
        f"Postgres here does not let a product create the extension {name}, which reaches beyond its database",
        _OTHER_SERVER,
    )
