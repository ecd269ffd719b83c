"""Which builder a tree needs. The first one that recognises it wins; the order goes from special to general."""

from collections.abc import Callable
from dataclasses import replace

from gantry.config.public_variables import prefixes_of
from gantry.engines.builders import command, nextjs, node, python, static
from gantry.engines.builders.context import Context, scope
from gantry.engines.builders.plan import BuildPlan
from gantry.engines.builders.protocol import BuildRequest, Detection
from gantry.engines.builders.tree import Tree, read_package
from gantry.kernel.errors import UserError

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
    found = ", ".join(tree.names()[:8]) or "nothing at all"
    raise UserError(
        "build.unknown-framework",
        "no product was recognised: looked for a package.json (Next.js, a site generator, a start script), a Python "
        f"application (requirements.txt, pyproject.toml, main.py) and an index.html; the folder has {found}",
        hint='set [project] root to the product\'s folder, or [processes.web] command = "..." in gantry.toml',
    )


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
    return prefixes_of({name for tree in trees for name in read_package(tree).dependencies})


def make_plan(context: Context) -> BuildPlan:
    """The plan for a request.

    Raises:
        UserError: `build.unknown-framework`.
    """
    detection = choose(context.request, context.product)
    return _PLAN[detection.framework](context, detection)
