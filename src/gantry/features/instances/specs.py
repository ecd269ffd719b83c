"""How a process of a release is started: its program, environment, sandbox and limits."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from gantry.config.manifest import Manifest
from gantry.engines.builders.protocol import Artifact
from gantry.engines.runtime.protocol import Limits, Mount, MountMode, ProcessSpec, Sandbox
from gantry.features.projects.model import Environment
from gantry.features.releases.model import Release

APP_FOLDER = "/app"
# Libraries that believe a proxy only when they are told to. The edge sets Host and X-Forwarded-* itself and passes none of
# a visitor's on, so a product learns from them which of its addresses was asked: a domain, an environment's, a release's.
_BEHIND_THE_EDGE = {"AUTH_TRUST_HOST": "true"}  # Auth.js and NextAuth


@dataclass(frozen=True, slots=True)
class Identity:
    """What a process may know of itself.

    Attributes:
        instance: id of the process.
        port: where it should listen; `None` for processes that do not.
        url: public URL of its environment, where its first domain leads when it has any.
    """

    instance: str
    release: Release
    environment: Environment
    url: str
    port: int | None = None


def process_spec(
    identity: Identity,
    artifact: Artifact,
    argv: tuple[str, ...],
    variables: Mapping[str, str],
    *,
    limits: Limits,
    redact: tuple[str, ...] = (),
    timeout_s: float | None = None,
) -> ProcessSpec:
    """A process of a release: the artifact at `/app` under an overlay, so that what it writes is forgotten.

    Parameters:
        variables: the release's variables and the URLs of its services.
    """
    app = Mount(artifact.root, APP_FOLDER, MountMode.OVERLAY)
    return ProcessSpec(
        id=identity.instance,
        argv=argv,
        # Gantry's own come last: nothing may change where an instance listens or who it is.
        env={**artifact.env, **_BEHIND_THE_EDGE, **variables, **_own_variables(identity)},
        cwd=APP_FOLDER,
        sandbox=Sandbox(mounts=(app, *artifact.mounts)),
        limits=limits,
        redact=redact,
        timeout_s=timeout_s,
        labels={
            "project": identity.environment.project,
            "environment": identity.environment.name,
            "release": identity.release.id,
        },
    )


def shell(command: str) -> tuple[str, ...]:
    """`command` as people write it in the manifest, run by a shell that is replaced by it where it can be."""
    arguments = shlex.split(command, comments=False)
    plain = not set(command) & set("|&;<>()$`\"'\\*?[#~=%!{}\n")
    return tuple(arguments) if plain and arguments else ("/bin/sh", "-c", command)


def web_argv(manifest: Manifest, artifact: Artifact, process: str) -> tuple[str, ...]:
    """What starts a process kind: the manifest's own command, else what the builder found out."""
    command = manifest.long_running[process].command
    return shell(command) if command else artifact.web


def _own_variables(identity: Identity) -> dict[str, str]:
    own = {
        "HOME": "/tmp",  # noqa: S108 -- inside the sandbox /tmp is private
        "GANTRY_PROJECT": identity.environment.project,
        "GANTRY_ENVIRONMENT": identity.environment.name,
        "GANTRY_RELEASE": identity.release.id,
        "GANTRY_INSTANCE": identity.instance,
        "GANTRY_URL": identity.url,
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
