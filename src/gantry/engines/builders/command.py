"""Anything else: what the manifest starts, with the packages and the build that the product declares."""

from dataclasses import replace

from gantry.engines.builders import node, python
from gantry.engines.builders.context import Context
from gantry.engines.builders.plan import BuildPlan, Collect, Phase
from gantry.engines.builders.protocol import BuildRequest, Detection
from gantry.kernel.commands import argv_of

FRAMEWORK = "command"


def detect(request: BuildRequest) -> Detection | None:
    """The manifest says what to run; nothing is guessed from the tree."""
    if request.start:
        return Detection(FRAMEWORK, (f"gantry.toml starts it with: {request.start}",))
    if request.command:
        return Detection(FRAMEWORK, (f"gantry.toml builds it with: {request.command}",))
    return None


def plan(context: Context, detection: Detection) -> BuildPlan:
    """Run what the manifest says. What it does not say follows package.json, or what Python's packages are declared in."""
    if context.product.has("package.json"):
        return replace(node.plan(context, detection), framework=FRAMEWORK)
    if python.declared(context.product):
        return replace(python.plan(context, detection), framework=FRAMEWORK)
    request = context.request
    # A manifest that says framework = "command" has been asked for a start command before.
    if request.serves and not request.start and not request.framework:
        raise node.no_start("gantry.toml says how it is built, not how it is started")
    env = {"GANTRY_BUILD": context.build_id}
    steps = (("install", request.install), ("build", request.command))
    collect = Collect("tree")
    if request.output:
        collect = Collect("folder", (request.output,), workspace=bool(request.commands))
    return BuildPlan(
        framework=FRAMEWORK,
        reasons=detection.reasons,
        notes=detection.notes,
        phases=tuple(Phase(name, command, command, env) for name, command in steps if command),
        collect=collect,
        web=argv_of(request.start) if request.start else (),
        folder="" if request.output else context.root,
        versions=context.versions,
        env=env,
        engine="node",
    )
