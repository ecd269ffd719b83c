"""What a build that failed says of itself: one code, the lines that matter, and what to do."""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from gantry.engines.builders.confine import Ended
from gantry.kernel.units import format_duration, format_size

_TAIL_LINES = 20
_MAX_NAMES = 8
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_NOISE = re.compile(
    r"^\s*$|^npm error$|^npm (notice|warn|verbose)|A complete log of this run|^npm error (A |/|errno$|path )"
    r"|^\s*at .*node:internal|^> |^$",
)
_TELLING = re.compile(r"error|cannot|can't|not found|failed|denied|missing|invalid", re.IGNORECASE)
_LOCK_MISMATCH = (
    "can only install packages when your package.json and package-lock.json",
    "`npm ci` can only install with an existing package-lock.json",
    "ERR_PNPM_OUTDATED_LOCKFILE",
    "Your lockfile needs to be updated",
    "The lockfile would have been modified by this install",
    "The lockfile at `uv.lock` needs to be updated",
)
# What pip and uv say of a package that there is for other Pythons only.
_OTHER_PYTHON = re.compile(
    r"Requires-Python\s*:?\s*([<>=!~][^\s;]*)|\bPython\s?([<>=!~]=?\s?\d[\d.<>=!*]*)|different Python: \S+ not in '([^']+)'"
)
# Among many lines of an installation that failed, the one that says why.
_DECISIVE = re.compile(
    r"No matching distribution found|No solution found|conflicting dependencies|\bE?404\b|\bE?40[13]\b"
)
# npm, pnpm and Yarn say which packages differ, among much else.
_MISMATCHED = re.compile(r"(Missing|Invalid): |specifiers|lock ?file")


class BuildFailed(Exception):  # noqa: N818 -- what happened; it ends in an outcome, not in a handler
    """A build cannot go on.

    Parameters:
        code, message, hint: of the outcome.
    """

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Unseen:
    """Names of variables that are set and that a build does not get.

    Attributes:
        withheld: it would get them if `[build] env` named them.
        of_services: only releases have them.
    """

    withheld: tuple[str, ...] = ()
    of_services: tuple[str, ...] = ()


class Tail:
    """The last lines of a command's output, bounded."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=400)

    def add(self, line: str) -> None:
        self._lines.append(_ANSI.sub("", line).rstrip()[:500])

    def relevant(self) -> list[str]:
        """The last lines without noise."""
        return [line for line in self._lines if not _NOISE.search(line)][-_TAIL_LINES:]

    def matching(self, pattern: re.Pattern[str]) -> list[str]:
        """The last lines that contain a match."""
        return [line for line in self._lines if pattern.search(line)][-_TAIL_LINES:]

    def named(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that some line has as a word."""
        return [name for name in names if self.matching(re.compile(rf"\b{re.escape(name)}\b"))]

    def contains(self, texts: Iterable[str]) -> bool:
        """Whether some line contains one of `texts`."""
        return any(text in line for line in self._lines for text in texts)


def explain(
    phase: str,
    label: str,
    ended: Ended,
    tail: Tail,
    *,
    memory_bytes: int | None,
    timeout_s: float,
    unseen: Unseen,
) -> BuildFailed:
    """Why a phase failed. Phases other than `install` and `test` count as building."""
    area = "test" if phase == "test" else "build"
    if ended.out_of_memory:
        limit = "" if memory_bytes is None else f" of {format_size(memory_bytes)}"
        return BuildFailed(
            f"{area}.out-of-memory",
            f"{label} used more memory than its limit{limit} (at most {format_size(ended.peak_bytes)} were seen)",
            hint=f'raise it in gantry.toml: [build] memory = "{_more(memory_bytes)}"',
        )
    if ended.timed_out:
        return BuildFailed(
            f"{area}.timeout",
            f"{label} did not end within {format_duration(timeout_s)}",
            hint=f"the log shows where it stands; [{area}] timeout in gantry.toml gives it longer",
        )
    if ended.disk_full:
        return BuildFailed(
            f"{area}.disk-full",
            f"{label} was stopped: it had filled the disk up to what the services of this machine need",
            hint="let it write less, or make room: gantry doctor shows what uses the disk",
        )
    lines = tail.relevant()
    if phase == "install":
        return _explain_install(label, ended, tail, lines)
    if phase == "test":
        return BuildFailed(
            "test.failed",
            _message(f"the tests failed: {label} exited with {ended.exit_code}", lines),
            hint="fix the test or the code and deploy again; the live release is untouched",
        )
    return BuildFailed(
        "build.command-failed",
        _message(f"{label} exited with {ended.exit_code}", lines),
        hint=_hint(label, tail, unseen),
    )


def _hint(label: str, tail: Tail, unseen: Unseen) -> str:
    """What may be missing goes first: a developer's machine has every variable, and there the build succeeds."""
    if named := tail.named(unseen.withheld):
        names = ", ".join(f'"{name}"' for name in named[:_MAX_NAMES])
        return f"[build] env = [{names}] in gantry.toml: what is neither public nor named there does not reach the build"
    if named := tail.named(unseen.of_services):
        return f"{named[0]} is set in a release only: read it when a request comes, not when a module is loaded"
    if not unseen.withheld:
        return f"run it on your machine: {label}"
    names = ", ".join(unseen.withheld[:_MAX_NAMES])
    more = f" and {rest} more" if (rest := len(unseen.withheld) - _MAX_NAMES) > 0 else ""
    return (
        f"run it on your machine without {names}{more}, which it did not get: {label}; "
        "[build] env in gantry.toml names what it needs"
    )


def _explain_install(label: str, ended: Ended, tail: Tail, lines: list[str]) -> BuildFailed:
    manager = label.split(maxsplit=1)[0]
    if tail.contains(_LOCK_MISMATCH):
        command = {"pnpm": "pnpm install", "yarn": "yarn install", "python": "uv lock"}
        return BuildFailed(
            "build.lock-mismatch",
            _message(
                "the lock file does not fit the declared packages", tail.matching(_MISMATCHED)
            ),
            hint=f"{command.get(manager, 'npm install')}, then commit the lock file",
        )
    decisive = "".join(tail.matching(_DECISIVE)[-1:])
    return BuildFailed(
        "build.install-failed",
        _message(f"{label} exited with {ended.exit_code}", lines, decisive),
        hint=_install_hint(manager, tail),
    )


def _install_hint(manager: str, tail: Tail) -> str:
    if manager != "python":
        return (
            "run it on your machine; private packages need their token: gantry env set NPM_TOKEN, and "
            '[build] env = ["NPM_TOKEN"] in gantry.toml'
        )
    for line in tail.matching(_OTHER_PYTHON):
        if found := _OTHER_PYTHON.search(line):
            wanted = next(filter(None, found.groups()))
            return (
                f"a package is for Python {wanted} only: write the version that the product needs into "
                ".python-version, or [build] python in gantry.toml"
            )
    return (
        "run it on your machine; what an index of your own asks for is a variable: gantry env set INDEX_TOKEN, and "
        '[build] env = ["INDEX_TOKEN"] in gantry.toml'
    )


def _message(what: str, lines: list[str], decisive: str = "") -> str:
    last = lines[-1] if lines else ""
    telling = decisive or next((line for line in lines if _TELLING.search(line)), last)
    first = f"{what}: {telling.strip()[:200]}" if telling else f"{what}, without a word"
    return "\n".join([first, *lines]) if len(lines) > 1 else first


def _more(memory_bytes: int | None) -> str:
    doubled = 2 * (memory_bytes or 1_000_000_000)
    return f"{max(1, round(doubled / 1_000_000_000))} GB"
