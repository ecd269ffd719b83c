"""Any Node server: what its start script starts, or what its build has made."""

import shlex
from collections.abc import Mapping

from gantry.engines.builders.context import Context
from gantry.engines.builders.node_steps import NodeSteps, node_steps
from gantry.engines.builders.packages import find_manager
from gantry.engines.builders.plan import BuildPlan, Collect, Phase, Start
from gantry.engines.builders.protocol import Detection
from gantry.engines.builders.starting import (
    chooses_adapter,
    foreign_adapter,
    is_development,
    is_orchestrated,
    own_main,
    refuse_foreign_adapter,
    script_for_production,
    ways_to_start,
)
from gantry.engines.builders.tree import Package, Tree, read_package
from gantry.kernel.commands import argv_of
from gantry.kernel.errors import UserError

FRAMEWORK = "node"
# Packages whose build is a server: it is found once it is built.
SERVERS = ("nuxt", "nitropack", "nitro", "@solidjs/start", "vinxi", "@tanstack/react-start", "@tanstack/solid-start",
           "@tanstack/start", "@analogjs/platform", "@react-router/node", "@react-router/serve", "@remix-run/node",
           "@remix-run/serve", "@nestjs/core", "@astrojs/node", "@angular/ssr", "@sveltejs/kit", "@sveltejs/adapter-node",
           "express", "fastify", "koa", "hono", "@hono/node-server", "@hapi/hapi", "polka", "h3", "elysia")  # fmt: skip

# SvelteKit's adapter-auto knows the platforms that it serves by their variables. The one of them that starts a Node server
# is asked for by this one; the adapter's version is the one that adapter-auto itself would install.
_AUTO_ENV: Mapping[str, str] = {"GCP_BUILDPACKS": "1"}
_AUTO_VERSION = (
    'const { adapters } = await import(new URL("adapters.js", import.meta.resolve("@sveltejs/adapter-auto"))); '
    'console.log(adapters.find((known) => known.module === "@sveltejs/adapter-node")?.version ?? "latest")'
)
_AUTO_NOTE = "@sveltejs/adapter-auto takes @sveltejs/adapter-node here; name it in package.json to choose its version"


def detect(tree: Tree) -> Detection | None:
    """Node, when package.json can start it, its build makes a server, or there is a file to start."""
    package = read_package(tree)
    if not package.found and not tree.first("server.js", "server.mjs"):
        return None
    reason = _reason(package, tree)
    if not reason:
        return None
    notes = ["it must listen on $PORT: listen(process.env.PORT)"]
    if foreign := foreign_adapter(package, tree):
        notes.append(f"{foreign} builds for another platform: use the adapter for Node")
    if chooses_adapter(package, tree):
        notes.append(_AUTO_NOTE)
    return Detection(FRAMEWORK, (reason,), tuple(notes))


def _reason(package: Package, tree: Tree) -> str:
    script = script_for_production(package)
    if script and not (script == "start" and is_orchestrated(package, tree)):
        return f"package.json has a {script} script: {package.scripts[script]}"
    server = package.depends_on(*SERVERS)
    if server and "build" in package.scripts:
        return f"package.json builds a server with {server} {package.dependencies[server].lstrip('^~>=')}"
    if main := own_main(package, tree):
        return f"{main} is there"
    if "start" in package.scripts and not is_orchestrated(package, tree):
        return f"package.json has a start script: {package.scripts['start']}"
    return ""


def plan(context: Context, detection: Detection) -> BuildPlan:
    """Install, run the build script if there is one, keep the folder."""
    request, product = context.request, context.product
    chooses = chooses_adapter(read_package(product), product)
    steps = node_steps(
        context, env=_AUTO_ENV if chooses else {}, then=_adapter(context) if chooses else ""
    )
    starts = _starts(context, steps)
    certain = bool(starts) and not starts[0].file
    return BuildPlan(
        framework=FRAMEWORK,
        reasons=detection.reasons,
        notes=(*detection.notes, *_notes(steps, starts, product)),
        phases=steps.phases,
        packages=steps.packages,
        caches=steps.caches,
        collect=collect_whole(context, steps),
        build_env=steps.env,
        web=argv_of(starts[0].command) if certain else (),
        starts=() if certain else starts,
        folder="" if request.output else context.root,
        versions=context.versions,
        env={"NODE_ENV": "production", "GANTRY_BUILD": context.build_id},
        engine="node",
    )


def _adapter(context: Context) -> str:
    """Installs the adapter that adapter-auto takes, as long as packages may be fetched; a declared one is there."""
    package = read_package(context.product)
    if package.depends_on("@sveltejs/adapter-node"):
        return ""
    version = f"node --input-type=module -e {shlex.quote(_AUTO_VERSION)}"
    folder = shlex.quote(context.root or ".")
    add = find_manager(context.tree).add
    return f'(cd {folder} && {add} "@sveltejs/adapter-node@$({version})")'


def collect_whole(context: Context, steps: NodeSteps) -> Collect:
    """Everything, without the packages of development where they can be told apart and nothing asks for them."""
    request = context.request
    if request.output:
        return Collect("folder", (request.output,), workspace=bool(request.commands))
    command = steps.manager.prune
    some = bool(steps.package.development) or bool(context.root)
    if not (command and steps.installs and request.prune and some):
        return Collect("tree")
    prune = Phase("prune", command, command, network=False, top=True)
    return Collect("tree", prune=prune, workspace=bool(request.commands))


def _starts(context: Context, steps: NodeSteps) -> tuple[Start, ...]:
    request = context.request
    if request.start:
        return (Start("", request.start),)
    if not request.serves:
        return ()
    if not request.command:
        refuse_foreign_adapter(steps.package, context.product)
    found = ways_to_start(steps.package, context.product)
    if not steps.build:  # what will be there is there
        found = tuple(start for start in found if not start.file or context.product.has(start.file))
    if not found:
        raise no_start("package.json has no start script, and there is no file such as server.js")
    first = found[0]
    prepared = steps.package.scripts.get("prestart")
    if not first.file and prepared and first.command == steps.package.scripts.get("start"):
        return (Start("", f"{steps.manager.name} run start"),)
    return found


def no_start(why: str) -> UserError:
    """The refusal of a product that nothing starts."""
    return UserError(
        "build.no-start",
        f"there is nothing to start: {why}",
        hint='[processes.web] command = "..." in gantry.toml says what to start; '
        "[processes] web = false is for a product that answers no visitors",
    )


def _notes(steps: NodeSteps, starts: tuple[Start, ...], product: Tree) -> tuple[str, ...]:
    written = steps.package.scripts.get("start", "")
    notes = list(steps.manager.notes)
    if written and starts and is_development(written, steps.package):
        if starts[0] == Start("", written):
            notes.append(
                f"the start script is for development, and nothing else was found: {written}"
            )
        elif not any(start.command == written and not start.file for start in starts[:1]):
            notes.append(f"the start script is for development and is not used: {written}")
    return tuple(notes)
