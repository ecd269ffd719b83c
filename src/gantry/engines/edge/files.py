"""The folder that Envoy reads its configuration from."""

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantry.kernel.errors import TransientError

Content = Mapping[str, Any]
Kept = Mapping[str, bytes]


class ConfigFolder:
    """Files that are always whole: together they are a configuration that Envoy can start from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self) -> None:
        """Create the folder, for its owner only: there are private keys in it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self, name: str) -> Content:
        """Content of a file; empty when it does not exist or cannot be read as JSON."""
        try:
            content: Content = json.loads((self._folder / name).read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return content

    def write(self, name: str, content: Content) -> None:
        """Replace a file unless it says the same already."""
        text = json.dumps(content).encode()
        if self._bytes(name) != text:
            self._replace(name, text)

    def is_written(self, name: str, content: Content) -> bool:
        """Whether a file says this."""
        return self._bytes(name) == json.dumps(content).encode()

    def rewrite(self, name: str, content: Content) -> None:
        """Replace a file even with the same, so that Envoy reads it again."""
        self._replace(name, json.dumps(content).encode())

    def keep(self) -> Kept:
        """Every file as it is now."""
        return {path.name: path.read_bytes() for path in self._folder.glob("[a-z]*.json")}

    def restore(self, kept: Kept) -> None:
        """Put back what differs from `kept`; files that did not exist then are left alone."""
        for name, text in kept.items():
            if self._bytes(name) != text:
                self._replace(name, text)

    def _bytes(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def _replace(self, name: str, text: bytes) -> None:
        """Envoy reads when a file is renamed into place, never a half-written one.

        Raises:
            TransientError: `edge.disk-full`.
        """
        fresh = self._folder / f".{name}.new"
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._folder / name)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise TransientError(
                "edge.disk-full",
                "the disk is too full for the edge's configuration; it keeps the one it has",
                hint="make room: gantry doctor",
                where=name,
            ) from error

    def secrets(self) -> tuple[str, ...]:
        """Names of the files with certificates."""
        return tuple(path.name for path in self._folder.glob("sds-*.json"))

    def remove(self, name: str) -> None:
        """Delete a file; one that does not exist is ignored."""
        (self._folder / name).unlink(missing_ok=True)
