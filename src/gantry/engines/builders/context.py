"""What every builder is given: the request, the tree, and the machine's tools. Builders are pure functions of it."""

from dataclasses import dataclass

from gantry.engines.builders.protocol import BuildRequest
from gantry.engines.builders.tree import Tree


@dataclass(frozen=True, slots=True)
class Versions:
    """Versions of the tools that builds use."""

    node: str
    python: str


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that a plan may depend on.

    Attributes:
        tree: what is copied into the build: the product's folder, or the whole snapshot when packages are
            installed from its top.
        root: the product's folder inside `tree`.
        build_id: first digits of the request's key; known before the build, and the same whenever it is repeated.
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
    top, product = Tree(request.source_root), Tree(request.source_root / root)
    locks = ("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "uv.lock")
    if root and top.first(*locks) and not product.first(*locks):
        return "", root
    return root, ""
