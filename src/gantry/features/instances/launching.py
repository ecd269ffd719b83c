"""How processes of a release are started: its artifact, variables and services, the sandbox and the limits."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gantry.config.manifest import Manifest
from gantry.config.references import OWN
from gantry.engines.builders.protocol import Artifact, Place, Workshop
from gantry.engines.database.protocol import Database
from gantry.engines.runtime.protocol import (
    Limits,
    Mount,
    MountMode,
    ProcessSpec,
    Sandbox,
)
from gantry.features.builds import store as builds
from gantry.features.instances.model import Instance
from gantry.features.projects import store as projects
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment
from gantry.features.releases import store
from gantry.features.releases.model import Release
from gantry.features.releases.reading import manifest_of
from gantry.features.services.model import ServiceKind, wanted_kinds
from gantry.features.services.provide import ServiceProvider
from gantry.features.services.variables import SHOWN, process_variables
from gantry.features.variables.service import VariableService
from gantry.kernel.commands import argv_of

APP_FOLDER = "/app"
# Libraries that believe a proxy only when they are told to. The edge sets Host and X-Forwarded-* itself and passes none of
# a visitor's on, so a product learns from them which of its addresses was asked: a domain, an environment's, a release's.
_BEHIND_THE_EDGE = {
    "AUTH_TRUST_HOST": "true",  # Auth.js and NextAuth
    # Angular's server, which renders nothing for a name that it was not told of.
    "NG_ALLOWED_HOSTS": "*",
    "NG_TRUST_PROXY_HEADERS": "x-forwarded-host,x-forwarded-port,x-forwarded-proto",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """What a process may know of itself.

    Attributes:
        instance: id of the process.
        port: where it should listen; `None` for processes that do not.
        url: public URL of its environment, where its first domain leads when it has any.
        process: `web`, `worker.NAME`; empty of a command that ends.
    """

    instance: str
    release: Release
    environment: Environment
    url: str
    port: int | None = None
    process: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """What is started, and in which of an artifact's trees."""

    place: Place
    argv: tuple[str, ...]


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
        return Launch(
            release=release,
            environment=environment,
            manifest=manifest,
            artifact=await self.workshop.artifact(build.artifact_digest),
            variables=process_variables(
                await self.services.provide(environment, manifest.services),
                self.variables.open_all(sealed),
                manifest.variables.plain,
                self._known(release, environment, manifest),
            ),
        )

    def _known(
        self, release: Release, environment: Environment, manifest: Manifest
    ) -> dict[str, str]:
        """What a plain value may refer to of the release itself."""
        url = self.host_names.public_url(environment, manifest.domains)
        own = _names(Identity("", release, environment, url))
        return {name: own[name] for name in OWN}

    async def for_instance(self, instance: Instance) -> ProcessSpec:
        """How to start an instance."""
        launch = await self.prepare(instance.release)
        process = launch.manifest.long_running[instance.process]
        spec = process_spec(
            self._identity(launch, instance.id, instance.port, instance.process),
            launch.artifact,
            program_of(launch.manifest, launch.artifact, instance.process),
            launch.variables,
            limits=Limits(memory_bytes=process.memory_bytes, cpu_cores=process.cpu),
        )
        return replace(spec, terminate_s=process.drain.terminate_s)

    async def for_command(
        self, release_id: str, process_id: str, command: str, *, timeout_s: float
    ) -> ProcessSpec:
        """How to run one command of a release to its end: migrations, cron jobs."""
        return await self.for_argv(release_id, process_id, argv_of(command), timeout_s=timeout_s)

    async def for_argv(
        self, release_id: str, process_id: str, argv: tuple[str, ...], *, timeout_s: float
    ) -> ProcessSpec:
        """The same for a program and its arguments: what somebody runs by hand."""
        launch = await self.prepare(release_id)
        web = launch.manifest.web
        return process_spec(
            self._identity(launch, process_id, None),
            launch.artifact,
            Program(launch.artifact.workspace or launch.artifact.served, argv),
            launch.variables,
            limits=Limits(memory_bytes=web.memory_bytes if web is not None else None),
            redact=tuple(value for name, value in launch.variables.items() if name not in SHOWN),
            timeout_s=timeout_s,
        )

    def _identity(
        self, launch: Launch, process_id: str, port: int | None, process: str = ""
    ) -> Identity:
        return Identity(
            instance=process_id,
            release=launch.release,
            environment=launch.environment,
            url=self.host_names.public_url(launch.environment, launch.manifest.domains),
            port=port,
            process=process,
        )


def wanted_services(manifest: Manifest) -> tuple[ServiceKind, ...]:
    """The services that the manifest asks for."""
    return wanted_kinds(manifest.services)


def process_spec(
    identity: Identity,
    artifact: Artifact,
    program: Program,
    variables: Mapping[str, str],
    *,
    limits: Limits,
    redact: tuple[str, ...] = (),
    timeout_s: float | None = None,
) -> ProcessSpec:
    """A process of a release: its place at `/app` under an overlay, so that what it writes is forgotten.

    Parameters:
        variables: the release's variables and the URLs of its services.
    """
    place = program.place
    app = Mount(place.root, APP_FOLDER, MountMode.OVERLAY)
    told = {**artifact.env, "PATH": place.path, **_BEHIND_THE_EDGE}
    return ProcessSpec(
        id=identity.instance,
        argv=program.argv,
        # Gantry's own come last: nothing may change where an instance listens or who it is.
        env={**told, **variables, **_own_variables(identity)},
        cwd=f"{APP_FOLDER}/{place.folder}" if place.folder else APP_FOLDER,
        sandbox=Sandbox(mounts=(app, *place.mounts)),
        limits=limits,
        redact=redact,
        timeout_s=timeout_s,
        whole_tree=True,
        labels={
            "project": identity.environment.project,
            "environment": identity.environment.name,
            "release": identity.release.id,
            "process": identity.process,
        },
    )


def program_of(manifest: Manifest, artifact: Artifact, process: str) -> Program:
    """What starts a process kind: the manifest's own command, else what the builder found out."""
    command = manifest.long_running[process].command
    if process == "web":  # in what serves, which is made for that command
        return Program(artifact.served, argv_of(command) if command else artifact.web)
    return for_command(artifact, command or "")


def for_command(artifact: Artifact, command: str) -> Program:
    """What runs a command of the manifest other than the web process's: with all of the product's tools."""
    return Program(artifact.workspace or artifact.served, argv_of(command))


def _own_variables(identity: Identity) -> dict[str, str]:
    own = {
        "HOME": "/tmp",  # noqa: S108 -- inside the sandbox /tmp is private
        **_names(identity),
        "GANTRY_INSTANCE": identity.instance,
    }
    if identity.port is not None:
        own |= {
            "HOST": "127.0.0.1",
            "HOSTNAME": "127.0.0.1",
            "PORT": str(identity.port),
            # Longer than the edge keeps an idle connection, so that the product never closes one that the edge is
            # about to use (milliseconds; read by Next.js).
            "KEEP_ALIVE_TIMEOUT": "75000",
        }
    return own


def _names(identity: Identity) -> dict[str, str]:
    """How the release is called."""
    return {
        "GANTRY_PROJECT": identity.environment.project,
        "GANTRY_ENVIRONMENT": identity.environment.name,
        "GANTRY_RELEASE": identity.release.id,
        "GANTRY_URL": identity.url,
    }
