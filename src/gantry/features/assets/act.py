"""Publishes the files of every kept build to the asset store, so that each environment serves those of its own."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gantry.engines.assets.protocol import AssetServer
from gantry.engines.builders.protocol import Artifact, Workshop
from gantry.engines.database.protocol import Database
from gantry.features.assets.model import ServedAssets
from gantry.features.builds import store as builds
from gantry.features.builds.model import Build
from gantry.features.releases import store as releases
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError

_log = logging.getLogger(__name__)

# It is woken when a release is made; this is for builds that went, and for another try.
INTERVAL_S = 10.0


@dataclass(slots=True)
class AssetPublisher:
    """Publishes, arranges and forgets. A store that fails costs speed, never an answer: instances have the files too.

    Attributes:
        served: what the store serves; `None` until it was looked at.
    """

    database: Database
    assets: AssetServer
    workshop: Workshop
    clock: Clock
    wake: Callable[[], None]
    served: ServedAssets | None = None
    _artifacts: dict[str, Artifact] = field(default_factory=dict)
    _troubles: dict[str, str] = field(default_factory=dict)
    _settled: Mapping[str, tuple[str, ...]] | None = None

    async def once(self) -> None:
        """Bring the store to what the database implies, and remember what it serves."""
        try:
            await self._bring()
        except GantryError as error:
            _log.warning("assets: [%s] %s", error.code, error)
            self._settled = None
            # Routes wait for the first word; that there are no assets is one.
            self._remember(self.served or ServedAssets())

    async def _bring(self) -> None:
        async with self.database.transaction() as session:
            scopes = await releases.builds_by_environment(session, at=self.clock.now())
            wanted = {build for scope in scopes.values() for build in scope}
            found = await builds.list_by_ids(session, tuple(sorted(wanted)))
        if scopes == self._settled:
            return  # the engines' keeper sees to it that it runs
        await self.assets.start()
        before = (self.served or ServedAssets()).builds
        published, troubles = {}, {}
        for build in wanted & set(found):
            try:
                prefixes = await self._publish(found[build])
            except GantryError as error:
                # One that is damaged must not keep the others' files back; what the store has of it stays.
                troubles[build] = f"[{error.code}] {error}"
                prefixes = before.get(build, ())
            if prefixes:
                published[build] = prefixes
        for environment in {*scopes, *(await self.assets.status()).scopes}:
            await self.assets.arrange(environment, scopes.get(environment, ()))
        self._remember(ServedAssets(published, scopes))
        # Last: what nobody is told of any more.
        await self.assets.retain(wanted)
        self._artifacts = {
            key: artifact for key, artifact in self._artifacts.items() if key in wanted
        }
        self._tell(troubles)
        self._settled = None if troubles else scopes

    async def _publish(self, build: Build) -> tuple[str, ...]:
        """The paths below which the build has files in the store."""
        if build.id not in self._artifacts:
            self._artifacts[build.id] = await self.workshop.artifact(build.artifact_digest)
        artifact = self._artifacts[build.id]
        if artifact.assets:
            await self.assets.publish(build.id, artifact.root, artifact.assets)
        return tuple(artifact.assets)

    def _tell(self, troubles: dict[str, str]) -> None:
        """Once for each: they are tried again at the loop's pace, which is every few seconds."""
        for build, words in troubles.items():
            if self._troubles.get(build) != words:
                _log.warning("assets of %s: %s; it is tried again", build, words)
        self._troubles = troubles

    def _remember(self, served: ServedAssets) -> None:
        if self.served != served:
            self.served = served
            self.wake()
