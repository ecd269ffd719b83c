"""Which files of a directory belong to its source: ignore files, and what never leaves a developer's machine."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pathspec import GitIgnoreSpec

IGNORE_FILES = (".gitignore", ".gantryignore")
# Made by tools from what is in the source, or not source at all.
_NEVER_SOURCE = frozenset({".git", "node_modules", ".next", ".venv", "__pycache__"})
_ENV_EXAMPLES = frozenset({".env.example", ".env.sample", ".env.template"})
_PRIVATE_NAMES = ("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.p12", "*.pfx")
_KEY_NAMES = ("*.pem", "*.key")
_TOKEN = re.compile(r"(?:_authToken|_auth|_password)\s*=\s*(?!\s*[\"']?\$\{)\S", re.IGNORECASE)
_READ_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The ignore rules of one directory: its own, then those of the directories above it."""

    directory: str = ""
    spec: GitIgnoreSpec | None = None
    above: "IgnoreRules | None" = None

    def enter(self, root: Path, directory: str) -> "IgnoreRules":
        """The rules inside `directory`, relative to `root`; the same ones when it has no ignore file."""
        lines: list[str] = []
        for name in IGNORE_FILES:  # .gantryignore has the last word
            path = root / directory / name
            if path.is_file() and not path.is_symlink():
                lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
        if not lines:
            return self
        return IgnoreRules(directory, GitIgnoreSpec.from_lines(lines), self)

    def match(self, path: str) -> bool:
        """Whether `path`, relative to the root and with a slash at its end when it is a directory, is ignored."""
        rules: IgnoreRules | None = self
        while rules is not None:
            if rules.spec is not None:
                below = path.removeprefix(f"{rules.directory}/") if rules.directory else path
                verdict = rules.spec.check_file(below).include
                if verdict is not None:
                    return verdict
            rules = rules.above
        return False


def is_never_source(name: str) -> bool:
    """Whether a directory of that name is never uploaded, whatever ignore files say."""
    return name in _NEVER_SOURCE


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
