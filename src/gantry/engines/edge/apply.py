"""Giving Envoy its configuration: files in a directory that it watches, and waiting until it says that it took them.

Nothing here waits for a fixed time.
"""

import errno
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from gantry.engines.edge.admin import Admin
from gantry.engines.edge.checks import rejected
from gantry.engines.edge.render import CDS, LDS, RDS_HTTP, RDS_HTTPS, SDS_PREFIX
from gantry.kernel.clock import Clock
from gantry.kernel.errors import TransientError
from gantry.kernel.files import replace_file

Content = Mapping[str, Any]
Kept = Mapping[str, bytes]

_REASON_TIMEOUT_S = 2.0
_TIMEOUT_S = 10.0
# A new endpoint that does not answer at all holds its cluster back until its first health check has timed out.
_WARMING_TIMEOUT_S = 4.0
_INTERVAL_S = 0.002
_STATS = r"version_text|update_rejected|warming_clusters"
_STAT_OF = {
    CDS: "cluster_manager.cds",
    LDS: "listener_manager.lds",
    RDS_HTTP: "http.http.rds.http",
    RDS_HTTPS: "http.https.rds.https",
}


class ConfigDirectory:
    """Files that are always whole: together they are a configuration that Envoy can start from."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def make(self) -> None:
        """Create it, for its owner only: there are private keys in it."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self, name: str) -> Content:
        """Content of a file; empty when it does not exist or cannot be read as JSON."""
        try:
            content: Content = json.loads((self._path / name).read_bytes())
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
        return {path.name: path.read_bytes() for path in self._path.glob("[a-z]*.json")}

    def restore(self, kept: Kept) -> None:
        """Put back what differs from `kept`; files that did not exist then are left alone."""
        for name, text in kept.items():
            if self._bytes(name) != text:
                self._replace(name, text)

    def _bytes(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def _replace(self, name: str, text: bytes) -> None:
        """Envoy reads when a file is renamed into place, never a half-written one.

        Raises:
            TransientError: `edge.disk-full`.
        """
        try:
            replace_file(self._path / name, text)
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
        return tuple(path.name for path in self._path.glob("sds-*.json"))

    def remove(self, name: str) -> None:
        """Delete a file; one that does not exist is ignored."""
        (self._path / name).unlink(missing_ok=True)


class ConfigWriter:
    """Writes files and waits until Envoy says of each that it has taken its version.

    Parameters:
        log: the last lines that Envoy wrote; it explains there what its admin interface does not.
    """

    def __init__(
        self,
        admin: Admin,
        directory: ConfigDirectory,
        clock: Clock,
        log: Callable[[], Awaitable[str]],
    ) -> None:
        self._admin = admin
        self._directory = directory
        self._clock = clock
        self._log = log

    async def apply(
        self, files: Mapping[str, Content], *, unread: frozenset[str] = frozenset()
    ) -> None:
        """Write `files`, leaving out those that are in effect already.

        Parameters:
            unread: files that no listener reads yet; they are written and not waited for.

        Raises:
            PermanentError: `edge.rejected`.
            TransientError: `edge.unreachable`.
        """
        before = await self._admin.stats(_STATS)
        changed = {
            name: content
            for name, content in files.items()
            if not (_taken(before, name, content) and self._directory.is_written(name, content))
        }
        refused_before = _refusal(await self._log()) if changed else ""
        for name, content in changed.items():
            self._directory.rewrite(name, content)
        awaited = {name: content for name, content in changed.items() if name not in unread}
        deadline_s = self._clock.monotonic_s() + _TIMEOUT_S
        while awaited:
            stats = await self._admin.stats(_STATS)
            if all(_taken(stats, name, content) for name, content in awaited.items()):
                return
            if _rejections(stats) > _rejections(before):
                raise rejected(await self._why(refused_before))
            if self._clock.monotonic_s() > deadline_s:
                raise TransientError(
                    "edge.unreachable",
                    f"the edge did not take its configuration within {_TIMEOUT_S:.0f} s",
                    hint="gantry status",
                )
            await self._clock.sleep(_INTERVAL_S)

    async def _why(self, refused_before: str) -> str:
        """Why it refused, in its own words. It counts a refusal of a certificate a moment before it writes why."""
        deadline_s = self._clock.monotonic_s() + _REASON_TIMEOUT_S
        while not (reason := await self._admin.errors()):
            refusal = _refusal(await self._log())
            if refusal != refused_before:
                return _reason(refusal)
            if self._clock.monotonic_s() > deadline_s:
                break
            await self._clock.sleep(_INTERVAL_S)
        return reason

    async def restore(self, kept: Kept) -> None:
        """Put files back as they were, and wait until Envoy has what it had: who asks right after a refusal sees no gap."""
        self._directory.restore(kept)
        contents = {name: self._directory.read(name) for name in kept}
        deadline_s = self._clock.monotonic_s() + _TIMEOUT_S
        while self._clock.monotonic_s() < deadline_s:
            try:
                stats = await self._admin.stats(_STATS)
            except TransientError:
                return  # it reads the files when it begins anew
            if all(_taken_if_read(stats, name, content) for name, content in contents.items()):
                return
            await self._clock.sleep(_INTERVAL_S)

    async def until_warm(self) -> None:
        """Wait until requests can be sent to every cluster: a new one is used after its first health checks only."""
        deadline_s = self._clock.monotonic_s() + _WARMING_TIMEOUT_S
        while self._clock.monotonic_s() < deadline_s:
            stats = await self._admin.stats(_STATS)
            if stats.get("cluster_manager.warming_clusters", "0") == "0":
                return
            await self._clock.sleep(_INTERVAL_S)


def _taken(stats: Mapping[str, str], name: str, content: Content) -> bool:
    version: str = content["version_info"]
    return stats.get(_version_stat(name)) == version


def _taken_if_read(stats: Mapping[str, str], name: str, content: Content) -> bool:
    """Of what Envoy reads once only, or not now, nothing is to be waited for."""
    return _version_stat(name) not in stats or _taken(stats, name, content)


def _version_stat(name: str) -> str:
    prefix = _STAT_OF.get(name, "")
    if name.startswith(SDS_PREFIX):
        prefix = f"sds.{name.removeprefix(SDS_PREFIX).removesuffix('.json')}"
    return f"{prefix}.version_text"


def _rejections(stats: Mapping[str, str]) -> int:
    return sum(int(value) for name, value in stats.items() if name.endswith("update_rejected"))


def _refusal(log: str) -> str:
    """The last line of the log that tells of a refusal, with its time; empty for none."""
    return next((line for line in reversed(log.splitlines()) if "rejected" in line), "")


def _reason(refusal: str) -> str:
    """Without what only Envoy's developers need."""
    return refusal.partition("rejected")[2].lstrip(": ")[:2_000]
