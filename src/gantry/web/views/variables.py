"""Variables as bodies."""

from collections.abc import Iterable

from gantry.features.variables.bodies import VariableBody
from gantry.features.variables.model import Variable


def variable_bodies(variables: Iterable[Variable]) -> tuple[VariableBody, ...]:
    """Names and dates; there is no way for a value to get here."""
    return tuple(
        VariableBody(name=each.name, updated_at=each.updated_at, updated_by=each.updated_by)
        for each in variables
    )
