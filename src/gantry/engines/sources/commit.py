"""Which commit a working folder is at, when git knows."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Commit:
    """The commit of a working folder.

    Attributes:
        sha: in full; empty before the first commit.
        branch: empty when none is checked out.
        message: its first line.
        author: name of who wrote it.
        dirty: the folder differs from it.
    """

    sha: str
    branch: str
    message: str
    author: str
    dirty: bool


def commit_of(folder: Path) -> Commit | None:
    """The commit of `folder`; `None` when it is in no repository, or git is not there."""
    if _git(folder, "rev-parse", "--is-inside-work-tree") != "true":
        return None
    head = _git(folder, "log", "-1", "--format=%H%n%an%n%s", "HEAD") or ""
    sha, author, message = (*head.split("\n", 2), "", "")[:3]
    # Only this folder: a change elsewhere in the repository is not part of what is deployed.
    changed = _git(folder, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    return Commit(
        sha=sha,
        branch=_git(folder, "symbolic-ref", "--short", "-q", "HEAD") or "",
        message=message,
        author=author,
        dirty=bool(changed),
    )


def committed_files(folder: Path, pattern: str) -> frozenset[str]:
    """Paths below `folder` that git keeps and that a glob such as `**/.env*` names; none when git does not know."""
    listed = _git(folder, "ls-files", "-z", "--", f":(glob){pattern}")
    return frozenset(path for path in (listed or "").split("\0") if path)


def _git(folder: Path, *arguments: str) -> str | None:
    program = shutil.which("git")
    if program is None:
        return None
    try:
        done = subprocess.run(
            (program, "-C", str(folder), "--no-optional-locks", *arguments),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
