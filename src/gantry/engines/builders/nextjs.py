"""Next.js: its standalone output, with the public and static files that it leaves out."""

import re
from collections.abc import Mapping

from gantry.engines.builders.context import Context
from gantry.engines.builders.node_steps import node_steps
from gantry.engines.builders.packages import find_manager
from gantry.engines.builders.plan import BuildPlan, Cache, Collect
from gantry.engines.builders.protocol import Detection
from gantry.engines.builders.tree import Tree, read_package
from gantry.kernel.commands import argv_of

FRAMEWORK = "nextjs"
_CONFIGS = ("next.config.ts", "next.config.mjs", "next.config.js", "next.config.mts")
_ROUTES = ("app", "src/app", "pages", "src/pages")
_NO_LOCK = "there is no lock file: two builds may get different packages"
_HEALTH = ("api/health", "api/healthz", "healthz", "health")


def detect(tree: Tree) -> Detection | None:
    """Next.js, when package.json depends on it or a next.config says so."""
    package = read_package(tree)
    config = tree.first(*_CONFIGS)
    if "next" not in package.dependencies and not config:
        return None
    if not package.found:
        return None
    reasons = []
    if version := package.dependencies.get("next"):
        reasons.append(f"package.json depends on next {version.lstrip('^~>=')}")
    if config:
        reasons.append(f"{config} is there")
    return Detection(FRAMEWORK, tuple(reasons), _notes(tree, config), _suggested(tree))


def plan(context: Context, detection: Detection) -> BuildPlan:
    """Install, `next build`, collect: its standalone output, or everything where the product starts itself."""
    request, product = context.request, context.product
    config = product.text(product.first(*_CONFIGS) or "-") or ""
    exported = _setting(config, "output") == "export"
    whole = not exported and _starts_itself(request.start, product)
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
        web=() if exported else argv_of(request.start) if whole else ("node", "server.js"),
        folder=context.root if whole else "",
        versions=context.versions,
        env=common if exported else common | {"NODE_ENV": "production"},
        assets={f"{base}/_next/static": _assets(context, folder, exported=exported, whole=whole)},
        engine="gantry" if exported else "node",
    )


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
        name = config or "next.config.ts"
        notes.append(f'{name} does not set output: "standalone"; the build sets it for you')
    if not find_manager(tree).lock:
        notes.append(_NO_LOCK)
    return tuple(notes)


def _suggested(tree: Tree) -> Mapping[str, object]:
    for folder in _ROUTES:
        for path in _HEALTH:
            kind = "route" if folder.endswith("app") else ""
            stem = f"{folder}/{path}/{kind}" if kind else f"{folder}/{path}"
            if tree.first(*(f"{stem}.{suffix}" for suffix in ("ts", "js", "tsx", "mjs"))):
                return {"processes.web.health.path": f"/{path}"}
    return {}
