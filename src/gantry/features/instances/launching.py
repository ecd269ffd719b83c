"""Everything needed to start a process of a release: artifact, variables, services."""

from dataclasses import dataclass

from gantry.config.manifest import Manifest
from gantry.config.sections import RedisService
from gantry.engines.builders.protocol import Artifact, Workshop
from gantry.engines.database.protocol import Database
from gantry.engines.runtime.protocol import Limits, ProcessSpec
from gantry.features.builds import store as builds
from gantry.features.instances.model import Instance
from gantry.features.instances.specs import Identity, process_spec, shell, web_argv
from gantry.features.projects import store as projects
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment
from gantry.features.releases import store
from gantry.features.releases.model import Release
from gantry.features.releases.reading import manifest_of
from gantry.features.services.model import ServiceKind
from gantry.features.services.provide import ServiceProvider
from gantry.features.variables.service import VariableService


@dataclass(frozen=True, slots=True)
class Launch:
    """A release with all that its processes need."""

    release: Release
    environment: Environment
    manifest: Manifest
    artifact: Artifact
    variables: dict[str, str]


@dataclass(frozen=True, slots=True)
class Launcher:
    """Makes process specifications for releases."""

    database: Database
    workshop: Workshop
    services: ServiceProvider
    variables: VariableService
    host_names: HostNames

    async def prepare(self, release_id: str) -> Launch:
        """Gather what the release's processes need; its services are provided on the way.

        Raises:
            IntegrityError: `artifact.missing`, `artifact.corrupt`.
            TransientError: a service does not start now.
        """
        async with self.database.transaction() as session:
            release = await store.get(session, release_id)
            environment = await projects.get_environment_by_id(session, release.environment)
            build = await builds.get(session, release.build)
            sealed = await store.variables_sealed(session, release_id)
        manifest = manifest_of(release)
        redis = manifest.services.redis or RedisService()
        urls = await self.services.provide(
            environment, wanted_services(manifest), cache_bytes=redis.memory_bytes
        )
        return Launch(
            release=release,
            environment=environment,
            manifest=manifest,
            artifact=await self.workshop.artifact(build.artifact_digest),
            # A variable that the team set itself wins over a provided service.
            variables={**urls, **self.variables.open_all(sealed)},
        )

    async def for_instance(self, instance: Instance) -> ProcessSpec:
        """How to start an instance."""
        launch = await self.prepare(instance.release)
        process = launch.manifest.long_running[instance.process]
        return process_spec(
            self._identity(launch, instance.id, instance.port),
            launch.artifact,
            web_argv(launch.manifest, launch.artifact, instance.process),
            launch.variables,
            limits=Limits(memory_bytes=process.memory_bytes, cpu_cores=process.cpu),
        )

    async def for_command(
        self, release_id: str, process_id: str, command: str, *, timeout_s: float
    ) -> ProcessSpec:
        """How to run one command of a release to its end: migrations, cron jobs."""
        launch = await self.prepare(release_id)
        web = launch.manifest.web
        return process_spec(
            self._identity(launch, process_id, None),
            launch.artifact,
            shell(command),
            launch.variables,
            limits=Limits(memory_bytes=web.memory_bytes if web is not None else None),
            redact=tuple(launch.variables.values()),
            timeout_s=timeout_s,
        )

    def _identity(self, launch: Launch, process_id: str, port: int | None) -> Identity:
        return Identity(
            instance=process_id,
            release=launch.release,
            environment=launch.environment,
            url=self.host_names.public_url(launch.environment, launch.manifest.domains),
            port=port,
        )


def wanted_services(manifest: Manifest) -> tuple[ServiceKind, ...]:
    """The services that the manifest asks for."""
    kinds = []
    if manifest.services.postgres:
        kinds.append(ServiceKind.POSTGRES)
    if manifest.services.redis:
        kinds.append(ServiceKind.REDIS)
    return tuple(kinds)
