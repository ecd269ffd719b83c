"""The table of starters: each version is pinned in one place, and read by somebody."""

import re
from pathlib import Path

import pytest
from benchmarks.starters import STARTERS, VERSIONS, Starter, versioned
from benchmarks.strangers import Row

_PLACE = re.compile(r"\{([a-z][a-z-]*)\}")


def _texts(starter: Starter) -> str:
    files = (*starter.files.values(), *starter.stand_in.values())
    return "\n".join((*starter.make, *starter.then, starter.build, *starter.tools, *files))


@pytest.mark.parametrize("starter", STARTERS, ids=lambda starter: starter.name)
def test_every_version_that_is_asked_for_is_pinned(starter: Starter) -> None:
    commands = "\n".join((*starter.make, *starter.then, starter.build, *starter.tools))
    assert not _PLACE.search(versioned(commands))
    for command in starter.make:
        assert "@latest" not in command
        assert "npx -y" not in command or re.search(r"npx -y \S+@\{", command)


def test_every_pinned_version_is_asked_for() -> None:
    everything = "\n".join(_texts(starter) for starter in STARTERS)
    assert not {name for name in VERSIONS if f"{{{name}}}" not in everything}


def test_names_are_unique_and_a_third_is_a_third() -> None:
    assert len({starter.name for starter in STARTERS}) == len(STARTERS)
    third = sum(starter.third for starter in STARTERS)
    assert abs(third - len(STARTERS) / 3) <= 1


@pytest.mark.parametrize(
    ("row", "missed", "outside"),
    [
        (Row("a", outside_s=None, answers=0), False, True),
        (Row("a", outside_s=None, answers=200, shows=True), False, False),
        (Row("a", outside_s=3.0, answers=200, shows=True), False, False),
        (Row("a", outside_s=3.0, answers=307, shows=True), False, False),
        (Row("a", outside_s=3.0, answers=500, shows=True), True, False),
        (Row("a", outside_s=3.0, answers=200, shows=False), True, False),
        (Row("a", is_late=True), True, False),
    ],
)
def test_missed_is_what_works_outside_and_does_not_show_its_own_page(
    row: Row, missed: bool, outside: bool
) -> None:
    assert (row.is_missed, row.fails_outside) == (missed, outside)


def test_the_repository_names_no_package_index() -> None:
    folder = Path(__file__).parents[2] / "benchmarks"
    for name in ("starters.py", "strangers.py"):
        assert "registry." not in (folder / name).read_text()
