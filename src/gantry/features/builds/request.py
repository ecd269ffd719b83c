"""From a manifest and a snapshot to what a builder is asked for."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from gantry.config.manifest import Manifest
from gantry.config.public_variables import is_public
from gantry.config.references import names_in
from gantry.engines.builders.protocol import BuildRequest
from gantry.engines.runtime.protocol import Limits
from gantry.engines.sources.protocol import Snapshot
from gantry.kernel.errors import UserError


def build_request(
    build_id: str, manifest: Manifest, snapshot: Snapshot, *, action_key: str
) -> BuildRequest:
    """The request for a build, without variables; two that differ only in `build_id` have the same key."""
    build, test = manifest.build, manifest.test
    web = manifest.web
    return BuildRequest(
        id=build_id,
        project=manifest.project.name,
        source_digest=snapshot.digest,
        source_root=snapshot.root,
        root=manifest.project.root,
        framework=build.framework or "",
        install=build.install or "",
        command=build.command or "",
        output=build.output or "",
        test=test.command or "",
        start=(web.command or "") if web is not None else "",
        serves=web is not None,
        commands=tuple(_commands(manifest)),
        node=build.node or "",
        python=build.python or "",
        prune=build.prune,
        limits=Limits(memory_bytes=build.memory_bytes, cpu_cores=build.cpu, processes=4096),
        timeout_s=build.timeout_s,
        test_timeout_s=test.timeout_s,
        action_key=action_key,
    )


def _commands(manifest: Manifest) -> Iterator[str]:
    """What a release runs besides its web process."""
    if manifest.release.command:
        yield manifest.release.command
    for command in (
        *(worker.command for worker in manifest.processes.worker.values()),
        *(cron.command for cron in manifest.crons.values()),
    ):
        if command:
            yield command


def with_variables(
    request: BuildRequest,
    manifest: Manifest,
    variables: Mapping[str, str],
    public: tuple[str, ...],
    of_services: Collection[str],
) -> BuildRequest:
    """`request` with the variables that reach the build: public ones, and those that `[build] env` names.

    No other one does, so that a changed password makes no new build.

    Parameters:
        public: prefixes of variables that are in the product's pages.
        of_services: names of variables that the environment's services set, unless the team does itself.

    Raises:
        UserError: `variable.not-at-build` one of them refers to what is there only while the product runs.
    """
    named = frozenset(manifest.build.env)
    given = {
        name: value for name, value in variables.items() if name in named or is_public(name, public)
    }
    for name, value in given.items():
        if value == manifest.variables.plain.get(name) and (others := names_in(value)):
            raise UserError(
                "variable.not-at-build",
                f"{name} refers to ${{{others[0]}}} and reaches the build, where no service and no address is there yet",
                hint=f"write the value itself, or read {others[0]} while the product runs",
                where=f"gantry.toml: variables.plain.{name}",
            )
    return replace(
        request,
        env=given,
        secret_names=frozenset(name for name in given if not is_public(name, public)),
        withheld=tuple(sorted(variables.keys() - given.keys())),
        of_services=tuple(sorted(set(of_services) - variables.keys())),
    )
