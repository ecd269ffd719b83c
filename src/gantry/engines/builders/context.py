"""What every builder is given: the request, the tree, and the machine's tools. Builders are pure functions of it."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from gantry.engines.builders.plan import Versions
from gantry.engines.builders.protocol import BuildRequest
from gantry.engines.builders.tree import Tree
from gantry.engines.builders.workspaces import members

_LOCKS = (
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "bun.lock",
    "bun.lockb",
)


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that a plan may depend on.

    Attributes:
        tree: what is copied into the build: the product's folder, or the whole snapshot when packages are
            installed from its top.
        root: the product's folder inside `tree`.
        build_id: first digits of the request's key; known before the build, and the same whenever it is repeated.
        versions: of the tools that the product gets.
    """

    request: BuildRequest
    tree: Tree
    root: str
    build_id: str
    versions: Versions

    @property
    def product(self) -> Tree:
        """The product's folder."""
        return self.tree.inside(self.root)

    def below(self, path: str) -> str:
        """`path` of the product as seen from the top of the tree."""
        return f"{self.root}/{path}" if self.root else path


def scope(request: BuildRequest) -> tuple[str, str]:
    """The folder of the snapshot that a build can depend on, and the product's folder inside it.

    A product in a subfolder is a world of its own, unless its packages are installed from the top (a workspace).
    """
    root = request.root.strip("/")
    top = Tree(request.source_root)
    product = top.inside(root)
    locks = _LOCKS if product.has("package.json") else ("uv.lock",)
    if not root or product.first(*locks):
        return root, ""
    for above in PurePosixPath(root).parents:
        folder = "" if above == PurePosixPath() else str(above)
        below = root.removeprefix(f"{folder}/") if folder else root
        tree = top.inside(folder)
        if tree.first(*locks) or below in members(tree).values():
            return folder, below
    return root, ""
