"""A repository's products: the one at its top, or those in folders below; libraries and tests are none."""

import json
from pathlib import Path

import pytest

from gantry.engines.builders.candidates import find_products
from gantry.engines.builders.detect import recognise
from gantry.engines.builders.tree import Tree
from tests.support.builders import write_tree

NEXT = json.dumps({"dependencies": {"next": "16"}, "scripts": {"build": "next build"}})
FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"
TURBO = json.dumps(
    {"workspaces": ["apps/*"], "main": ".eslintrc.js", "scripts": {"start": "turbo start"}}
)


def _found(folder: Path, files: dict[str, str]) -> dict[str, str]:
    write_tree(folder, files)
    return {item.folder: item.called for item in find_products(Tree(folder), files, recognise)}


@pytest.mark.parametrize(
    ("files", "products"),
    [
        ({"package.json": NEXT, "docs/index.html": ""}, {"": "Next.js"}),
        ({"package.json": TURBO, ".eslintrc.js": "", "apps/web/package.json": NEXT, "apps/admin/package.json": NEXT},
         {"apps/admin": "Next.js", "apps/web": "Next.js"}),
        ({"backend/main.py": FASTAPI, "backend/requirements.txt": "fastapi\n", "frontend/package.json": NEXT,
          "frontend/public/index.html": ""}, {"backend": "FastAPI", "frontend": "Next.js"}),
        ({"pnpm-workspace.yaml": "", "package.json": "{}", "apps/web/package.json": NEXT,
          "packages/ui/package.json": '{"main": "index.js"}', "packages/ui/index.js": "",
          "packages/kit/package.json": '{"devDependencies": {"vite": "7"}, "scripts": {"build": "vite build"}}',
          "packages/py/pyproject.toml": "[project]\nname = 'x'\n",
          "apps/web/e2e/package.json": '{"scripts": {"start": "x"}}', "tests/app/package.json": NEXT},
         {"apps/web": "Next.js"}),
        ({"package.json": TURBO, "server/package.json": '{"scripts": {"start": "node s"}, "dependencies": {"fastify": "5"}}',
          "site/package.json": '{"devDependencies": {"vite": "7"}, "scripts": {"build": "vite build"}}', "site/index.html": ""},
         {"server": "Fastify", "site": "Vite"}),
        ({"package.json": '{"workspaces": ["packages/*"], "scripts": {"start": "node server.js"}}', "server.js": "",
          "packages/a/package.json": "{}"}, {"": "Node"}),
        ({"go.mod": "", "templates/index.html": "", "README.md": ""}, {}),
        ({"a/b/c/package.json": NEXT, "a/b/c/d/package.json": NEXT, "x/a/b/c/package.json": NEXT}, {"a/b/c": "Next.js"}),
    ],
)  # fmt: skip
def test_products(tmp_path: Path, files: dict[str, str], products: dict[str, str]) -> None:
    assert _found(tmp_path, files) == products


def test_folders_that_are_no_source_are_not_looked_into(tmp_path: Path) -> None:
    write_tree(tmp_path, {"dist/site/index.html": "", "web/package.json": NEXT})
    (found,) = find_products(Tree(tmp_path), ["web/package.json"], recognise)
    assert found.folder == "web"
    assert found.detection.framework == "nextjs"
