"""The commit that a directory is at, when git knows."""

import re
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gantry.source.git import answer

_SSH_ADDRESS = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)")


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


def origin_of(directory: Path) -> str:
    """Where a folder's content comes from: the same for everybody who has it, and another for another project.

    The address of its git remote without scheme and credentials, such as `github.com/acme/shop`; the first commit of a
    repository without one; the machine and the path of a folder without git.
    """
    remote = answer(directory, "remote", "get-url", "origin") or answer(
        directory, "config", "--get-regexp", r"^remote\..*\.url$"
    )
    if remote:
        return _without_credentials(remote.splitlines()[0].rpartition(" ")[2])
    first = answer(directory, "rev-list", "--max-parents=0", "HEAD")
    if first:
        return f"repository {first.splitlines()[-1][:12]}"
    return f"{socket.gethostname()}:{directory.resolve()}"


def is_older(directory: Path, than: str) -> bool:
    """Whether the commit of `directory` comes before the commit `than`, as far as the repository knows that one."""
    if not than or answer(directory, "rev-parse", "HEAD") == than:
        return False
    return answer(directory, "merge-base", "--is-ancestor", "HEAD", than) is not None


def _without_credentials(address: str) -> str:
    """`github.com/acme/shop`, whatever protocol it is reached by."""
    if (ssh := _SSH_ADDRESS.fullmatch(address)) and "://" not in address:
        host, path = ssh[1], ssh[2]
    else:
        parts = urlsplit(address)
        host, path = parts.hostname or "", parts.path
    path = path.strip("/") if host else path.rstrip("/")
    return f"{host.lower()}/{path}".removesuffix(".git") if host else path.removesuffix(".git")


def committed_files(directory: Path, pattern: str) -> frozenset[str]:
    """Paths below `directory` that git keeps and that a glob such as `**/.env*` names; none when git does not know."""
    listed = answer(directory, "ls-files", "--recurse-submodules", "-z", "--", f":(glob){pattern}")
    return frozenset(path for path in (listed or "").split("\0") if path)
