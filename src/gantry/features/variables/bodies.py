"""What the API takes and says of variables."""

from datetime import datetime

from pydantic import Field

from gantry.kernel.bodies import Answer, Request


class VariableBody(Answer):
    """A variable as it may be shown; values are never sent back."""

    name: str
    updated_at: datetime
    updated_by: str


class VariablesRequest(Request):
    """Set and remove variables in one go."""

    set: dict[str, str] = Field(default_factory=dict, max_length=500)
    unset: tuple[str, ...] = Field((), max_length=500)
