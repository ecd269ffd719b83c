"""Any Node server that package.json can start."""

from gantry.engines.builders.context import Context
from gantry.engines.builders.packages import (
    find_manager,
    install_phase,
    manager_env,
    needs_install,
    packages_of,
    run_script,
)
from gantry.engines.builders.plan import APP, BuildPlan, Collect, Phase
from gantry.engines.builders.protocol import Detection
from gantry.engines.builders.tree import Package, Tree, read_package

FRAMEWORK = "node"
_MAINS = ("server.js", "server.mjs", "index.js", "index.mjs", "app.js", "main.js", "src/index.js",
          "server.ts", "index.ts", "src/index.ts")  # fmt: skip
# Characters that need a shell; without them the shell is replaced by the program, which then gets the signals.
_SHELL = set("|&;<>()$`\n")


def detect(tree: Tree) -> Detection | None:
    """Node, when package.json has a start script or there is a file to start."""
    package = read_package(tree)
    if not package.found and not tree.first("server.js", "server.mjs"):
        return None
    notes = ("it must listen on $PORT: listen(process.env.PORT)",)
    if "start" in package.scripts:
        reason = f"package.json has a start script: {package.scripts['start']}"
        return Detection(FRAMEWORK, (reason,), notes)
    main = _main(tree, package)
    return Detection(FRAMEWORK, (f"{main} is there",), notes) if main else None


def plan(context: Context, detection: Detection) -> BuildPlan:
    """Install, run the build script if there is one, keep the folder without development packages."""
    request, tree = context.request, context.tree
    package, manager = read_package(context.product), find_manager(tree)
    install = install_phase(tree, request.install)
    installs = needs_install(tree) or bool(request.install)
    build = request.command or (
        run_script(package, "build", manager) if "build" in package.scripts else ""
    )
    prune = (
        Phase("prune", manager.prune, manager.prune, network=False)
        if installs and manager.prune
        else None
    )
    return BuildPlan(
        framework=FRAMEWORK,
        reasons=detection.reasons,
        notes=detection.notes,
        phases=(
            *((install,) if installs else ()),
            *((Phase("build", build, build, {"GANTRY_BUILD": context.build_id}),) if build else ()),
        ),
        packages=packages_of(tree, install, context.versions.node) if needs_install(tree) else None,
        caches=manager.caches if installs else (),
        collect=Collect("folder", (request.output,))
        if request.output
        else Collect("tree", prune=prune),
        build_env=manager_env(tree),
        web=_web(context, package),
        env={"NODE_ENV": "production", "GANTRY_BUILD": context.build_id},
        engine="node",
    )


def _main(tree: Tree, package: Package) -> str:
    return tree.first(*((package.main,) if package.main else ()), *_MAINS)


def _web(context: Context, package: Package) -> tuple[str, ...]:
    if context.request.start:
        return shell_argv(context.request.start, context.root)
    script = package.scripts.get("start", "")
    if not script:
        return shell_argv(f"node {_main(context.product, package)}", context.root)
    if "prestart" in package.scripts:
        script = f"{find_manager(context.tree).name} run start"
    return shell_argv(script, context.root)


def shell_argv(command: str, root: str = "") -> tuple[str, ...]:
    """`command` run by a shell in the product's folder, and by nothing but itself where that is possible."""
    place = f"{APP}/{root}" if root else APP
    run = (
        command
        if _SHELL & set(command) or "=" in command.split(maxsplit=1)[0]
        else f"exec {command}"
    )
    bins = f"{place}/node_modules/.bin:{APP}/node_modules/.bin"
    return ("/bin/sh", "-c", f'PATH="{bins}:$PATH"; cd {place}; {run}')
