"""How the variables of an environment stand to what is live there. Pure, and without values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from gantry.features.variables.model import Variable

VariableState = Literal["missing", "pending", "removed", "set", "provided"]
"""In the order of what there is to do. `pending`: the live release has none of it, or an earlier value."""

_ORDER: Mapping[VariableState, int] = {
    "missing": 0, "pending": 1, "removed": 2, "set": 3, "provided": 4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """A variable, and how it stands.

    Attributes:
        is_required: gantry.toml of the live release says so.
        source: what provides it, where nobody has set it.
        updated_at, updated_by: of the one that was set last.
    """

    name: str
    state: VariableState
    is_required: bool = False
    source: str = ""
    updated_at: datetime | None = None
    updated_by: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What the live release says of variables.

    Attributes:
        made_at: it has what was set before.
        has: names that it runs with.
        required: names that its gantry.toml requires.
        missing: of these, what nothing provides now.
        provided: name -> what provides it where nobody has set it.
    """

    made_at: datetime
    has: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()
    provided: Mapping[str, str] = field(default_factory=dict)


def is_pending(variable: Variable, made_at: datetime) -> bool:
    """Whether a release that was made then does not know of its value."""
    return variable.updated_at > made_at


def standings(listed: Iterable[Variable], known: Known | None) -> tuple[Standing, ...]:
    """Every variable that is set, required, provided or still live; what there is to do about first, then by name.

    Parameters:
        known: `None` while nothing is live: then nothing is known to be required.
    """
    given = {variable.name: variable for variable in listed}
    found = [_given(variable, known) for variable in given.values()]
    if known is not None:
        provided = {name: by for name, by in known.provided.items() if name not in given}
        found += [Standing(name, "missing", is_required=True) for name in known.missing]
        found += [
            Standing(name, "provided", is_required=name in known.required, source=source)
            for name, source in provided.items()
        ]
        left = known.has - given.keys() - provided.keys() - set(known.missing)
        found += [Standing(name, "removed") for name in left]
    return tuple(sorted(found, key=lambda item: (_ORDER[item.state], item.name)))


def _given(variable: Variable, known: Known | None) -> Standing:
    return Standing(
        variable.name,
        "pending" if known is not None and is_pending(variable, known.made_at) else "set",
        is_required=known is not None and variable.name in known.required,
        updated_at=variable.updated_at,
        updated_by=variable.updated_by,
    )
