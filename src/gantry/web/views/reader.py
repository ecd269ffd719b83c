"""Reads what bodies are made of, within one transaction, each thing at most once."""

from dataclasses import asdict
from datetime import datetime

from gantry.engines.database.protocol import Session
from gantry.features.builds import store as builds
from gantry.features.builds.model import Build
from gantry.features.deploys import store as deploys
from gantry.features.deploys.model import Deploy, DeployState
from gantry.features.instances import store as instances
from gantry.features.instances.model import Instance
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.features.releases.bodies import CommitBody
from gantry.features.releases.model import Commit, Release
from gantry.features.rollouts import store as rollouts
from gantry.features.rollouts.model import Rollout
from gantry.kernel.errors import NotFoundError
from gantry.web.services import Services


class Reader:
    """A transaction with a memory.

    Parameters:
        services: for the settings, the clock, and what deploys wait for.
        session: the transaction; the reader must not outlive it.
    """

    def __init__(self, services: Services, session: Session) -> None:
        self.settings = services.settings
        self.session = session
        self.now: datetime = services.clock.now()
        self.waits = services.waits()
        self._environments: dict[str, Environment] | None = None
        self._releases: dict[str, Release] = {}
        self._builds: dict[str, Build] = {}
        self._instances: tuple[Instance, ...] | None = None
        self._present: tuple[Release, ...] | None = None
        self._open: tuple[Deploy, ...] | None = None
        self._rollouts: tuple[Rollout, ...] | None = None

    async def environments(self) -> tuple[Environment, ...]:
        """Every environment."""
        if self._environments is None:
            found = await projects.list_environments(self.session)
            self._environments = {environment.id: environment for environment in found}
        return tuple(self._environments.values())

    async def environment(self, environment_id: str) -> Environment:
        """One environment by identity.

        Raises:
            NotFoundError: `environment.unknown` it was deleted meanwhile.
        """
        for environment in await self.environments():
            if environment.id == environment_id:
                return environment
        raise NotFoundError("environment.unknown", f"environment {environment_id} does not exist")

    async def release(self, release_id: str) -> Release:
        """One release."""
        if release_id not in self._releases:
            self._releases[release_id] = await releases.get(self.session, release_id)
        return self._releases[release_id]

    async def present_releases(self, environment_id: str) -> tuple[Release, ...]:
        """The releases of an environment that run or still have instances."""
        if self._present is None:
            self._present = await releases.list_present(self.session)
        return tuple(one for one in self._present if one.environment == environment_id)

    async def release_list(
        self, environment: Environment, *, limit: int = 50
    ) -> tuple[Release, ...]:
        """An environment's newest releases with their builds."""
        found = await releases.list_for_environment(self.session, environment.id, limit=limit)
        self._releases |= {release.id: release for release in found}
        wanted = tuple({release.build for release in found} - self._builds.keys())
        self._builds |= await builds.list_by_ids(self.session, wanted)
        return found

    async def build(self, build_id: str) -> Build:
        """One build."""
        if build_id not in self._builds:
            self._builds[build_id] = await builds.get(self.session, build_id)
        return self._builds[build_id]

    async def instances(self, environment: Environment) -> tuple[tuple[Instance, Release], ...]:
        """The instances of an environment's releases, newest release first."""
        if self._instances is None:
            self._instances = await instances.list_all(self.session)
        pairs = [(each, await self.release(each.release)) for each in self._instances]
        mine = [pair for pair in pairs if pair[1].environment == environment.id]
        return tuple(
            sorted(mine, key=lambda pair: (-pair[1].number, pair[0].process, pair[0].slot))
        )

    async def queue_position(self, deploy: Deploy) -> int | None:
        """How many deploys of the environment are queued before this one; `None` when it is not queued."""
        if deploy.state is not DeployState.QUEUED:
            return None
        queue = [
            other.id
            for other in await self._open_deploys()
            if other.environment == deploy.environment and other.state is DeployState.QUEUED
        ]
        return queue.index(deploy.id) if deploy.id in queue else None

    async def rollout(self, environment: Environment) -> Rollout | None:
        """The one that moves its visitors now; it lasts until all traffic has moved."""
        if self._rollouts is None:
            moving = tuple(deploy.id for deploy in await self._open_deploys())
            self._rollouts = await rollouts.list_for_deploys(self.session, moving)
        for each in self._rollouts:
            if each.environment == environment.id and each.current == environment.live_release:
                return each if each.present is not None else None
        return None

    async def _open_deploys(self) -> tuple[Deploy, ...]:
        if self._open is None:
            self._open = await deploys.list_open(self.session)
        return self._open


def commit_body(commit: Commit) -> CommitBody:
    """A commit, cut where it is longer than a body may be."""
    given = asdict(commit)
    return CommitBody(
        sha=given["sha"][:64],
        branch=given["branch"][:200],
        message=given["message"][:500],
        author=given["author"][:200],
        dirty=given["dirty"],
    )
