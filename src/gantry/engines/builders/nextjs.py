"""Next.js: its standalone output, with the public and static files that it leaves out."""

import re
from collections.abc import Mapping

from gantry.engines.builders.context import Context
from gantry.engines.builders.packages import (
    find_manager,
    install_phase,
    manager_env,
    needs_install,
    packages_of,
    run_script,
)
from gantry.engines.builders.plan import BuildPlan, Cache, Collect, Phase
from gantry.engines.builders.protocol import Detection
from gantry.engines.builders.tree import Tree, read_package

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
    """Install, `next build`, collect."""
    request, tree = context.request, context.tree
    product = context.product
    package = read_package(product)
    manager = find_manager(tree)
    config = product.text(product.first(*_CONFIGS) or "-") or ""
    env = _build_env(context, config)
    install = install_phase(tree, request.install)
    command = request.command or (
        run_script(package, "build", manager) if "build" in package.scripts else "next build"
    )
    exported = _setting(config, "output") == "export"
    base, folder = _setting(config, "basePath"), _setting(config, "distDir") or ".next"
    common = {"NEXT_DEPLOYMENT_ID": context.build_id, "GANTRY_BUILD": context.build_id}
    return BuildPlan(
        framework=FRAMEWORK,
        reasons=detection.reasons,
        notes=tuple(note for note in detection.notes if note != _NO_LOCK or not manager.lock),
        phases=(
            *((install,) if needs_install(tree) or request.install else ()),
            Phase("build", command, command, env),
        ),
        packages=packages_of(tree, install, context.versions.node) if needs_install(tree) else None,
        caches=(*manager.caches, Cache("next", f"{folder}/cache")),
        collect=Collect("folder", (request.output or "out",), needs="index.html")
        if exported
        else Collect("next", (request.output or folder,)),
        build_env=manager_env(tree),
        web=() if exported else ("node", "server.js"),
        env=common if exported else common | {"NODE_ENV": "production"},
        assets={f"{base}/_next/static": "_next/static" if exported else f"{folder}/static"},
        engine="gantry" if exported else "node",
    )


def _build_env(context: Context, config: str) -> Mapping[str, str]:
    env = {
        "NEXT_TELEMETRY_DISABLED": "1",
        "NEXT_DEPLOYMENT_ID": context.build_id,
        "GANTRY_BUILD": context.build_id,
    }
    if context.request.action_key:
        env["NEXT_SERVER_ACTIONS_ENCRYPTION_KEY"] = context.request.action_key
    if not _setting(config, "output"):
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
