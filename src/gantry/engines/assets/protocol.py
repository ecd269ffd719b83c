"""The asset store: files of all kept builds, served to the edge without touching an instance.

The edge asks with the visitor's own path and says in the header `x-gantry-assets` whose files are meant: `of_scope`
or `of_build`. What is not there is answered with status 404 and the header `x-gantry-assets: missing`, so that the edge
can ask the instance; the path is the same for both.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

# Set by the edge on each request, never by a visitor; and by the store on what it does not have.
HEADER = "x-gantry-assets"
MISSING = "missing"
# Answers 200 while the store serves; asked without `HEADER`.
HEALTH_PATH = "/health"


def of_scope(scope: str) -> str:
    """Value of `HEADER` for the files of every build that a scope has."""
    return f"scopes/{scope}"


def of_build(build: str) -> str:
    """Value of `HEADER` for the files of one build, also where another build has a different file of that name."""
    return f"builds/{build}"


@dataclass(frozen=True, slots=True)
class AssetStatus:
    """What the store says of itself.

    Attributes:
        builds: that were published and are kept.
        scopes: name -> builds, the preferred one first.
        files: different contents; one that many builds share counts once.
        size_bytes: what they take on the disk, with their compressed variants.
        unpacked: contents whose compressed variants are still to be made; they are served as they are.
    """

    running: bool
    builds: frozenset[str] = frozenset()
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: int = 0
    size_bytes: int = 0
    unpacked: int = 0


class AssetServer(Protocol):
    """Keeps and serves assets. All methods are idempotent. Names are `[a-z0-9][a-z0-9.-]{0,127}`."""

    @property
    def socket(self) -> Path:
        """The unix socket on which it is asked; the same for the life of a platform."""
        ...

    async def start(self) -> None:
        """Make sure that it serves, and finish what was interrupted. Returns when it answers.

        Raises:
            UserError: `assets.no-program`.
            TransientError: `assets.start-failed` with the last lines of its log; `assets.store-failed`.
        """
        ...

    async def revive(self) -> None:
        """Start it again if it was started and has ended by itself.

        Raises:
            TransientError: `assets.start-failed`.
        """
        ...

    async def publish(self, build: str, root: Path, prefixes: Mapping[str, str]) -> None:
        """Keep the files of a build; they are reachable by build when this returns. Smaller variants follow later.

        Links, and files that end in `.br`, `.gz` or `.zst`, are left to the product. A folder that is not there has no files.

        Parameters:
            root: folder of the artifact; not needed afterwards.
            prefixes: URL prefix -> folder below `root` of files whose names change with their content.

        Raises:
            UserError: `assets.bad-name`, `assets.bad-prefix`.
            TransientError: `assets.store-failed`: the disk is full, or the folder cannot be read.
        """
        ...

    async def arrange(self, scope: str, builds: Sequence[str]) -> None:
        """Serve the files of these builds, and no others, in a scope. Where two have the same path, the first wins.

        Unknown builds are left out. Without builds the scope is forgotten.

        Raises:
            UserError: `assets.bad-name`.
            TransientError: `assets.store-failed`.
        """
        ...

    async def retain(self, builds: Collection[str]) -> None:
        """Forget all other builds, also in scopes, and delete what only they had.

        Raises:
            TransientError: `assets.store-failed`.
        """
        ...

    async def status(self) -> AssetStatus:
        """What is kept. Never raises; what cannot be read counts as not there."""
        ...

    async def stop(self) -> None:
        """Let requests end for a moment, then end the server. What is kept stays."""
        ...
