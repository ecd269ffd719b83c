"""What CI runs: a list of stages, each of which runs whatever became of those before it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CI = Path(__file__).parents[2] / ".ci/run"
STAGES = tuple(
    line.split()[0] for line in re.findall(r"^stage (.+)$", CI.read_text(), re.MULTILINE)
)


def _run(repository: Path, failing: str, *arguments: str) -> tuple[int, list[str], str]:
    """Run it in a repository whose programs only say that they ran; exit status, what ran, and the errors."""
    shutil.copytree(CI.parent, repository / ".ci")
    for program in set(STAGES):
        path = repository / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'#!/bin/sh\necho "{program} $*" >> ran\nexit {3 if program == failing else 0}\n'
        )
        path.chmod(0o755)
    done = subprocess.run(
        (repository / ".ci/run", *arguments), capture_output=True, text=True, check=False, cwd="/"
    )
    return done.returncode, (repository / "ran").read_text().splitlines(), done.stderr


def test_the_tests_come_first_and_then_products_of_others() -> None:
    assert STAGES[0] == "scripts/test"
    assert "benchmarks.strangers --third" in CI.read_text()


@pytest.mark.parametrize("failing", STAGES)
def test_every_stage_runs_also_after_one_has_failed(tmp_path: Path, failing: str) -> None:
    status, ran, errors = _run(tmp_path, failing)
    assert [line.split()[0] for line in ran] == list(STAGES)
    assert status == 1
    assert f"{failing}" in errors
    assert "ended with 3" in errors


def test_it_ends_well_when_every_stage_does(tmp_path: Path) -> None:
    status, ran, errors = _run(tmp_path, "", "--all")
    assert (status, errors) == (0, "")
    assert ran[0] == "scripts/test --all", "arguments are those of the tests"
