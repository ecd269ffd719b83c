"""Sites of files only: what Vite and its kin write, or plain HTML."""

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

FRAMEWORK = "static"
# Package -> where it writes, and where it puts files whose names change with their content.
_GENERATORS = {
    "astro": ("dist", "_astro"),
    "@docusaurus/core": ("build", "assets"),
    "@11ty/eleventy": ("_site", ""),
    "gatsby": ("public", ""),
    "vitepress": (".vitepress/dist", "assets"),
    "react-scripts": ("build", "static"),
    "vite": ("dist", "assets"),
    "parcel": ("dist", ""),
    "webpack": ("dist", ""),
}
_SERVERS = ("express", "fastify", "koa", "hono", "@hono/node-server", "@nestjs/core", "@astrojs/node",
            "@sveltejs/adapter-node", "@remix-run/node", "@react-router/node", "nuxt")  # fmt: skip
_OUTPUTS = ("dist", "build", "out", "_site", "public")


def detect(tree: Tree) -> Detection | None:
    """Files only: a site generator with a build script and no server, or an index.html."""
    package = read_package(tree)
    generator = package.depends_on(*_GENERATORS)
    if generator and "build" in package.scripts and not package.depends_on(*_SERVERS):
        version = package.dependencies[generator].lstrip("^~>=")
        folder = _GENERATORS[generator][0]
        reason = f"package.json builds with {generator} {version}, which writes files to {folder}"
        return Detection(FRAMEWORK, (reason,))
    for folder in ("", "public/"):
        if tree.has(f"{folder}index.html") and "start" not in package.scripts:
            return Detection(FRAMEWORK, (f"{folder}index.html is there, and nothing to start",))
    return None


def plan(context: Context, detection: Detection) -> BuildPlan:
    """Run the generator, if there is one, and keep what it wrote."""
    request, tree = context.request, context.tree
    package, manager = read_package(context.product), find_manager(tree)
    build = request.command or (
        run_script(package, "build", manager) if "build" in package.scripts else ""
    )
    installs = bool(build) and (needs_install(tree) or bool(request.install))
    install = install_phase(tree, request.install)
    return BuildPlan(
        framework=FRAMEWORK,
        reasons=detection.reasons,
        notes=detection.notes,
        phases=(
            *((install,) if installs else ()),
            *((Phase("build", build, build, {"GANTRY_BUILD": context.build_id}),) if build else ()),
        ),
        packages=packages_of(tree, install, context.versions.node)
        if installs and needs_install(tree)
        else None,
        caches=(*manager.caches, Cache("astro", "node_modules/.astro")) if installs else (),
        collect=_collect(context, built=bool(build)),
        build_env=manager_env(tree),
        env={"GANTRY_BUILD": context.build_id},
        assets=_assets(context),
        engine="gantry",
    )


def _collect(context: Context, *, built: bool) -> Collect:
    output = context.request.output
    if output:
        return Collect("folder", (output,), needs="index.html")
    if not built:
        folder = "" if context.product.has("index.html") else "public"
        return Collect("folder", (folder,), needs="index.html")
    generator = read_package(context.product).depends_on(*_GENERATORS)
    first = (_GENERATORS[generator][0],) if generator else ()
    return Collect(
        "folder", (*first, *(name for name in _OUTPUTS if name not in first)), "index.html"
    )


def _assets(context: Context) -> dict[str, str]:
    generator = read_package(context.product).depends_on(*_GENERATORS)
    folder = _GENERATORS[generator][1] if generator else ""
    return {f"/{folder}": folder} if folder else {}
