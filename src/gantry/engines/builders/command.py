"""Anything else: the manifest's own commands, and the folder as it is."""

from gantry.engines.builders.context import Context
from gantry.engines.builders.node import shell_argv
from gantry.engines.builders.plan import BuildPlan, Collect, Phase
from gantry.engines.builders.protocol import BuildRequest, Detection

FRAMEWORK = "command"


def detect(request: BuildRequest) -> Detection | None:
    """The manifest says what to run; nothing is guessed from the tree."""
    if request.start:
        return Detection(FRAMEWORK, (f"gantry.toml starts it with: {request.start}",))
    if request.command:
        return Detection(FRAMEWORK, (f"gantry.toml builds it with: {request.command}",))
    return None


def plan(context: Context, detection: Detection) -> BuildPlan:
    """Run what the manifest says."""
    request = context.request
    env = {"GANTRY_BUILD": context.build_id}
    steps = (("install", request.install), ("build", request.command))
    return BuildPlan(
        framework=FRAMEWORK,
        reasons=detection.reasons,
        notes=detection.notes,
        phases=tuple(Phase(name, command, command, env) for name, command in steps if command),
        collect=Collect("folder", (request.output,)) if request.output else Collect("tree"),
        web=shell_argv(request.start, context.root) if request.start else (),
        env=env,
        engine="node",
    )
