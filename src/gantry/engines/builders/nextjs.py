"""Next.js: its standalone output, with the public and static files that it leaves out."""

import re
from collections.abc import Mapping

from gantry.engines.builders.context import Context
from gantry.engines.builders.node_steps import node_steps
from gantry.engines.builders.packages import find_manager
from gantry.engines.builders.plan import BuildPlan, Cache, Collect
from gantry.engines.builders.protocol import Detection
from gantry.engines.builders.starting import SOURCE, commands_of, script_for_production
from gantry.engines.builders.tree import Package, Tree, read_package
from gantry.kernel.commands import argv_of

FRAMEWORK = "nextjs"
CONFIGS = ("next.config.ts", "next.config.mjs", "next.config.js", "next.config.mts")
_ROUTES = ("app", "src/app", "pages", "src/pages")
_NO_LOCK = "there is no lock file: two builds may get different packages"
_RUNS_SOURCE = ("node", "tsx", "ts-node", "bun")
_HEALTH = ("api/health", "api/healthz", "healthz", "health")


def detect(tree: Tree) -> Detection | None:
    """Next.js, when package.json depends on it or a next.config says so."""
    package = read_package(tree)
    config = tree.first(*CONFIGS)
    if "next" not in package.dependencies and not config:
        return None
    if not package.found:
        return None
    reasons = []
    if version := package.dependencies.get("next"):
        reasons.append(f"package.json depends on next {version.lstrip('^~>=')}")
    if config:
        reasons.append(f"{config} is there")
    if own := own_server(package, tree):
        reasons.append(f"package.json starts a server of its own: {own}")
    return Detection(FRAMEWORK, tuple(reasons), _notes(tree, config), _suggested(tree))


def plan(context: Context, detection: Detection) -> BuildPlan:
    """Install, `next build`, collect: its standalone output, or everything where the product starts itself."""
    request, product = context.request, context.product
    config = product.text(product.first(*CONFIGS) or "-") or ""
    exported = _setting(config, "output") == "export"
    start = request.start or own_server(read_package(product), product)
    whole = not exported and _starts_itself(start, product)
    steps = node_steps(context, default="next build", env=_build_env(context, config, whole=whole))
    base, folder = _setting(config, "basePath"), _setting(config, "distDir") or ".next"
    common = {"NEXT_DEPLOYMENT_ID": context.build_id, "GANTRY_BUILD": context.build_id}
    notes = tuple(note for note in detection.notes if note != _NO_LOCK or not steps.manager.lock)
    return BuildPlan(
        framework=FRAMEWORK,
        reasons=detection.reasons,
        notes=(*notes, *steps.manager.notes),
        phases=steps.phases,
        packages=steps.packages,
        caches=(*steps.caches, *_caches(folder)),
        collect=_collect(context, folder, exported=exported, whole=whole),
        build_env=steps.env,
        web=() if exported else argv_of(start) if whole else ("node", "server.js"),
        folder=context.root if whole else "",
        versions=context.versions,
        env=common if exported else common | {"NODE_ENV": "production"},
        assets={f"{base}/_next/static": _assets(context, folder, exported=exported, whole=whole)},
        engine="gantry" if exported else "node",
    )


def own_server(package: Package, product: Tree) -> str:
    """The start script of a product that wraps Next.js in a server of its own, and not what `next build` wrote.

    As a command: through the package manager where a script comes before it.
    """
    name = script_for_production(package)
    script = package.scripts.get(name, "")
    commands = [command.split() for command in commands_of(script, package)]
    if any(words[0] == "next" for words in commands):
        return ""
    for program, *arguments in commands:
        path = next(filter(SOURCE.fullmatch, arguments), "").removeprefix("./")
        # `server.js` alone, where there is none, is that of a standalone output, which a Dockerfile has copied.
        if (
            program in _RUNS_SOURCE
            and path
            and not path.startswith(".")
            and (product.has(path) or "/" in path)
        ):
            prepared = f"pre{name}" in package.scripts
            return f"{find_manager(product).name} run {name}" if prepared else script
    return ""


def _starts_itself(start: str, product: Tree) -> bool:
    """Whether the manifest's own command needs more than the standalone output, whose server is `server.js`."""
    return bool(start) and ("server.js" not in start.split() or product.has("server.js"))


def _collect(context: Context, folder: str, *, exported: bool, whole: bool) -> Collect:
    request = context.request
    if whole:
        return Collect("tree")
    workspace = bool(request.commands)
    if exported:
        sources = (request.output or "out",)
        return Collect("folder", sources, needs="index.html", published=True, workspace=workspace)
    return Collect("next", (request.output or folder,), workspace=workspace)


def _assets(context: Context, folder: str, *, exported: bool, whole: bool) -> str:
    if exported:
        return "_next/static"
    return context.below(f"{folder}/static") if whole else f"{folder}/static"


def _caches(folder: str) -> tuple[Cache, ...]:
    """What the compiler has made, from build to build. Not `fetch-cache`: answers of others, which go stale."""
    return (Cache("next", f"{folder}/cache", without=("fetch-cache",)),)


def _build_env(context: Context, config: str, *, whole: bool) -> Mapping[str, str]:
    env = {
        "NEXT_TELEMETRY_DISABLED": "1",
        "NEXT_DEPLOYMENT_ID": context.build_id,
    }
    if context.request.action_key:
        env["NEXT_SERVER_ACTIONS_ENCRYPTION_KEY"] = context.request.action_key
    if not whole and not _setting(config, "output"):
        env["NEXT_PRIVATE_STANDALONE"] = "true"  # the default of `output` in Next.js itself
    return env


def _setting(config: str, name: str) -> str:
    """A literal text in a next.config; empty when it is not set or computed."""
    match = re.search(rf"^[^/\n]*\b{name}\s*:\s*[\"'`]([^\"'`]*)", config, re.MULTILINE)
    return match[1] if match else ""


def _notes(tree: Tree, config: str) -> tuple[str, ...]:
    text = tree.text(config) or "" if config else ""
    notes = []
    if not _setting(text, "output"):
        name = f"{config} does not set" if config else "there is no next.config that sets"
        notes.append(f'{name} output: "standalone"; the build sets it for you')
    if not find_manager(tree).lock:
        notes.append(_NO_LOCK)
    package = read_package(tree)
    commands = list(commands_of(package.scripts.get("start", ""), package))
    if len(commands) > 1 and any(command.split()[0] == "next" for command in commands):
        notes.append(
            f"of the start script only Next.js is started: {package.scripts['start']}; what has to run before it "
            "is for [release] command, or set [processes.web] command"
        )
    return tuple(notes)


def _suggested(tree: Tree) -> Mapping[str, object]:
    for folder in _ROUTES:
        for path in _HEALTH:
            kind = "route" if folder.endswith("app") else ""
            stem = f"{folder}/{path}/{kind}" if kind else f"{folder}/{path}"
            if tree.first(*(f"{stem}.{suffix}" for suffix in ("ts", "js", "tsx", "mjs"))):
                return {"processes.web.health.path": f"/{path}"}
    return {}
