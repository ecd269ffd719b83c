"""Plans as golden files: what would be run, kept, collected and started for typical trees.

`GANTRY_WRITE_GOLDEN=1` writes them anew; look at the difference before it is committed.
"""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from gantry.engines.builders.detect import make_plan
from gantry.engines.builders.packages import install_phase, packages_of
from gantry.engines.builders.plan import BuildPlan, Versions
from gantry.engines.builders.tree import Tree
from tests.support.builders import (
    ASGI_APP,
    NEXT_PACKAGE,
    NODE_PACKAGE,
    a_context,
    a_request,
    write_tree,
)

_GOLDEN = Path(__file__).parents[1] / "golden" / "builders"
_LOCK = {"package-lock.json": '{"lockfileVersion": 3}'}
_EXPORT = 'export default { output: "export", basePath: "/docs" };'

CASES: dict[str, tuple[dict[str, str], dict[str, object]]] = {
    "next": ({"package.json": NEXT_PACKAGE, **_LOCK}, {"action_key": "a-key"}),
    "next-export": ({"package.json": NEXT_PACKAGE, "next.config.mjs": _EXPORT, **_LOCK}, {}),
    "next-in-workspace": (
        {"package.json": '{"workspaces": ["apps/*"]}', "apps/web/package.json": NEXT_PACKAGE, **_LOCK},
        {"root": "apps/web"},
    ),
    "node": (
        {"package.json": '{"scripts": {"start": "node a.js", "build": "tsc"}, "dependencies": {"x": "1"}}', **_LOCK},
        {},
    ),
    "node-without-packages": ({"package.json": NODE_PACKAGE}, {}),
    "pnpm": (
        {"package.json": '{"scripts": {"start": "node a.js"}, "packageManager": "pnpm@9.15.9+sha512.0"}', "pnpm-lock.yaml": ""},
        {},
    ),
    "vite": (
        {"package.json": '{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "7"}}', **_LOCK},
        {},
    ),
    "html": ({"index.html": "<h1>hello</h1>"}, {}),
    "python": ({"main.py": ASGI_APP, "requirements.txt": "uvicorn==0.54"}, {}),
    "python-bare": ({"main.py": ASGI_APP}, {}),
    "command": ({"main.go": ""}, {"command": "go build -o shop .", "start": "./shop", "output": "bin"}),
}  # fmt: skip


def _plan(folder: Path, case: str) -> BuildPlan:
    files, changes = CASES[case]
    return make_plan(a_context(a_request(write_tree(folder, files), **changes)))


@pytest.mark.parametrize("case", CASES)
def test_a_plan_is_what_the_golden_file_says(tmp_path: Path, case: str) -> None:
    plan = _plan(tmp_path, case)
    if plan.packages is not None:  # depends on the machine
        plan = replace(plan, packages=replace(plan.packages, key="<key>"))
    text = json.dumps(asdict(plan), indent=1) + "\n"
    file = _GOLDEN / f"{case}.json"
    if os.environ.get("GANTRY_WRITE_GOLDEN"):
        file.write_text(text)
    assert file.read_text() == text


@pytest.mark.parametrize("case", CASES)
def test_a_plan_survives_its_way_to_the_runner(tmp_path: Path, case: str) -> None:
    plan = _plan(tmp_path, case)
    assert BuildPlan.from_json(json.loads(json.dumps(asdict(plan)))) == plan


@pytest.mark.parametrize("case", [name for name in CASES if name not in ("command",)])
def test_what_starts_listens_where_it_is_told(tmp_path: Path, case: str) -> None:
    plan = _plan(tmp_path, case)
    # Static sites are started by a server of ours; Node programs read the variables themselves.
    assert plan.engine in ("gantry", "node") or "$PORT" in " ".join(plan.web)


@pytest.mark.parametrize(
    "case",
    ["next", "next-export", "next-in-workspace", "vite", "html", "pnpm", "python", "command"],
)
def test_commands_of_the_manifest_run_in_all_that_was_built(tmp_path: Path, case: str) -> None:
    files, changes = CASES[case]
    request = a_request(
        write_tree(tmp_path, files), **changes, commands=("npx drizzle-kit migrate",)
    )
    plan = make_plan(a_context(request))
    serves_everything = plan.collect.method == "tree" and plan.collect.prune is None
    assert plan.collect.workspace or serves_everything


def _key(folder: Path, files: dict[str, str], node: str = "24.0.0") -> str:
    tree = Tree(write_tree(folder, files))
    return packages_of(tree, install_phase(tree, ""), Versions(node=node)).key


def test_the_packages_key_follows_what_an_installation_depends_on(tmp_path: Path) -> None:
    package = {"name": "shop", "dependencies": {"x": "1"}}
    base = {"package.json": json.dumps(package), **_LOCK}
    key = _key(tmp_path / "base", base)
    renamed = json.dumps(package | {"name": "other", "scripts": {"build": "tsc"}})
    assert _key(tmp_path / "renamed", base | {"package.json": renamed, "src/a.ts": "1"}) == key
    others = {
        "lock": base | {"package-lock.json": '{"lockfileVersion": 3, "packages": {}}'},
        "wanted": base | {"package.json": json.dumps(package | {"dependencies": {"x": "2"}})},
        "npmrc": base | {".npmrc": "registry=http://localhost:4873"},
        "patch": base | {"patches/x.patch": "-a\n+b"},
        "schema": base | {"prisma/schema.prisma": "model A {}"},
        "script": base | {"package.json": json.dumps(package | {"scripts": {"postinstall": "x"}})},
    }
    keys = {name: _key(tmp_path / name, files) for name, files in others.items()}
    assert key not in keys.values()
    assert len(set(keys.values())) == len(keys)
    assert _key(tmp_path / "node", base, node="26.0.0") != key


_POETRY = '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
_HATCH = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
_SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\n'
_NAME = '[project]\nname = "my-shop"\nversion = "1"\n'


@pytest.mark.parametrize(
    ("pyproject", "file", "installed"),
    [
        (_NAME + _POETRY, "", False),  # what `poetry init` writes beside a main.py
        (_NAME + _POETRY, "my_shop/__init__.py", True),
        (_NAME + _POETRY, "src/my_shop/__init__.py", True),
        (_NAME + _POETRY, "my_shop.py", True),
        (_NAME + _POETRY + '[tool.poetry]\npackages = [{include = "lib"}]\n', "", True),
        (_NAME + _POETRY + "[tool.poetry]\npackage-mode = false\n", "my_shop.py", False),
        ('[tool.poetry]\nname = "My.Shop"\n' + _POETRY, "my_shop/__init__.py", True),
        (_NAME + _HATCH, "", False),
        (_NAME + _HATCH + '[tool.hatch.build.targets.wheel]\npackages = ["lib"]\n', "", True),
        (_NAME + _SETUPTOOLS, "", True),
        (_NAME, "my_shop.py", False),
    ],
)
@pytest.mark.parametrize("lock", ["poetry.lock", "pdm.lock"])
def test_a_product_is_installed_itself_where_there_is_something_to_install(
    tmp_path: Path, pyproject: str, file: str, installed: bool, lock: str
) -> None:
    files = {"pyproject.toml": pyproject, lock: "", "main.py": ASGI_APP} | (
        {file: ""} if file else {}
    )
    plan = make_plan(a_context(a_request(write_tree(tmp_path, files))))
    assert ("add --no-deps ." in plan.phases[0].command) is installed
    assert (plan.packages is None) is installed, "packages alone are kept from build to build"


@pytest.mark.parametrize(
    ("dependency", "requirement"),
    [
        ('fastapi = "^0.115.2"', "fastapi>=0.115.2,<0.116"),
        ('django = "^5.2"', "django>=5.2,<6"),
        ('django = "~5.2.1"', "django>=5.2.1,<5.3"),
        ('django = "~5"', "django>=5,<6"),
        ('django = "5.2.1"', "django==5.2.1"),
        ('django = "5.2.*"', "django==5.2.*"),
        ('django = ">=5,<6"', "django>=5,<6"),
        ('django = "~=5.2"', "django~=5.2"),
        ('django = "*"', "django"),
        ('django = "^4.2 || ^5.2"', "django"),
        ('uvicorn = {version = "^0.30", extras = ["standard"]}', "uvicorn[standard]>=0.30,<0.31"),
        ('tool = {git = "https://example.org/t.git", rev = "v1"}', "tool @ git+https://example.org/t.git@v1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["", "package-mode = false\n"])
def test_what_poetry_declares_is_installed_also_without_a_lock(
    tmp_path: Path, dependency: str, requirement: str, mode: str
) -> None:
    text = f'[tool.poetry]\nname = "shop"\n{mode}[tool.poetry.dependencies]\npython = "^3.11"\n{dependency}\n'
    optional = 'extra = {version = "1", optional = true}\n'
    files = {"pyproject.toml": text + optional + _POETRY, "main.py": ASGI_APP}
    plan = make_plan(a_context(a_request(write_tree(tmp_path, files))))
    assert f"add '{requirement}'" in plan.phases[0].command.splitlines()
