"""What a failed build says."""

import pytest

from gantry.engines.builders.confine import Ended
from gantry.engines.builders.failures import Tail, Unseen, explain

_EUSAGE = """npm error code EUSAGE
npm error
npm error `npm ci` can only install packages when your package.json and package-lock.json or npm-shrinkwrap.json are in sync.
npm error Missing: ms@2.1.3 from lock file
npm error A complete log of this run can be found in: /home/gantry/.npm/_logs/x.log"""
_TYPES = "\x1b[31mFailed to compile.\x1b[0m\n\n./app/page.tsx:3:7\nType error: Type 'string' is not assignable to type 'number'."


_NONE = Unseen()


def _tail(output: str) -> Tail:
    tail = Tail()
    for line in output.splitlines():
        tail.add(line)
    return tail


def _explain(phase: str, output: str, ended: Ended, unseen: Unseen = _NONE) -> tuple[str, str, str]:
    failure = explain(
        phase,
        "next build",
        ended,
        _tail(output),
        memory_bytes=512_000_000,
        timeout_s=90,
        unseen=unseen,
    )
    return failure.code, failure.message, failure.hint


def _ended(
    code: int = 1,
    *,
    timed_out: bool = False,
    out_of_memory: bool = False,
    disk_full: bool = False,
) -> Ended:
    return Ended(code, timed_out, out_of_memory, disk_full, peak_bytes=530_000_000)


@pytest.mark.parametrize(
    ("phase", "output", "ended", "code", "says", "hint"),
    [
        ("install", _EUSAGE, _ended(), "build.lock-mismatch", "Missing: ms@2.1.3", "npm install"),
        ("install", "ERR_PNPM_OUTDATED_LOCKFILE  Cannot install", _ended(), "build.lock-mismatch", "lock file", ""),
        ("install", "npm error 404 Not Found - @own/ui", _ended(), "build.install-failed", "@own/ui", "NPM_TOKEN"),
        ("build", _TYPES, _ended(), "build.command-failed", "./app/page.tsx:3:7", "next build"),
        ("build", "", _ended(3), "build.command-failed", "exited with 3, without a word", ""),
        ("build", "x", _ended(137, disk_full=True), "build.disk-full", "filled the disk", "gantry doctor"),
        ("build", "x", _ended(137, out_of_memory=True), "build.out-of-memory", "512.0 MB", 'memory = "1 GB"'),
        ("build", "x", _ended(137, timed_out=True), "build.timeout", "1 min 30 s", "[build] timeout"),
        ("test", "1 failing", _ended(), "test.failed", "1 failing", "untouched"),
        ("test", "x", _ended(137, timed_out=True), "test.timeout", "1 min 30 s", "[test] timeout"),
        ("prune", "npm error EACCES", _ended(), "build.command-failed", "EACCES", ""),
    ],
)  # fmt: skip
def test_a_failure_is_told_with_what_matters(
    phase: str, output: str, ended: Ended, code: str, says: str, hint: str
) -> None:
    found, message, advice = _explain(phase, output, ended)
    assert found == code
    assert says in message
    assert hint in advice
    assert "\x1b" not in message
    assert "A complete log" not in message


def test_only_the_last_lines_are_told() -> None:
    output = "\n".join(f"line {number}" for number in range(1000)) + "\nError: it broke"
    _, message, _ = _explain("build", output, _ended())
    assert message.splitlines()[0] == "next build exited with 1: Error: it broke"
    assert len(message.splitlines()) == 21


_PIP = """ERROR: Ignored the following versions that require a different python version: 6.0 Requires-Python >=3.12; 6.0.1 Requires-Python >=3.12
ERROR: Could not find a version that satisfies the requirement django>=6.0 (from versions: 1.1.3, 1.1.4, 5.2.9)
ERROR: No matching distribution found for django>=6.0"""
_PIP_SOURCE = "ERROR: Package 'shop' requires a different Python: 3.11.9 not in '>=3.13'"
_UV = """  × No solution found when resolving dependencies:
  ╰─▶ Because the current Python version (3.11.9) does not satisfy Python>=3.12 and django>=6.0,<6.0.1 depends on Python>=3.12, we can
      conclude that django>=6.0,<6.0.1 cannot be used."""
_PIP_PRIVATE = """ERROR: Could not find a version that satisfies the requirement our-own==1.0 (from versions: none)
ERROR: No matching distribution found for our-own==1.0"""


@pytest.mark.parametrize(
    ("output", "says", "hint"),
    [
        (_PIP, "No matching distribution found for django>=6.0", "for Python >=3.12 only"),
        (_UV, "No solution found", "for Python >=3.12 only"),
        (_PIP_SOURCE, "requires a different Python", "for Python >=3.13 only"),
        (_PIP_PRIVATE, "No matching distribution found for our-own==1.0", '[build] env = ["INDEX_TOKEN"]'),
    ],
    ids=["pip", "uv", "source", "private"],
)  # fmt: skip
def test_packages_of_python_that_cannot_be_installed_say_what_would_help(
    output: str, says: str, hint: str
) -> None:
    failure = explain(
        "install", "python packages", _ended(), _tail(output), memory_bytes=None, timeout_s=9, unseen=_NONE
    )  # fmt: skip
    assert failure.code == "build.install-failed"
    assert says in failure.message.splitlines()[0]
    assert hint in failure.hint
    assert "NPM" not in failure.hint


_LAST = "[build] env in gantry.toml names what it needs"
_UNSEEN = Unseen(("AUTH_SECRET", "POSTGRES_URL"), ("DATABASE_URL",))


@pytest.mark.parametrize(
    ("output", "unseen", "hint"),
    [
        ("Error: POSTGRES_URL is not set", _UNSEEN,
         '[build] env = ["POSTGRES_URL"] in gantry.toml: what is neither public nor named there does not reach the build'),
        ("no DATABASE_URL, no AUTH_SECRET", _UNSEEN,
         '[build] env = ["AUTH_SECRET"] in gantry.toml: what is neither public nor named there does not reach the build'),
        ("no DATABASE_URL", _UNSEEN,
         "DATABASE_URL is set in a release only: read it when a request comes, not when a module is loaded"),
        ("Error: Invalid URL", _UNSEEN,
         "run it on your machine without AUTH_SECRET, POSTGRES_URL, which it did not get: next build; " + _LAST),
        ("MY_POSTGRES_URL_2 x", Unseen(("POSTGRES_URL",)),
         "run it on your machine without POSTGRES_URL, which it did not get: next build; " + _LAST),
        ("x", Unseen(of_services=("DATABASE_URL",)), "run it on your machine: next build"),
        ("x", Unseen(tuple(f"V{number}" for number in range(10))),
         "run it on your machine without V0, V1, V2, V3, V4, V5, V6, V7 and 2 more, which it did not get: next build; " + _LAST),
    ],
)  # fmt: skip
def test_a_failed_build_names_the_variables_that_it_did_not_get(
    output: str, unseen: Unseen, hint: str
) -> None:
    assert _explain("build", output, _ended(), unseen)[2] == hint
