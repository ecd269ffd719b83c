"""The commit that a directory is at, when git knows."""

from dataclasses import dataclass
from pathlib import Path

from gantry.source.git import answer


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
    if answer(directory, "rev-parse", "--is-inside-work-tree") != "true":
        return None
    head = answer(directory, "log", "-1", "--format=%H%n%an%n%s", "HEAD") or ""
    sha, author, message = (*head.split("\n", 2), "", "")[:3]
    # Only this directory: a change elsewhere in the repository is not part of what is deployed.
    changed = answer(directory, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    return Commit(
        sha=sha,
        branch=answer(directory, "symbolic-ref", "--short", "-q", "HEAD") or "",
        message=message,
        author=author,
        dirty=bool(changed),
    )


def committed_files(directory: Path, pattern: str) -> frozenset[str]:
    """Paths below `directory` that git keeps and that a glob such as `**/.env*` names; none when git does not know."""
    listed = answer(directory, "ls-files", "--recurse-submodules", "-z", "--", f":(glob){pattern}")
    return frozenset(path for path in (listed or "").split("\0") if path)
