"""How variables stand to what is live."""

from datetime import UTC, datetime, timedelta

import pytest

from gantry.features.variables.model import Variable
from gantry.features.variables.rules import Known, standings

MADE = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
BEFORE, AFTER = MADE - timedelta(days=1), MADE + timedelta(minutes=1)


def _set(name: str, at: datetime = BEFORE) -> Variable:
    return Variable(name, at, "ada")


@pytest.mark.parametrize(
    ("listed", "known", "states"),
    [
        ((), None, {}),
        ((_set("A"), _set("B", AFTER)), None, {"A": "set", "B": "set"}),
        (
            (_set("OLD"), _set("NEW", AFTER)),
            Known(MADE, frozenset({"OLD"})),
            {"NEW": "pending", "OLD": "set"},
        ),
        ((), Known(MADE, frozenset({"GONE"})), {"GONE": "removed"}),
        (
            (_set("B"),),
            Known(MADE, frozenset({"A", "B"}), missing=("A",)),
            {"A": "missing", "B": "set"},
        ),
        ((), Known(MADE, frozenset({"A"}), provided={"A": "postgres"}), {"A": "provided"}),
        ((_set("A"),), Known(MADE, frozenset({"A"}), provided={"A": "gantry.toml"}), {"A": "set"}),
    ],
)
def test_a_variable_is_told_by_what_there_is_to_do(
    listed: tuple[Variable, ...], known: Known | None, states: dict[str, str]
) -> None:
    found = standings(listed, known)
    assert {item.name: item.state for item in found} == states
    assert [item.name for item in found] == list(states), "what there is to do about comes first"


def test_what_is_required_is_marked_wherever_it_comes_from() -> None:
    known = Known(
        MADE,
        frozenset({"A"}),
        required=frozenset({"A", "B", "C"}),
        missing=("B",),
        provided={"C": "gantry.toml", "D": "redis"},
    )
    found = standings((_set("A"),), known)
    assert {item.name for item in found if item.is_required} == {"A", "B", "C"}
    assert {item.name: item.source for item in found if item.source} == dict(known.provided)
