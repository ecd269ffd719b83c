"""Which files of a directory belong to its source: ignore files, and what never leaves a developer's machine."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pathspec import GitIgnoreSpec

GIT_IGNORE = ".gitignore"
OWN_IGNORE = ".gantryignore"
# Made by tools from what is in the source, or not source at all.
NEVER_SOURCE = frozenset({".git", "node_modules", ".next", ".venv", "__pycache__"})
_ENV_EXAMPLES = frozenset({".env.example", ".env.sample", ".env.template"})
_PRIVATE_NAMES = ("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.p12", "*.pfx")
_KEY_NAMES = ("*.pem", "*.key")
_TOKEN = re.compile(r"(?:_authToken|_auth|_password)\s*=\s*(?!\s*[\"']?\$\{)\S", re.IGNORECASE)
_READ_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The ignore rules of one directory: its own, then those of the directories above it.

    Attributes:
        directory: relative to the root that paths are relative to; empty for the root itself and those above it.
        prefix: where the root lies as seen from the directory, when that is above the root; with a slash at its end.
    """

    directory: str = ""
    spec: GitIgnoreSpec | None = None
    above: "IgnoreRules | None" = None
    prefix: str = ""

    def enter(self, root: Path, directory: str, names: Sequence[str]) -> "IgnoreRules":
        """The rules inside `directory`, relative to `root`; the same ones when it has none of the files `names`."""
        lines = _lines(root / directory, names)
        return IgnoreRules(directory, GitIgnoreSpec.from_lines(lines), self) if lines else self

    @property
    def takes_in(self) -> bool:
        """Whether there is a rule that takes in what others leave out."""
        own = self.spec is not None and any(item.include is False for item in self.spec.patterns)
        return own or (self.above is not None and self.above.takes_in)

    def verdict(self, path: str) -> bool | None:
        """Whether `path` is ignored; `None` when no rule names it.

        Parameters:
            path: relative to the root; with a slash at its end when it is a directory.
        """
        rules: IgnoreRules | None = self
        while rules is not None:
            if rules.spec is not None:
                below = path.removeprefix(f"{rules.directory}/") if rules.directory else path
                verdict = rules.spec.check_file(rules.prefix + below).include
                if verdict is not None:
                    return verdict
            rules = rules.above
        return None


def rules_above(root: Path, top: Path | None, names: Sequence[str]) -> IgnoreRules:
    """The rules of the directories between `top`, a repository, and `root`, which lies in it.

    There are none when they leave out all of `root`: then it is no part of that repository.
    """
    rules = IgnoreRules()
    if top is None:
        return rules
    exclude = _lines(_git_directory(top) / "info", ("exclude",)) if GIT_IGNORE in names else []
    between = [root, *root.parents][: len(root.relative_to(top).parts) + 1][::-1]
    for directory in between[:-1] or between:
        prefix = "".join(f"{part}/" for part in root.relative_to(directory).parts)
        lines = [
            *(exclude if directory == top else []),
            *(_lines(directory, names) if prefix else []),
        ]
        if lines:
            rules = IgnoreRules("", GitIgnoreSpec.from_lines(lines), rules, prefix)
    left_out = bool(rules.verdict("")) if root != top else False
    return IgnoreRules() if left_out else rules


def _lines(directory: Path, names: Sequence[str]) -> list[str]:
    """The lines of ignore files; the last of `names` has the last word."""
    lines: list[str] = []
    for name in names:
        path = directory / name
        if path.is_file() and not path.is_symlink():
            lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines


def _git_directory(top: Path) -> Path:
    """Where a repository keeps what all of its worktrees share."""
    git = top / ".git"
    if git.is_dir():
        return git
    linked = top / git.read_text(encoding="utf-8", errors="replace").partition(":")[2].strip()
    shared = linked / "commondir"
    return linked / shared.read_text(encoding="utf-8").strip() if shared.is_file() else linked


def is_never_source(name: str) -> bool:
    """Whether a directory of that name is never uploaded, whatever ignore files say."""
    return name in NEVER_SOURCE


def is_env_file(name: str) -> bool:
    """`.env` and its like, but not examples."""
    return name == ".env" or (name.startswith(".env.") and name not in _ENV_EXAMPLES)


def secret_reason(path: Path) -> str:
    """Why a file must not leave this machine; empty when it may."""
    name = path.name
    if any(fnmatchcase(name, pattern) for pattern in _PRIVATE_NAMES):
        return "is a private key"
    if any(fnmatchcase(name, pattern) for pattern in _KEY_NAMES) and "PRIVATE KEY-----" in _read(
        path
    ):
        return "is a private key"
    if name == ".npmrc" and _TOKEN.search(_read(path)):
        return "holds a token: write _authToken=${NPM_TOKEN} in it, and gantry env set NPM_TOKEN"
    return ""


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_READ_BYTES).decode("utf-8", "replace")
