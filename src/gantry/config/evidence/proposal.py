"""A line of gantry.toml that a repository's own files speak for."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Proposal:
    """One key of gantry.toml.

    Attributes:
        key: dotted, such as `processes.worker.mail.command`.
        reason: what speaks for it, as the end of a sentence that begins with `because`.
        sure: it can be taken as it is; else it is an example, for people to look at.
        declared: another platform's file says so. Left out of gantry.toml, it is not honoured.
    """

    key: str
    value: object
    reason: str
    sure: bool = True
    declared: bool = False


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found.

    Attributes:
        proposals: one for each key at most; the first that was found counts.
        notes: sentences about what is not honoured, each with its file.
    """

    proposals: tuple[Proposal, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def taken(self) -> dict[str, object]:
        """Key -> value of those that can be taken as they are."""
        return {item.key: item.value for item in self.proposals if item.sure}


def joined(parts: Iterable[Findings]) -> Findings:
    """Everything that was found; of two proposals for one key the sure one, else the first."""
    proposals: dict[str, Proposal] = {}
    notes: list[str] = []
    for part in parts:
        for item in part.proposals:
            known = proposals.get(item.key)
            if known is None or (item.sure and not known.sure):
                proposals[item.key] = item
        notes += part.notes
    return Findings(tuple(proposals.values()), tuple(dict.fromkeys(notes)))
