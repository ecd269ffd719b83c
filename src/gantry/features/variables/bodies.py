"""What the API takes and says of variables."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from pydantic import Field

from gantry.features.variables.model import DifferenceState
from gantry.kernel.bodies import Answer, Open, Request

if TYPE_CHECKING:
    from gantry.features.variables.model import Variable


class VariableBody(Answer):
    """A variable as it may be shown; values are never sent back."""

    name: str
    updated_at: datetime
    updated_by: str

    @classmethod
    def of(cls, variable: "Variable") -> Self:
        """Name and date; there is no way for a value to get here."""
        return cls(
            name=variable.name, updated_at=variable.updated_at, updated_by=variable.updated_by
        )


class ProvidedBody(Answer):
    """A variable of the live release that nobody set with `gantry env set`.

    Attributes:
        source: `gantry.toml`, or the service that sets it.
    """

    name: str
    source: str


class VariablesRequest(Request):
    """Set and remove variables in one go."""

    set: dict[str, str] = Field(default_factory=dict, max_length=500)
    unset: tuple[str, ...] = Field((), max_length=500)


class CopyRequest(Request):
    """Set variables to what they are in another environment."""

    from_environment: str = Field(max_length=63)
    names: tuple[str, ...] = Field((), max_length=500, description="Empty for all of them.")


class DifferenceBody(Answer):
    """How a variable of one environment stands to that of another. Neither value is ever sent."""

    name: str
    state: Open[DifferenceState]
