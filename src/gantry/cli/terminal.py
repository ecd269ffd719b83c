"""Pieces of output that several commands share: addresses, commits, lines of foreign programs."""

from collections.abc import Iterable

from rich.text import Text

from gantry.features.releases.bodies import CommitBody
from gantry.kernel.bodies import Answer
from gantry.kernel.units import first_line


def url(address: str, style: str = "cyan") -> Text:
    """An address that terminals can open."""
    return Text(address, style=f"{style} link {address}", no_wrap=True, overflow="ignore")


def commit(body: CommitBody) -> str:
    """`3f2a91c+ Add announcements`; `+` means that the tree had changes that were not committed."""
    if not body.sha:
        return first_line(body.message)
    mark = "+" if body.dirty else ""
    return f"{body.sha[:7]}{mark} {first_line(body.message)}".rstrip()


def printable(line: str) -> str:
    """A line of a foreign program without its control sequences: they must not move our cursor."""
    return "".join(
        character if character.isprintable() else " "
        for character in Text.from_ansi(line).plain.expandtabs(4)
    )


def json_array(bodies: Iterable[Answer]) -> str:
    """Several answers as one JSON array, exactly as the API sent them."""
    return "[" + ",".join(body.model_dump_json() for body in bodies) + "]"
