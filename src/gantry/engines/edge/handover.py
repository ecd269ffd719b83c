"""Giving files to Envoy and hearing what it makes of them. Nothing here waits for a fixed time."""

from collections.abc import Awaitable, Callable, Mapping

from gantry.engines.edge.admin import Admin
from gantry.engines.edge.checks import rejected
from gantry.engines.edge.files import ConfigFolder, Content, Kept
from gantry.engines.edge.render import CDS, LDS, RDS_HTTP, RDS_HTTPS, SDS_PREFIX
from gantry.kernel.clock import Clock
from gantry.kernel.errors import TransientError

_DEADLINE_S = 10.0
# A new endpoint that does not answer at all holds its cluster back until its first health check has timed out.
_WARMING_S = 4.0
_POLL_S = 0.002
_STATS = r"version_text|update_rejected|warming_clusters"
_STAT_OF = {
    CDS: "cluster_manager.cds",
    LDS: "listener_manager.lds",
    RDS_HTTP: "http.http.rds.http",
    RDS_HTTPS: "http.https.rds.https",
}


class Handover:
    """Writes files and waits until Envoy says of each that it has taken its version.

    Parameters:
        log: the last lines that Envoy wrote; it explains there what its admin interface does not.
    """

    def __init__(
        self, admin: Admin, folder: ConfigFolder, clock: Clock, log: Callable[[], Awaitable[str]]
    ) -> None:
        self._admin = admin
        self._folder = folder
        self._clock = clock
        self._log = log

    async def give(
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
            if not (_taken(before, name, content) and self._folder.is_written(name, content))
        }
        for name, content in changed.items():
            self._folder.rewrite(name, content)
        awaited = {name: content for name, content in changed.items() if name not in unread}
        deadline_s = self._clock.monotonic_s() + _DEADLINE_S
        while awaited:
            stats = await self._admin.stats(_STATS)
            if all(_taken(stats, name, content) for name, content in awaited.items()):
                return
            if _rejections(stats) > _rejections(before):
                raise rejected(await self._admin.errors() or _reason(await self._log()))
            if self._clock.monotonic_s() > deadline_s:
                raise TransientError(
                    "edge.unreachable",
                    f"the edge did not take its configuration within {_DEADLINE_S:.0f} s",
                    hint="gantry status",
                )
            await self._clock.sleep(_POLL_S)

    async def restore(self, kept: Kept) -> None:
        """Put files back as they were, and wait until Envoy has what it had: a look right after a refusal sees no gap."""
        self._folder.restore(kept)
        contents = {name: self._folder.read(name) for name in kept}
        deadline_s = self._clock.monotonic_s() + _DEADLINE_S
        while self._clock.monotonic_s() < deadline_s:
            try:
                stats = await self._admin.stats(_STATS)
            except TransientError:
                return  # it reads the files when it begins anew
            if all(_taken_if_read(stats, name, content) for name, content in contents.items()):
                return
            await self._clock.sleep(_POLL_S)

    async def until_warm(self) -> None:
        """Wait until requests can be sent to every cluster: a new one is used after its first health checks only."""
        deadline_s = self._clock.monotonic_s() + _WARMING_S
        while self._clock.monotonic_s() < deadline_s:
            stats = await self._admin.stats(_STATS)
            if stats.get("cluster_manager.warming_clusters", "0") == "0":
                return
            await self._clock.sleep(_POLL_S)


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


def _reason(log: str) -> str:
    """The last line of the log that tells of a refusal, without what only Envoy's developers need."""
    lines = [line for line in log.splitlines() if "rejected" in line]
    return lines[-1].partition("rejected")[2].lstrip(": ")[:2_000] if lines else ""
