"""Asking git about a folder. Nothing here changes a repository."""

import shutil
import subprocess
from pathlib import Path

from gantry.config.settings import whole_environment
from gantry.kernel.errors import UserError

_TIMEOUT_S = 120.0
_NO_REPOSITORY = b"not a git repository"
_UNREADABLE = "could not open directory '"


def is_there() -> bool:
    """Whether this machine has git."""
    return shutil.which("git") is not None


def ask(directory: Path, *arguments: str) -> bytes | None:
    """What git prints; `None` when `directory` is in no repository, or git is not there.

    Raises:
        UserError: `source.git-failed` git refuses, `source.unreadable` a folder that it could not look into.
    """
    done = _run(directory, arguments)
    if done is None or _NO_REPOSITORY in done.stderr:
        return None
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode != 0:
        raise _failed(directory, said)
    if _UNREADABLE in said:
        place = said.partition(_UNREADABLE)[2].partition("'")[0]
        raise UserError(
            "source.unreadable",
            f"{place} cannot be read",
            hint="fix its permissions, or name it in .gitignore",
            where=str(directory / place),
        )
    return done.stdout


def answer(directory: Path, *arguments: str) -> str | None:
    """What git prints, as text; `None` when it has no answer, whatever the reason."""
    done = _run(directory, arguments)
    if done is None or done.returncode != 0:
        return None
    return done.stdout.decode(errors="replace").strip()


def _run(
    directory: Path, arguments: tuple[str, ...]
) -> "subprocess.CompletedProcess[bytes] | None":
    program = shutil.which("git")
    if program is None:
        return None
    # A hook of git runs us with GIT_DIR and GIT_INDEX_FILE of its own, which are not about this folder.
    env = {
        name: value for name, value in whole_environment().items() if not name.startswith("GIT_")
    }
    try:
        return subprocess.run(
            (program, "-C", str(directory), "--no-optional-locks", *arguments),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={**env, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        raise _failed(directory, f"it did not answer within {_TIMEOUT_S:.0f} s") from None


def _failed(directory: Path, said: str) -> UserError:
    own = next(
        (line.strip() for line in said.splitlines() if "--add safe.directory" in line),
        f"git -C {directory} status",
    )
    first = said.splitlines()[0] if said else "it said nothing"
    return UserError(
        "source.git-failed",
        f"git cannot say which files belong to {directory}: {first}",
        hint=own,
        where=str(directory),
    )
