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


def test_those_that_fail_outside_too_are_not_missed() -> None:
    assert not Row("a", outside_s=None, answers=0).is_missed
    assert Row("a", outside_s=3.0, answers=500).is_missed
    assert not Row("a", outside_s=3.0, answers=307).is_missed


def test_the_repository_names_no_package_index() -> None:
    folder = Path(__file__).parents[2] / "benchmarks"
    for name in ("starters.py", "strangers.py"):
        assert "registry." not in (folder / name).read_text()
