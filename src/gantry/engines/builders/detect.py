"""Which builder a tree needs. The first one that recognises it wins; the order goes from special to general."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from gantry.config.public_variables import CONFIGURATIONS, prefixes_of
from gantry.engines.builders import command, nextjs, node, python, static, versions as versions_
from gantry.engines.builders.candidates import find_products
from gantry.engines.builders.context import Context, scope
from gantry.engines.builders.plan import BuildPlan
from gantry.engines.builders.protocol import BuildRequest, Detection
from gantry.engines.builders.tree import Tree, read_package
from gantry.engines.builders.workspaces import folders
from gantry.kernel.errors import UserError

_MAX_NAMED = 8
_MAX_FOLDERS = 200
_NUXT = ("nuxt.config.ts", "nuxt.config.js")
_READ = re.compile(r"\b(?:process|import\.meta)\.env(?:\.|\[[\"'])([A-Za-z_]\w*)")
_DETECT: tuple[Callable[[Tree], Detection | None], ...] = (
    nextjs.detect,
    python.detect,
    static.detect,
    node.detect,
)
_PLAN: dict[str, Callable[[Context, Detection], BuildPlan]] = {
    nextjs.FRAMEWORK: nextjs.plan,
    python.FRAMEWORK: python.plan,
    static.FRAMEWORK: static.plan,
    node.FRAMEWORK: node.plan,
    command.FRAMEWORK: command.plan,
}


def recognise(tree: Tree) -> Detection | None:
    """What `tree` is made with; `None` when nothing tells."""
    return next((found for looks in _DETECT if (found := looks(tree)) is not None), None)


def detect(tree: Tree) -> Detection:
    """What `tree` is made with.

    Raises:
        UserError: `build.unknown-framework` with what was looked for.
    """
    if (detection := recognise(tree)) is not None:
        return detection
    if products := find_products(tree, _source_files(tree), recognise)[:_MAX_NAMED]:
        named = ", ".join(f"{found.folder} ({found.detection.framework})" for found in products)
        raise UserError(
            "build.unknown-framework",
            f"there is no product in this folder itself, but in folders below: {named}",
            hint=f'set [project] root = "{products[0].folder}" in gantry.toml, a project for each product',
        )
    names = [name for name in tree.names() if not name.startswith(".")]
    found = ", ".join(names[:_MAX_NAMED]) or "nothing at all"
    container = "; a Dockerfile is not built yet" if tree.has("Dockerfile") else ""
    raise UserError(
        "build.unknown-framework",
        "no product was recognised: looked for a package.json (Next.js, a site generator, a start script), a Python "
        f"application (requirements.txt, pyproject.toml, main.py) and an index.html; the folder has {found}{container}",
        hint='set [project] root to the product\'s folder, or [processes.web] command = "..." in gantry.toml',
    )


def _source_files(tree: Tree) -> Iterator[str]:
    """Files in folders that a product may begin in."""
    for folder in islice(folders(tree), _MAX_FOLDERS):
        yield from (f"{folder}/{name}" for name in tree.names(folder))


def choose(request: BuildRequest, product: Tree) -> Detection:
    """The detection that a request gets: what the manifest forces, else what the tree shows.

    Raises:
        UserError: `build.unknown-framework`.
    """
    if request.framework and request.framework not in _PLAN:
        names = ", ".join(sorted(_PLAN))
        raise UserError(
            "build.unknown-framework",
            f"there is no framework {request.framework!r}; there are {names}",
            hint="fix [build] framework in gantry.toml, or leave it out",
        )
    try:
        detection = detect(product)
    except UserError:
        by_command = command.detect(request)
        if by_command is None and not request.framework:
            raise
        detection = by_command or Detection(request.framework, ())
    if request.framework and request.framework != detection.framework:
        return Detection(request.framework, (f"gantry.toml says framework {request.framework}",))
    if request.framework:
        return replace(detection, reasons=("gantry.toml says so", *detection.reasons))
    return detection


def public_prefixes(request: BuildRequest) -> tuple[str, ...]:
    """See `Workshop.public_prefixes`. A workspace may declare its frameworks at the top."""
    seen, root = scope(request)
    top = Tree(request.source_root / seen)
    trees = (top, top.inside(root))
    packages = {name for tree in trees for name in read_package(tree).dependencies}
    configuration = (trees[1].text(name) or "" for name in CONFIGURATIONS)
    return prefixes_of(packages, "\n".join(configuration))


def make_plan(context: Context) -> BuildPlan:
    """The plan for a request.

    Raises:
        UserError: `build.unknown-framework`.
    """
    detection = choose(context.request, context.product)
    plan = _PLAN[detection.framework](context, detection)
    reasons = (*plan.reasons, *_versions(context, plan), *_unseen(context))
    return replace(plan, reasons=reasons)


def _unseen(context: Context) -> Iterator[str]:
    """Variables that a configuration reads and that the build does not get: what is made of them is `undefined`, and the
    build may be well for all that.
    """
    withheld = set(context.request.withheld)
    for name in (*nextjs.CONFIGS, *CONFIGURATIONS, *_NUXT) if withheld else ():
        read = set(_READ.findall(context.product.text(name) or "")) & withheld
        if read:
            names = ", ".join(f'"{variable}"' for variable in sorted(read)[:_MAX_NAMED])
            yield f"{name} reads what the build does not get: [build] env = [{names}] in gantry.toml"


def _versions(context: Context, plan: BuildPlan) -> Iterator[str]:
    """Which tools the product gets, where something asks for them."""
    product, top, versions = context.product, context.tree, context.versions
    node_ = versions_.node_wish(product, top, context.request.node)
    if node_ is not None and (plan.engine == "node" or product.has("package.json")):
        yield f"it gets Node {versions.node}: {node_.where} asks for {node_.text}"
    python_ = versions_.python_wish(product, top, context.request.python)
    if python_ is not None and plan.engine == "python":
        yield f"it gets Python {versions.python}: {python_.where} asks for {python_.text}"
    if versions.manager and any(phase.name == "install" for phase in plan.phases):
        yield f"its packages are installed by {versions.manager}"
