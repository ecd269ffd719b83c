"""Every check and every test, as CI runs them. Bare Python 3.11; sets up `.venv` itself.

scripts/test           everything but more of the same
scripts/test --all     everything: also tests marked exhaustive, and what the unit tests cover
scripts/test --fast    the unit tests only
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time

import environment as venv
from running import StepError, environment, say, step

BIN = venv.VENV / "bin"
COVERAGE = venv.ROOT / ".coverage"  # see pyproject.toml
NO_TESTS_COLLECTED = 5
# Package -> the program that it brings. Tests that need a missing one are skipped, and say so.
SYSTEM_PACKAGES = {"chromium": "chromium", "pebble": "pebble"}


def main() -> int:
    arguments = sys.argv[1:]
    if arguments not in ([], ["--fast"], ["--all"]):
        say(__doc__ or "")
        return 2
    os.chdir(venv.ROOT)
    try:
        venv.ensure(dev=True)
    except StepError as error:
        say(f"the test environment could not be set up: {error}")
        return 1
    if arguments == ["--fast"]:
        return run_all([("unit tests", pytest("tests/unit"))])
    install_system_packages()
    more = ["--exhaustive"] if arguments else []
    units = pytest("tests/unit", *more)
    if arguments:
        # Of the unit tests alone, and not each time: it makes Python slower, and most others wait for programs that are none.
        shutil.rmtree(COVERAGE, ignore_errors=True)
        COVERAGE.mkdir()
        units = [*coverage("run", "-m"), *units[2:]]
    code = run_all(
        [
            ("formatting", [str(BIN / "ruff"), "format", "--check", "."]),
            ("lint", [str(BIN / "ruff"), "check", "."]),
            ("types", [str(BIN / "mypy")]),
            ("architecture", [str(BIN / "lint-imports")]),
            ("unit tests", units),
            ("contracts, simulation", pytest("--ignore=tests/unit", "-m", "not slow", *more)),
            ("end-to-end tests", pytest("-m", "slow", *more)),
        ]
    )
    if arguments:
        say_coverage()
    return code


def pytest(*arguments: str) -> list[str]:
    """Tests of a file run in one process: many share an Envoy, a Postgres or a whole platform."""
    spread = ("-n", "2", "--dist", "loadfile", "--durations=20", "--durations-min=1")
    return [str(venv.PYTHON), "-m", "pytest", *spread, *arguments]


def coverage(*arguments: str) -> list[str]:
    return [str(venv.PYTHON), "-m", "coverage", *arguments]


def say_coverage() -> None:
    """How much of each room the unit tests run."""
    subprocess.call(coverage("combine", "--quiet"), env=environment())
    for room in sorted(path.name for path in (venv.ROOT / "src/gantry").iterdir() if path.is_dir()):
        included = f"--include=src/gantry/{room}/*"
        done = subprocess.run(
            coverage("report", "--format=total", included),
            capture_output=True, text=True, env=environment(), check=False,
        )  # fmt: skip
        if done.returncode == 0:
            say(f"  {done.stdout.strip():>3} % of {room} is run by the unit tests")


def install_system_packages() -> None:
    missing = [name for name, program in SYSTEM_PACKAGES.items() if shutil.which(program) is None]
    apt = shutil.which("apt-get")
    if missing and apt is not None and os.geteuid() == 0:
        env = environment(DEBIAN_FRONTEND="noninteractive")
        with contextlib.suppress(StepError):  # said below, for each package
            step("look up packages", [apt, "update", "-q"], env=env)
        for name in missing:
            try:
                step(
                    f"install {name}, for tests only",
                    [apt, "install", "-y", "--no-install-recommends", name],
                    env=env,
                )
            except StepError:
                continue  # said below
    for name, program in SYSTEM_PACKAGES.items():
        if shutil.which(program) is None:
            say(f"! {name} is missing: the tests that need it are skipped (apt-get install {name})")


def run_all(stages: list[tuple[str, list[str]]]) -> int:
    """Run every stage, also after one has failed; 1 when any did."""
    results = []
    for name, argv in stages:
        say(f"\n=== {name}: {' '.join(argv)}")
        began_s = time.monotonic()
        code = subprocess.call(argv, env=environment())
        results.append((name, code, time.monotonic() - began_s))
    say("\n=== summary")
    failed = False
    for name, code, elapsed_s in results:
        none = code == NO_TESTS_COLLECTED
        bad = code != 0 and not none
        failed = failed or bad
        mark, note = ("✗", f"exit code {code}") if bad else ("✓", "no tests" if none else "")
        say(f"{mark} {name:<26} {elapsed_s:7.1f} s  {note}".rstrip())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
