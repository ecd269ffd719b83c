"""Observe: one consistent picture of what is wanted (the database) and what is (the engines)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from gantry.engines.database.protocol import Database
from gantry.engines.edge.protocol import Closed, Edge, EdgeStatus
from gantry.engines.runtime.protocol import ProcessStatus, Runtime
from gantry.features import scales
from gantry.features.builds import store as builds
from gantry.features.builds.model import Build
from gantry.features.certificates import store as certificates
from gantry.features.certificates.model import Attempt, StoredCertificate
from gantry.features.deploys import store as deploys
from gantry.features.deploys.model import Deploy
from gantry.features.instances import store as instances
from gantry.features.instances.model import Instance
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.features.releases.model import Release
from gantry.features.rollouts import store as rollouts
from gantry.features.rollouts.model import Rollout
from gantry.features.routes.closed import list_closed
from gantry.kernel.clock import Clock
from gantry.kernel.timeline import with_even_times


@dataclass(frozen=True, slots=True)
class World:
    """What was seen.

    Attributes:
        environments, releases, builds: by identity; releases are those that run, still have instances, or belong
            to an open deploy.
        deploys: those that have not ended, oldest first.
        rollouts: of these deploys, by deploy; ended ones too.
        closed: environment -> the page that its visitors get.
        scales: release -> process -> how many instances were asked for by hand.

    The moments of releases, builds, instances and deploys are those that the present clock would have recorded.
    """

    now: datetime
    environments: Mapping[str, Environment]
    releases: Mapping[str, Release]
    builds: Mapping[str, Build]
    instances: tuple[Instance, ...]
    deploys: tuple[Deploy, ...]
    rollouts: Mapping[str, Rollout]
    certificates: tuple[StoredCertificate, ...]
    certificate_attempts: Mapping[str, Attempt]
    closed: Mapping[str, Closed]
    scales: Mapping[str, Mapping[str, int]]
    processes: Mapping[str, ProcessStatus]
    edge: EdgeStatus

    def release_instances(self, release_id: str, process: str = "web") -> tuple[Instance, ...]:
        """The instances of one kind of a release."""
        return tuple(
            instance
            for instance in self.instances
            if instance.release == release_id and instance.process == process
        )


async def observe(
    database: Database, runtime: Runtime, edge: Edge, clock: Clock, *, closed_by: tuple[str, ...]
) -> World:
    """Look at everything once.

    Parameters:
        closed_by: queries of the nouns that close environments, see `closed_query`.

    The database is read before the engines: an effect that is seen without its record is repeated, which is
    harmless; a record seen without its effect would look like a loss.
    """
    async with database.transaction() as session:
        open_deploys = await deploys.list_open(session)
        present = {release.id: release for release in await releases.list_present(session)}
        for deploy in open_deploys:
            if deploy.release is not None and deploy.release not in present:
                present[deploy.release] = await releases.get(session, deploy.release)
        moving = await rollouts.list_for_deploys(
            session, tuple(deploy.id for deploy in open_deploys)
        )
        wanted_builds = {release.build for release in present.values()}
        wanted_builds |= {deploy.build for deploy in open_deploys if deploy.build is not None}
        environments = await projects.list_environments(session)
        found_builds = await builds.list_by_ids(session, tuple(sorted(wanted_builds)))
        found_instances = await instances.list_all(session)
        found_certificates = await certificates.list_all(session)
        attempts = await certificates.list_attempts(session)
        closed = await list_closed(session, closed_by)
        scaled = await scales.list_current(session)
    return World(
        now=clock.now(),
        environments={environment.id: environment for environment in environments},
        # What waits is measured between recorded moments and now: as if the machine's clock had never been set.
        releases={key: with_even_times(release, clock) for key, release in present.items()},
        builds={key: with_even_times(build, clock) for key, build in found_builds.items()},
        instances=tuple(with_even_times(instance, clock) for instance in found_instances),
        deploys=tuple(with_even_times(deploy, clock) for deploy in open_deploys),
        rollouts={rollout.deploy: rollout for rollout in moving},
        certificates=found_certificates,
        certificate_attempts={item.name: with_even_times(item, clock) for item in attempts},
        closed=closed,
        scales=scaled,
        processes=await runtime.statuses(),
        edge=await edge.status(),
    )
