"""The commit that a directory is at, when git knows."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_GIT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Commit:
    """The commit of a directory.

    Attributes:
        sha: in full; empty before the first commit.
        branch: empty when none is checked out.
        message: its first line.
        author: name of its author.
        dirty: the directory differs from it.
    """

    sha: str
    branch: str
    message: str
    author: str
    dirty: bool


def commit_of(directory: Path) -> Commit | None:
    """The commit of `directory`; `None` when it is in no repository, or git is not there."""
    if _git(directory, "rev-parse", "--is-inside-work-tree") != "true":
        return None
    head = _git(directory, "log", "-1", "--format=%H%n%an%n%s", "HEAD") or ""
    sha, author, message = (*head.split("\n", 2), "", "")[:3]
    # Only this directory: a change elsewhere in the repository is not part of what is deployed.
    changed = _git(directory, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    return Commit(
        sha=sha,
        branch=_git(directory, "symbolic-ref", "--short", "-q", "HEAD") or "",
        message=message,
        author=author,
        dirty=bool(changed),
    )


def committed_files(directory: Path, pattern: str) -> frozenset[str]:
    """Paths below `directory` that git keeps and that a glob such as `**/.env*` names; none when git does not know."""
    listed = _git(directory, "ls-files", "-z", "--", f":(glob){pattern}")
    return frozenset(path for path in (listed or "").split("\0") if path)


def _git(directory: Path, *arguments: str) -> str | None:
    program = shutil.which("git")
    if program is None:
        return None
    try:
        done = subprocess.run(
            (program, "-C", str(directory), "--no-optional-locks", *arguments),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
