"""How a run is started: in a release of the product, or beside one of its services."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from gantry.engines.database.protocol import Session
from gantry.engines.postgres.protocol import DatabaseServer
from gantry.engines.redis.protocol import CacheServers
from gantry.engines.runtime.protocol import Limits, ProcessSpec, Sandbox
from gantry.engines.secrets.protocol import SecretBox
from gantry.features.instances.launching import Launcher, wanted_services
from gantry.features.releases.model import Release
from gantry.features.releases.reading import manifest_of
from gantry.features.releases.store import variables_sealed
from gantry.features.runs.model import Program, Run
from gantry.features.services.model import ServiceKind
from gantry.features.variables.service import VariableService
from gantry.kernel.commands import argv_of
from gantry.kernel.errors import UserError

_CLIENT_MEMORY_BYTES = 512_000_000
_SHELL = """if command -v bash >/dev/null 2>&1
then PS1="$GANTRY_PROJECT $GANTRY_ENVIRONMENT:\\w\\\\$ " exec bash --norc -i
else PS1="$GANTRY_PROJECT $GANTRY_ENVIRONMENT> " exec sh -i
fi"""
_SYSTEM_FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin")
# Where a product finds its service, set by Gantry or by the team.
_URLS = {ServiceKind.POSTGRES: "DATABASE_URL", ServiceKind.REDIS: "REDIS_URL"}
_KINDS = {Program.POSTGRES: ServiceKind.POSTGRES, Program.REDIS: ServiceKind.REDIS}


@dataclass(frozen=True, slots=True)
class RunLauncher:
    """Makes the specifications of runs."""

    launcher: Launcher
    databases: DatabaseServer
    caches: CacheServers
    variables: VariableService
    box: SecretBox

    def sealed(self, argv: Sequence[str]) -> bytes:
        """Arguments as they are kept until the run is started: they may hold secrets."""
        return self.box.seal(json.dumps(list(argv)))

    def opened(self, sealed: bytes) -> tuple[str, ...]:
        """The arguments again."""
        return tuple(json.loads(self.box.open(sealed)))

    async def check_service(self, session: Session, release: Release, program: Program) -> None:
        """Refuse a service that a release does not have.

        Raises:
            UserError: `run.no-service`.
        """
        kind = _KINDS.get(program)
        if kind is None or kind in wanted_services(manifest_of(release)):
            return
        sealed = await variables_sealed(session, release.id)
        if _URLS[kind] not in self.variables.open_all(sealed):
            raise _no_service(release, kind)

    async def spec(self, run: Run, argv: tuple[str, ...], *, term: str = "") -> ProcessSpec:
        """How to start a run.

        Parameters:
            term: the kind of terminal that its holder has, as `TERM` names it.

        Raises:
            UserError: `run.no-service`, `database.bad-url`, `cache.bad-url`.
            IntegrityError: `artifact.missing`, `artifact.corrupt`.
            TransientError: a service does not start now.
        """
        if run.program is not Program.COMMAND:
            spec = await self._beside_service(run, argv)
        else:
            spec = self._with_tools(
                await self.launcher.for_argv(
                    run.release, run.process_id, _argv(run, argv), timeout_s=run.timeout_s
                )
            )
        typed = {"TERM": term or "dumb"} if run.terminal else {}
        labels = {**spec.labels, "by": run.requested_by}
        return replace(spec, env={**spec.env, **typed}, labels=labels)

    def _with_tools(self, spec: ProcessSpec) -> ProcessSpec:
        """With `psql`, `pg_dump` and their like of the server's own version, and the database as what they talk to."""
        url = spec.env.get(_URLS[ServiceKind.POSTGRES])
        if url is None or spec.sandbox is None:
            return spec
        try:
            client = self.databases.client(url, read_only=False, interactive=False)
        except UserError:
            return (
                spec  # a product may use another scheme; then its own tools know what to do with it
            )
        path = spec.env.get("PATH", "").split(":")
        # After the product's own, before the machine's, which may be too old for the server.
        at = next((n for n, folder in enumerate(path) if folder in _SYSTEM_FOLDERS), len(path))
        path.insert(at, str(PurePosixPath(client.argv[-1]).parent))
        return replace(
            spec,
            env={**client.env, **spec.env, "PATH": ":".join(path)},
            sandbox=Sandbox((*spec.sandbox.mounts, *client.mounts)),
        )

    async def _beside_service(self, run: Run, argv: tuple[str, ...]) -> ProcessSpec:
        """In a sandbox that has nothing of the product but the address of its service."""
        launch = await self.launcher.prepare(run.release)
        kind = _KINDS[run.program]
        url = launch.variables.get(_URLS[kind])
        if url is None:
            raise _no_service(launch.release, kind)
        if kind is ServiceKind.POSTGRES:
            client = self.databases.client(url, read_only=run.read_only, interactive=run.terminal)
        else:
            client = self.caches.client(url)
        folder = PurePosixPath("/tmp")  # noqa: S108 -- the sandbox's own
        return ProcessSpec(
            id=run.process_id,
            argv=(*client.argv, *argv),
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": str(folder),
                "LANG": "C.UTF-8",
                "TZ": "UTC",
                **client.env,
            },
            cwd=str(folder),
            sandbox=Sandbox(client.mounts),
            limits=Limits(memory_bytes=_CLIENT_MEMORY_BYTES),
            redact=tuple(launch.variables.values()),
            timeout_s=run.timeout_s,
            labels={
                "project": launch.environment.project,
                "environment": launch.environment.name,
                "release": launch.release.id,
            },
        )


def _argv(run: Run, argv: tuple[str, ...]) -> tuple[str, ...]:
    if not argv:
        return ("/bin/sh", "-c", _SHELL) if run.terminal else ("/bin/sh",)
    return argv_of(argv[0]) if len(argv) == 1 else argv


def _no_service(release: Release, kind: ServiceKind) -> UserError:
    name = {ServiceKind.POSTGRES: "Postgres database", ServiceKind.REDIS: "Redis cache"}[kind]
    return UserError(
        "run.no-service",
        f"release {release.number} has no {name}, and its variables no {_URLS[kind]}",
        hint=f"write {kind} = true below [services] in gantry.toml, then gantry deploy",
    )
