"""Which builder recognises which tree, and what it says about it."""

from pathlib import Path

import pytest

from gantry.engines.builders.detect import choose, detect, make_plan
from gantry.engines.builders.tree import Tree
from gantry.kernel.errors import UserError
from tests.support.builders import (
    ASGI_APP,
    NEXT_PACKAGE,
    NODE_PACKAGE,
    a_context,
    a_request,
    write_tree,
)

_VITE = '{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "^7.1.0"}}'
_VITE_AND_START = '{"scripts": {"build": "vite build", "start": "node s.js"}, "dependencies": {"vite": "7", "express": "5"}}'

TREES = [
    ("nextjs", {"package.json": NEXT_PACKAGE}, "package.json depends on next 16.4.0"),
    ("nextjs", {"package.json": "{}", "next.config.ts": ""}, "next.config.ts is there"),
    ("nextjs", {"package.json": NEXT_PACKAGE, "requirements.txt": ""}, "depends on next"),
    ("static", {"package.json": _VITE}, "builds with vite 7.1.0, which writes files to dist"),
    ("static", {"index.html": "<h1>hello</h1>"}, "index.html is there"),
    ("static", {"public/index.html": ""}, "public/index.html is there"),
    ("node", {"package.json": _VITE_AND_START}, "start script: node s.js"),
    ("node", {"package.json": NODE_PACKAGE}, "start script: node server.js"),
    ("node", {"server.js": ""}, "server.js is there"),
    ("node", {"package.json": '{"main": "lib/run.js"}', "lib/run.js": ""}, "lib/run.js is there"),
    ("python", {"main.py": ASGI_APP}, "main.py has the ASGI application app"),
    ("python", {"main.py": "from fastapi import FastAPI\napi = FastAPI()", "requirements.txt": "fastapi"},
     "main.py has the ASGI application api"),
    ("python", {"app.py": "web: Flask = Flask(__name__)"}, "app.py has the WSGI application web"),
    ("python", {"manage.py": "", "shop/wsgi.py": "application = get_wsgi_application()"},
     "shop/wsgi.py has the WSGI application application"),
    ("python", {"pyproject.toml": "[project]"}, "pyproject.toml is there"),
]  # fmt: skip


@pytest.mark.parametrize(("framework", "files", "reason"), TREES)
def test_a_tree_is_recognised_with_a_reason(
    tmp_path: Path, framework: str, files: dict[str, str], reason: str
) -> None:
    detection = detect(Tree(write_tree(tmp_path, files)))
    assert detection.framework == framework
    assert any(reason in given for given in detection.reasons), detection.reasons


@pytest.mark.parametrize("files", [{}, {"README.md": "hello"}, {"package.json": "not json"}])
def test_an_unknown_tree_is_refused_with_what_was_looked_for(
    tmp_path: Path, files: dict[str, str]
) -> None:
    with pytest.raises(UserError) as refusal:
        detect(Tree(write_tree(tmp_path, files)))
    assert refusal.value.code == "build.unknown-framework"
    assert "package.json" in refusal.value.message
    assert "gantry.toml" in refusal.value.hint


def test_an_unknown_tree_is_refused_by_what_people_see(tmp_path: Path) -> None:
    files = {".github/ci.yml": "", ".eslintrc.js": "", "Dockerfile": "FROM x", "main.go": ""}
    with pytest.raises(UserError) as refusal:
        detect(Tree(write_tree(tmp_path, files)))
    assert (
        "the folder has Dockerfile, main.go; a Dockerfile is not built yet" in refusal.value.message
    )


def test_next_says_what_it_will_set_and_where_the_health_path_is(tmp_path: Path) -> None:
    files = {"package.json": NEXT_PACKAGE, "src/app/api/health/route.ts": "", "next.config.ts": ""}
    detection = detect(Tree(write_tree(tmp_path, files)))
    assert any('next.config.ts does not set output: "standalone"' in n for n in detection.notes)
    assert detection.suggested == {"processes.web.health.path": "/api/health"}


def test_next_without_a_configuration_names_none(tmp_path: Path) -> None:
    (note, _) = detect(Tree(write_tree(tmp_path, {"package.json": NEXT_PACKAGE}))).notes
    assert note.startswith("there is no next.config that sets output")


def test_standalone_output_and_a_lock_leave_nothing_to_note(tmp_path: Path) -> None:
    config = 'const config = { output: "standalone" };\nexport default config;'
    files = {"package.json": NEXT_PACKAGE, "next.config.mjs": config, "package-lock.json": "{}"}
    assert detect(Tree(write_tree(tmp_path, files))).notes == ()


def test_the_manifest_has_the_last_word(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"package.json": NODE_PACKAGE})
    detection = choose(a_request(root, framework="static"), Tree(root))
    assert detection.framework == "static"
    assert detection.reasons == ("gantry.toml says framework static",)


def test_a_start_command_makes_any_tree_a_product(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"main.go": "package main"})
    detection = choose(a_request(root, start="./shop"), Tree(root))
    assert detection.framework == "command"
    assert "./shop" in detection.reasons[0]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"package.json": NEXT_PACKAGE, "next.config.ts": "env: { API: process.env.API_URL, B: process.env['TOKEN'] }"},
         'next.config.ts reads what the build does not get: [build] env = ["API_URL", "TOKEN"] in gantry.toml'),
        ({"package.json": _VITE, "vite.config.ts": "define: { api: process.env.API_URL, n: process.env.NODE_ENV }"},
         'vite.config.ts reads what the build does not get: [build] env = ["API_URL"] in gantry.toml'),
        ({"package.json": NEXT_PACKAGE, "next.config.ts": "env: { API: process.env.API_URL_2, B: API_URL }"}, ""),
    ],
)  # fmt: skip
def test_a_configuration_that_reads_what_the_build_does_not_get_is_named(
    tmp_path: Path, files: dict[str, str], said: str
) -> None:
    root = write_tree(tmp_path, files)
    plan = make_plan(a_context(a_request(root, withheld=("API_URL", "OTHER", "TOKEN"))))
    assert [reason for reason in plan.reasons if "does not get" in reason] == (
        [said] if said else []
    )


@pytest.mark.parametrize(
    ("files", "install", "build"),
    [
        ({"package.json": '{"scripts": {"build": "make"}, "dependencies": {"x": "1"}}', "package-lock.json": "{}"}, "npm ci", "make"),
        ({"package.json": '{"devDependencies": {"x": "1"}}', "pnpm-lock.yaml": ""}, "pnpm install", ""),
        ({"Pipfile": "[packages]\nx = '*'"}, "add x", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("framework", ["", "command"])
def test_a_start_command_leaves_installation_and_build_as_they_are(
    tmp_path: Path, files: dict[str, str], install: str, build: str, framework: str
) -> None:
    root = write_tree(tmp_path, files)
    plan = make_plan(a_context(a_request(root, start="./shop", framework=framework)))
    assert plan.web == ("./shop",)
    first, *others = plan.phases
    assert (first.name, install in first.command.replace("'", "")) == ("install", True)
    assert [phase.command for phase in others] == ([build] if build else [])


def test_a_framework_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are command, nextjs, node, python, static"):
        choose(a_request(tmp_path, framework="rails"), Tree(tmp_path))


def test_links_that_lead_out_of_the_tree_are_not_followed(tmp_path: Path) -> None:
    secret = write_tree(tmp_path, {"outside/secret.json": '{"a": "b"}'})
    tree = Tree(write_tree(tmp_path / "tree", {"here.txt": "text"}))
    (tree.root / "package.json").symlink_to(secret / "outside/secret.json")
    assert tree.text("package.json") is None
    assert tree.json("package.json") == {}
    assert tree.text("../outside/secret.json") is None
    assert tree.text("here.txt") == "text"
