"""Which products a repository holds: one at its top, or several in folders below."""

import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from gantry.engines.builders.protocol import Detection, Product
from gantry.engines.builders.tree import Tree, read_package

_MARKS = frozenset({"package.json", "pyproject.toml", "requirements.txt", "manage.py", "main.py", "app.py", "index.html",
                    "Pipfile", "server.js"})  # fmt: skip
# Made for tests and documents of other products, or pages that a product elsewhere fills in.
_NO_PRODUCTS = frozenset({"test", "tests", "e2e", "fixtures", "__tests__", "examples", "example", "templates", "public",
                          "static", "views", "coverage", "scripts", "node_modules", "dist", "build", "out"})  # fmt: skip
_MAX_DEPTH = 3
_MAX_FOLDERS = 300
_MAX_PRODUCTS = 20
_OF_A_WORKSPACE = re.compile(
    r"\b(?:turbo|nx|lerna|wsrun|concurrently)\b|--filter|--workspace|\b(?:npm|yarn|pnpm) .*-(?:w|r)\b|--recursive"
)
# A package -> what people call a product that is made with it; the first that is declared counts.
_CALLED = {
    "next": "Next.js", "nuxt": "Nuxt", "@sveltejs/kit": "SvelteKit", "@remix-run/node": "Remix",
    "@react-router/node": "React Router", "astro": "Astro", "gatsby": "Gatsby", "@docusaurus/core": "Docusaurus",
    "vitepress": "VitePress", "@11ty/eleventy": "Eleventy", "@nestjs/core": "NestJS", "fastify": "Fastify",
    "express": "Express", "hono": "Hono", "koa": "Koa", "vite": "Vite", "react-scripts": "Create React App",
}  # fmt: skip
_CALLED_IN_PYTHON = {"fastapi": "FastAPI", "django": "Django", "flask": "Flask", "starlette": "Starlette",
                     "litestar": "Litestar"}  # fmt: skip
_CALLED_AT_ALL = {"nextjs": "Next.js", "node": "Node", "python": "Python", "static": "files only"}

Recognise = Callable[[Tree], Detection | None]


def find_products(tree: Tree, paths: Iterable[str], recognise: Recognise) -> tuple[Product, ...]:
    """The products of a repository, in the order of their folders; empty when nothing was recognised.

    Parameters:
        paths: of its source files, relative to `tree`.
        recognise: says what a folder is made with, `None` when it is no product.
    """
    own = recognise(tree)
    if own is not None and not (_is_workspace(tree) and _only_leads(tree, own)):
        return (Product("", own, _called(tree, own)),)
    found: list[Product] = []
    for folder in _folders(paths):
        inside = tree.inside(folder)
        if any(folder.startswith(f"{product.folder}/") for product in found):
            continue  # what lies in a product is part of it
        detection = recognise(inside)
        if detection is not None and _serves(inside, detection):
            found.append(Product(folder, detection, _called(inside, detection)))
        if len(found) == _MAX_PRODUCTS:
            break
    if not found and own is not None:
        return (Product("", own, _called(tree, own)),)
    return tuple(sorted(found, key=lambda product: product.folder))


def _folders(paths: Iterable[str]) -> list[str]:
    """Folders with a file that products begin with."""
    found = set()
    for path in paths:
        parts = PurePosixPath(path).parts
        folders = parts[:-1]
        if (
            parts[-1] in _MARKS
            and 0 < len(folders) <= _MAX_DEPTH
            and not _NO_PRODUCTS & set(folders)
        ):
            found.add("/".join(folders))
    return sorted(found, key=lambda folder: (folder.count("/"), folder))[:_MAX_FOLDERS]


def _is_workspace(tree: Tree) -> bool:
    named = tree.first("pnpm-workspace.yaml", "lerna.json", "nx.json", "turbo.json")
    return bool(named) or "workspaces" in read_package(tree).raw


def _only_leads(tree: Tree, own: Detection) -> bool:
    """Whether what was recognised at a workspace's top only starts or builds its members."""
    scripts = read_package(tree).scripts
    if own.framework == "python":
        return False
    if own.framework == "node":
        return "start" not in scripts or _OF_A_WORKSPACE.search(scripts["start"]) is not None
    return _OF_A_WORKSPACE.search(scripts.get("build", "")) is not None


def _serves(tree: Tree, detection: Detection) -> bool:
    """Whether it is a product, and no library that looks like one."""
    package = read_package(tree)
    if detection.framework == "node":
        return "start" in package.scripts or bool(tree.first("Procfile", "server.js", "server.ts"))
    if detection.framework == "static" and package.depends_on("vite", "webpack", "parcel"):
        pages = package.depends_on(*_CALLED) not in ("", "vite")
        return pages or bool(tree.first("index.html", "public/index.html", "src/index.html"))
    if detection.framework == "python":
        return not any(note.startswith("no ASGI or WSGI") for note in detection.notes)
    return True


def _called(tree: Tree, detection: Detection) -> str:
    if detection.framework == "python":
        texts = [
            tree.text(file) or "" for file in ("requirements.txt", "pyproject.toml", "Pipfile")
        ]
        declared = set(re.findall(r"[a-z][a-z-]+", "\n".join(texts).lower()))
        named = next((name for name in _CALLED_IN_PYTHON if name in declared), "")
        return _CALLED_IN_PYTHON.get(named, "Python")
    name = read_package(tree).depends_on(*_CALLED)
    return _CALLED.get(name) or _CALLED_AT_ALL.get(detection.framework, detection.framework)
