"""What has to be right before another version of Gantry may take over."""

from dataclasses import replace
from pathlib import Path

import pytest

from gantry.app.upgrading.rules import Observed, Program, check_before, check_next

PRESENT = Program(Path("/opt/gantry"), "0.1.0", frozenset({"0001.first.sql", "0002.second.sql"}))
NEXT = replace(PRESENT, version="0.2.0")
FINE = Observed(
    size_bytes=600_000_000,
    free_bytes=5_000_000_000,
    writable=True,
    deploys=(),
    runs=True,
    other_user="",
    own_database=True,
)


def before(**more: object) -> dict[str, str]:
    observed = replace(FINE, **more)  # type: ignore[arg-type]
    return {finding.name: finding.state for finding in check_before(PRESENT, observed)}


def test_a_platform_that_runs_and_rests_may_be_upgraded() -> None:
    assert set(before().values()) == {"ok"}
    assert "deploys" in before()


@pytest.mark.parametrize(
    ("more", "name", "state"),
    [
        ({"writable": False}, "program", "bad"),
        ({"free_bytes": 1_000_000_000}, "disk", "bad"),
        ({"free_bytes": 1_100_000_000}, "disk", "ok"),
        ({"other_user": "ada"}, "control plane", "bad"),
        ({"runs": False}, "control plane", "ok"),
        ({"deploys": ("shop to production",)}, "deploys", "bad"),
        ({"deploys": None}, "deploys", "warn"),
    ],
)
def test_what_stands_in_the_way(more: dict[str, object], name: str, state: str) -> None:
    found = before(**more)
    assert found[name] == state
    assert [key for key, value in found.items() if value != "ok"] == ([name] * (state != "ok"))


def test_where_nothing_runs_nothing_is_deployed() -> None:
    assert "deploys" not in before(runs=False)


def test_many_deploys_are_not_all_listed() -> None:
    observed = replace(FINE, deploys=tuple(f"shop-{n} to production" for n in range(9)))
    (found,) = (item for item in check_before(PRESENT, observed) if item.name == "deploys")
    assert found.detail.endswith("shop-2 to production and 6 more")


@pytest.mark.parametrize(
    ("version", "again", "state"),
    [
        ("0.2.0", False, "ok"),
        ("0.1.0.post1", False, "ok"),
        ("0.10.0", False, "ok"),
        ("0.1.0", False, "bad"),
        ("0.1.0", True, "ok"),
        ("0.1.0rc1", False, "bad"),
        ("0.0.9", True, "bad"),
    ],
)
def test_versions_go_up(version: str, again: bool, state: str) -> None:
    successor = replace(NEXT, version=version)
    assert check_next(PRESENT, successor, FINE, again=again)[0].state == state


@pytest.mark.parametrize(
    ("names", "own_database", "state", "said"),
    [
        (("0001.first.sql", "0002.second.sql"), True, "ok", "stays as it is"),
        (("0001.first.sql", "0002.second.sql", "0003.third.sql"), True, "ok", "1 migration; a copy"),
        (("0001.first.sql", "0002.second.sql", "0003.third.sql"), False, "warn", "of your own"),
        (("0001.first.sql", "0003.third.sql"), True, "bad", "does not know 0002.second.sql"),
        ((), True, "bad", "does not know 0001.first.sql"),
    ],
)  # fmt: skip
def test_the_database_goes_up(
    names: tuple[str, ...], own_database: bool, state: str, said: str
) -> None:
    successor = replace(NEXT, migrations=frozenset(names))
    observed = replace(FINE, own_database=own_database)
    found = check_next(PRESENT, successor, observed, again=False)[1]
    assert found.state == state
    assert said in found.detail


def test_a_deploy_that_began_meanwhile_is_seen() -> None:
    observed = replace(FINE, deploys=("shop to production",))
    assert check_next(PRESENT, NEXT, observed, again=False)[-1].state == "bad"
