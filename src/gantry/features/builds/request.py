"""From a manifest and a snapshot to what a builder is asked for."""

from collections.abc import Mapping

from gantry.config.manifest import Manifest
from gantry.engines.builders.protocol import BuildRequest
from gantry.engines.runtime.protocol import Limits
from gantry.engines.sources.protocol import Snapshot


def build_request(
    build_id: str,
    manifest: Manifest,
    snapshot: Snapshot,
    variables: Mapping[str, str],
    *,
    action_key: str,
) -> BuildRequest:
    """The request for a build; two that differ only in `build_id` have the same key.

    Only the variables that `[build] env` names reach the build, so that a changed password makes no new build.
    """
    build, test = manifest.build, manifest.test
    named = {name: variables[name] for name in build.env if name in variables}
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
        env=named,
        secret_names=frozenset(named),
        limits=Limits(memory_bytes=build.memory_bytes, cpu_cores=build.cpu, processes=4096),
        timeout_s=build.timeout_s,
        test_timeout_s=test.timeout_s,
        action_key=action_key,
    )
