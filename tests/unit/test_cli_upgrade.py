"""`gantry upgrade` shows what it found, asks, and hands over."""

import json
from pathlib import Path

import pytest

from gantry.cli.platform import Finding
from gantry.kernel.errors import PermanentError
from tests.support.cli import Bench

_DONE = ["look_for_upgrade", "install_beside", "look_for_upgrade", "hand_over"]
_LEFT = ["look_for_upgrade", "install_beside", "look_for_upgrade", "forget_upgrade"]


def test_it_looks_installs_asks_and_hands_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path, answers=True)
    bench.platform.running = True
    done = bench.run("upgrade", stdin="y\n")
    assert done.code == 0
    assert bench.platform.done == _DONE
    assert "git+https://git.example.com/gantry" in done.out
    assert "upgraded 0.1.0 → 0.2.0; sites went on" in done.err


def test_where_nothing_runs_it_says_how_to_start(tmp_path: Path) -> None:
    assert "gantry up starts it" in Bench(tmp_path).run("upgrade", "--yes").err


@pytest.mark.parametrize(("words", "stdin"), [(("--check",), ""), ((), "n\n")])
def test_a_look_and_a_no_leave_nothing_behind(
    tmp_path: Path, words: tuple[str, ...], stdin: str
) -> None:
    bench = Bench(tmp_path, answers=True)
    done = bench.run("upgrade", *words, stdin=stdin)
    assert bench.platform.done == _LEFT
    assert "nothing was changed" in done.err
    assert done.code == (0 if words else 130)


def test_what_stands_in_the_way_is_said_before_anything_is_installed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.platform.findings = (Finding("deploys", "bad", "not yet at their end: shop", "wait"),)
    done = bench.run("upgrade", "--yes")
    assert (done.code, bench.platform.done) == (1, ["look_for_upgrade"])
    assert "first correct: deploys; nothing was changed" in done.err


def test_a_version_that_does_not_fit_is_deleted_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.platform.upgrade_findings = (Finding("version", "bad", "0.2.0 → 0.1.0 goes back", "no"),)
    done = bench.run("upgrade", "--yes", "--again")
    assert done.code == 1
    assert bench.platform.done == ["look_for_upgrade", "install_beside again", "look_for_upgrade", "forget_upgrade"]  # fmt: skip


def test_programs_get_one_document(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    done = bench.run("upgrade", "0.2.0", "--json")
    found = json.loads(done.out)
    assert (found["source"], found["version"], found["next_version"], found["done"]) == (
        "0.2.0", "0.1.0", "0.2.0", True,
    )  # fmt: skip
    assert found["findings"][0]["name"] == "version"
    refused = Bench(tmp_path)
    refused.platform.findings = (Finding("disk", "bad", "1 MB free", "make room"),)
    outcome = refused.run("upgrade", "--json")
    assert (outcome.code, json.loads(outcome.out)["done"]) == (1, False)


def test_one_that_went_back_ends_with_its_reason(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.platform.failures["hand_over"] = PermanentError(
        "upgrade.went-back", "0.2.0 did not come up, and the version before runs again: no"
    )
    done = bench.run("upgrade", "--yes")
    assert done.code == bench.platform.failures["hand_over"].exit_code
    assert "error[upgrade.went-back]" in done.err
