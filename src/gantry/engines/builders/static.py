"""Sites of files only: what Vite and its kin write, or plain HTML."""

import re

from gantry.engines.builders.context import Context
from gantry.engines.builders.node import SERVERS
from gantry.engines.builders.node_steps import node_steps
from gantry.engines.builders.plan import BuildPlan, Cache, Collect
from gantry.engines.builders.protocol import Detection
from gantry.engines.builders.starting import (
    commands_of,
    foreign_adapter,
    refuse_foreign_adapter,
    script_for_production,
)
from gantry.engines.builders.tree import Package, Tree, read_package

FRAMEWORK = "static"
# Package -> where it writes (a name may be `*`), and where it puts files whose names change with their content.
_GENERATORS = {
    "astro": ("dist", "_astro"),
    "@docusaurus/core": ("build", "assets"),
    "@11ty/eleventy": ("_site", ""),
    "gatsby": ("public", ""),
    "vitepress": (".vitepress/dist", "assets"),
    "react-scripts": ("build", "static"),
    "@vue/cli-service": ("dist", ""),
    "@angular/core": ("dist/*/browser", ""),
    "@rsbuild/core": ("dist", "static"),
    "hexo": ("public", ""),
    "vite": ("dist", "assets"),
    "parcel": ("dist", ""),
    "webpack": ("dist", ""),
}
# Packages that make a server unless they are told to write files: what says so, where they write, their assets.
_PRERENDERED = {
    "@sveltejs/adapter-static": ("build", "_app/immutable"),
    "nuxt": (".output/public", "_nuxt"),
    "@react-router/dev": ("build/client", "assets"),
}
_OUTPUTS = ("dist", "build", "out", "_site", "public")
_NO_SERVER = re.compile(r"\bssr\s*:\s*false\b")
_ROUTER_CONFIGS = ("react-router.config.ts", "react-router.config.js", "react-router.config.mjs")
_ASTRO_CONFIGS = ("astro.config.mjs", "astro.config.ts", "astro.config.js", "astro.config.mts")
_ON_DEMAND = re.compile(r"\boutput\s*:\s*[\"'](server|hybrid)[\"']")


def detect(tree: Tree) -> Detection | None:
    """Files only: a site generator with a build script and no server, or an index.html."""
    package = read_package(tree)
    if found := _generator(package, tree):
        name, folder, _ = found
        version = package.dependencies[name].lstrip("^~>=")
        reason = f"package.json builds with {name} {version}, which writes files to {folder}"
        return Detection(FRAMEWORK, (reason,), _notes(package, tree))
    for folder in ("", "public/"):
        if tree.has(f"{folder}index.html") and not script_for_production(package):
            if package.depends_on(*SERVERS) or "start" in package.scripts:
                continue
            return Detection(FRAMEWORK, (f"{folder}index.html is there, and nothing to start",))
    return None


def _generator(package: Package, tree: Tree) -> tuple[str, str, str] | None:
    """The package that writes the site, where, and where its assets are; `None` when a server is made."""
    if "build" not in package.scripts:
        return None
    if (name := _prerendered(package, tree)) in package.dependencies:
        return (name, *_PRERENDERED[name])
    name = package.depends_on(*_GENERATORS)
    if not name or package.depends_on(*SERVERS) or script_for_production(package):
        return None
    return (name, *_GENERATORS[name])


def _prerendered(package: Package, tree: Tree) -> str:
    if package.depends_on("@sveltejs/adapter-static") and not package.depends_on(
        "@sveltejs/adapter-node"
    ):
        return "@sveltejs/adapter-static"
    if any("generate" in part.split() for part in commands_of(package.scripts["build"], package)):
        return "nuxt"
    config = tree.text(tree.first(*_ROUTER_CONFIGS) or "-") or ""
    return "@react-router/dev" if _NO_SERVER.search(config) else ""


def _notes(package: Package, tree: Tree) -> tuple[str, ...]:
    if foreign := foreign_adapter(package, tree):
        return (f"{foreign} builds for another platform: leave it out for a site of files",)
    if _ON_DEMAND.search(tree.text(tree.first(*_ASTRO_CONFIGS) or "-") or ""):
        return (
            "its configuration asks for pages on demand: npm install @astrojs/node, and use it as the adapter",
        )
    return ()


def plan(context: Context, detection: Detection) -> BuildPlan:
    """Run the generator, if there is one, and keep what it wrote."""
    request, product = context.request, context.product
    if not (request.command or request.output):
        refuse_foreign_adapter(read_package(product), product)
    steps = node_steps(context)
    installs = steps.installs and bool(steps.build)
    return BuildPlan(
        framework=FRAMEWORK,
        reasons=detection.reasons,
        notes=(*detection.notes, *(steps.manager.notes if installs else ())),
        phases=tuple(phase for phase in steps.phases if installs or phase.name != "install"),
        packages=steps.packages if installs else None,
        caches=(*steps.caches, Cache("astro", "node_modules/.astro")) if installs else (),
        collect=_collect(context, built=bool(steps.build)),
        build_env=steps.env,
        versions=context.versions,
        env={"GANTRY_BUILD": context.build_id},
        assets=_assets(context),
        engine="gantry",
    )


def _collect(context: Context, *, built: bool) -> Collect:
    output, workspace = context.request.output, bool(context.request.commands)
    found = _generator(read_package(context.product), context.product)
    if output:
        sources: tuple[str, ...] = (output,)
    elif not built:
        sources = ("" if context.product.has("index.html") else "public",)
    else:
        first = (found[1],) if found else ()
        sources = (*first, *(name for name in _OUTPUTS if name not in first))
    return Collect("folder", sources, needs="index.html", published=True, workspace=workspace)


def _assets(context: Context) -> dict[str, str]:
    found = _generator(read_package(context.product), context.product)
    folder = found[2] if found else ""
    return {f"/{folder}": folder} if folder else {}
