"""Of a committed `.env` file the public variables go along: the pages are built with them.

Vite, Next.js and their like read defaults from `.env` and `.env.production`, and document that these are committed.
Everything else in such a file stays on this machine, as do files that git does not keep or that are one machine's own
(`.env.local`).
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

from gantry.config.dotenv import scan_dotenv
from gantry.config.evidence.tree import ENV_FILES
from gantry.config.public_variables import CONFIGURATIONS, prefixes_of, public_lines
from gantry.kernel.errors import UserError

_GROUPS = ("dependencies", "devDependencies", "optionalDependencies")
_MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class EnvFile:
    """What of one file is sent.

    Attributes:
        content: its public variables; empty when nothing is sent.
        left_out: why something is not, for people; empty when all of it is sent.
    """

    content: bytes
    left_out: str


class EnvFiles:
    """The `.env` files of a directory that is packed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> EnvFile:
        """What of the file at `path` is sent.

        Raises:
            OSError: it cannot be read.
        """
        if path.endswith(".local") or path not in self._committed:
            return EnvFile(b"", "holds variables: set them with gantry env set")
        file = self._root / path
        with file.open("rb") as opened:
            text = opened.read(_MAX_BYTES).decode("utf-8", "replace")
        try:
            public = public_lines(text, self._prefixes(file.parent))
            rest = public_lines(text, ("",)) != public
        except UserError as error:
            return EnvFile(b"", f"cannot be read: {error.message.splitlines()[0]}")
        if not public:
            return EnvFile(b"", "holds variables: set them with gantry env set")
        reason = "only its public variables are sent: set the others with gantry env set"
        return EnvFile(public.encode(), reason if rest else "")

    def sent_names(self, folder: str) -> frozenset[str]:
        """Names of the variables that are sent of a product's own files.

        Parameters:
            folder: of the product, below the directory; empty for the directory itself.
        """
        names: set[str] = set()
        for file in ENV_FILES:
            path = f"{folder}/{file}" if folder else file
            if (self._root / path).is_file():
                entries, _ = scan_dotenv(self.read(path).content.decode())
                names |= {entry.name for entry in entries if entry.value}
        return frozenset(names)

    @functools.cached_property
    def _committed(self) -> frozenset[str]:
        # Starting programs is only imported where there is such a file.
        from gantry.source.commit import committed_files  # noqa: PLC0415

        return committed_files(self._root, "**/.env*")

    def _prefixes(self, directory: Path) -> tuple[str, ...]:
        """A workspace may declare its frameworks at the top."""
        packages = _packages(directory) | _packages(self._root)
        return prefixes_of(packages, "\n".join(_text(directory / name) for name in CONFIGURATIONS))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""  # not there; one that cannot be read is an error where it is packed


def _packages(directory: Path) -> set[str]:
    try:
        package = json.loads((directory / "package.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()  # a product without packages, or a file that its own tools will complain of
    if not isinstance(package, dict):
        return set()
    groups = [package.get(group) for group in _GROUPS]
    return {name for group in groups if isinstance(group, dict) for name in group}
