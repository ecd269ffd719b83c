"""How products are started, which Node and Python they get, and what their package managers are called: as tables."""

import json
from pathlib import Path

import pytest

from gantry.engines.builders.detect import detect, make_plan
from gantry.engines.builders.packages import find_manager, manager_env
from gantry.engines.builders.publish import publish
from gantry.engines.builders.starting import is_development, programs_of
from gantry.engines.builders.tree import Tree, read_package
from gantry.engines.builders.versions import (
    Python,
    Wish,
    choose_node,
    choose_python,
    node_wish,
    python_wish,
)
from gantry.engines.builders.workspaces import members, needed
from gantry.kernel.commands import argv_of, joined
from gantry.kernel.errors import UserError
from tests.support.builders import a_context, a_request, write_tree


def _package(scripts: dict[str, str], *packages: str, **fields: object) -> str:
    return json.dumps({"scripts": scripts, "dependencies": dict.fromkeys(packages, "1"), **fields})


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("node server.js", ("node", "server.js")),
        ("exec node server.js", ("/bin/sh", "-c", "exec node server.js")),
        ("cd web && node server.js", ("/bin/sh", "-c", "cd web && node server.js")),
        ('node server.js --port "$PORT"', ("/bin/sh", "-c", 'exec node server.js --port "$PORT"')),
        ("A=1 node server.js", ("/bin/sh", "-c", "A=1 node server.js")),
        ("cd web", ("/bin/sh", "-c", "cd web")),
    ],
)
def test_a_command_is_the_program_itself_where_no_shell_is_needed(
    command: str, argv: tuple[str, ...]
) -> None:
    assert argv_of(command) == argv
    assert joined(argv).removeprefix("exec ") == command.removeprefix("exec ")


@pytest.mark.parametrize(
    ("command", "development"),
    [
        ("node server.js", False), ("node --watch server.js", True), ("nodemon server.js", True), ("nest start", True),
        ("next start", False), ("next dev", True), ("astro dev", True), ("vite", True), ("vite preview", True),
        ("nuxt start", False), ("react-scripts start", True), ("tsx src/index.ts", False), ("tsx watch src/index.ts", True),
        ("NODE_ENV=production node a.js", False), ("cross-env A=1 nodemon a.js", True), ("npm run dev", True),
        ("gatsby serve", True), ("docusaurus serve", True), ("react-router-serve ./build/server/index.js", False), ("serve -s build", True), ("fastify start app.js", False),
    ],
)  # fmt: skip
def test_a_command_for_development_is_known(
    tmp_path: Path, command: str, development: bool
) -> None:
    package = read_package(
        Tree(write_tree(tmp_path, {"package.json": _package({"dev": "vite dev"})}))
    )
    assert is_development(command, package) is development


def test_the_programs_of_a_command_are_those_of_its_scripts(tmp_path: Path) -> None:
    scripts = {
        "db:migrate": "npx drizzle-kit migrate && pnpm seed",
        "seed": "A=1 tsx seed.ts",
        "preseed": "prisma generate",
    }
    package = read_package(Tree(write_tree(tmp_path, {"package.json": _package(scripts)})))
    assert programs_of("npm run db:migrate -- --force", package) == {"drizzle-kit", "prisma", "tsx"}


_NEST = {"start": "nest start", "start:prod": "node dist/main", "build": "nest build"}
STARTED = [
    ({"package.json": _package({"build": "nuxt build"}, "nuxt")}, ".output/server/index.mjs"),
    ({"package.json": _package({"build": "vite build"}, "@sveltejs/kit", "@sveltejs/adapter-node")}, "build/handler.js"),
    ({"package.json": _package({"build": "astro build", "start": "astro dev"}, "astro", "@astrojs/node")}, "dist/server/entry.mjs"),
    ({"package.json": _package({"build": "react-router build"}, "@react-router/serve", "vite")}, "build/server/index.js"),
    ({"package.json": _package({"build": "nest build", "start": "nest start"}, "@nestjs/core")}, "dist/main.js"),
    ({"package.json": _package({"build": "tsc", "start": "nodemon src/server.js"}, "express"), "src/server.js": ""}, "src/server.js"),
    ({"package.json": _package({"build": "tsc"}, "fastify", main="dist/app.js")}, "dist/app.js"),
    ({"package.json": _package({"build": "true", "dev": "tsx watch src/index.ts"}, "hono", "tsx")}, "src/index.ts"),
    ({"package.json": _package({"build": "true", "dev": "bun run --hot src/index.ts"}, "hono")}, "src/index.ts"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "file"), STARTED)
def test_a_server_is_started_from_what_its_build_makes(
    tmp_path: Path, files: dict[str, str], file: str
) -> None:
    plan = make_plan(a_context(a_request(write_tree(tmp_path, files))))
    assert (plan.framework, plan.web) == ("node", ())
    assert file in [start.file for start in plan.starts]
    before = plan.starts[: [start.file for start in plan.starts].index(file)]
    assert all(start.file for start in before), "nothing that is always possible comes first"


@pytest.mark.parametrize(
    ("scripts", "file", "web"),
    [
        ({"start": "node server.js"}, "server.js", ("node", "server.js")),
        ({"start": "NODE_ENV=production node ./server.mjs"}, "server.mjs", ("/bin/sh", "-c", "NODE_ENV=production node ./server.mjs")),
        ({"start": "tsx src/server.ts"}, "src/server.ts", ("tsx", "src/server.ts")),
        ({"start": "node dist/server.js"}, "", ("node", "dist/server.js")),
        ({"start": "node server.js", "prestart": "node check.js"}, "server.js", ("npm", "run", "start")),
        ({"start": "nodemon server.js", "start:prod": "node server.js"}, "server.js", ("node", "server.js")),
    ],
)  # fmt: skip
def test_a_next_product_with_a_server_of_its_own_is_started_with_it(
    tmp_path: Path, scripts: dict[str, str], file: str, web: tuple[str, ...]
) -> None:
    package = _package({"build": "next build", **scripts}, "next")
    root = write_tree(tmp_path, {"package.json": package, **({file: ""} if file else {})})
    plan = make_plan(a_context(a_request(root)))
    assert (plan.framework, plan.web, plan.collect.method) == ("nextjs", web, "tree")
    assert any("starts a server of its own" in reason for reason in plan.reasons)
    assert "NEXT_PRIVATE_STANDALONE" not in plan.phases[-1].env


@pytest.mark.parametrize(
    "start",
    ["next start", "next start -p $PORT", "node .next/standalone/server.js", "node server.js", "nodemon server.js",
     "node node_modules/next/dist/bin/next start", "node scripts/migrate.js && next start", ""],
)  # fmt: skip
def test_a_start_script_that_only_starts_next_is_not_needed(tmp_path: Path, start: str) -> None:
    package = _package({"build": "next build", "start": start}, "next")
    plan = make_plan(a_context(a_request(write_tree(tmp_path, {"package.json": package}))))
    assert (plan.web, plan.collect.method) == (("node", "server.js"), "next")
    said = [note for note in plan.notes if "only Next.js is started" in note]
    assert bool(said) == ("&&" in start)


def test_what_bun_watches_is_started_by_bun(tmp_path: Path) -> None:
    files = {
        "package.json": _package({"dev": "bun run --hot src/index.ts"}, "hono"),
        "bun.lock": "{}",
        "src/index.ts": "",
    }
    plan = make_plan(a_context(a_request(write_tree(tmp_path, files))))
    assert [start.command for start in plan.starts][:1] == ["bun {}"]


def test_a_production_script_goes_before_one_for_development(tmp_path: Path) -> None:
    files = {"package.json": _package(_NEST, "@nestjs/core")}
    plan = make_plan(a_context(a_request(write_tree(tmp_path, files))))
    assert "node dist/main" in [start.command for start in plan.starts]
    assert not any(start.command == "nest start" for start in plan.starts)
    assert any("for development and is not used: nest start" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("package", "folder"),
    [
        (_package({"build": "vite build"}, "@sveltejs/kit", "@sveltejs/adapter-static", "vite"), "build"),
        (_package({"build": "nuxt generate"}, "nuxt"), ".output/public"),
        (_package({"build": "vite build", "start": "vite preview"}, "vite"), "dist"),
        (_package({"build": "react-scripts build", "start": "react-scripts start"}, "react-scripts"), "build"),
        (_package({"build": "ng build", "start": "ng serve"}, "@angular/core"), "dist/*/browser"),
        (_package({"build": "gatsby build", "start": "gatsby develop", "serve": "gatsby serve"}, "gatsby"), "public"),
        (_package({"build": "docusaurus build", "start": "docusaurus start", "serve": "docusaurus serve"}, "@docusaurus/core"), "build"),
    ],
)  # fmt: skip
def test_a_build_that_writes_files_only_is_a_site(
    tmp_path: Path, package: str, folder: str
) -> None:
    plan = make_plan(a_context(a_request(write_tree(tmp_path, {"package.json": package}))))
    assert plan.framework == "static"
    assert plan.collect.sources[0] == folder


@pytest.mark.parametrize(
    ("package", "config", "needs"),
    [
        (_package({"build": "vite build"}, "@sveltejs/kit", "@sveltejs/adapter-vercel", "vite"), "", "@sveltejs/adapter-node"),
        (_package({"build": "astro build"}, "astro", "@astrojs/vercel"), "import v from '@astrojs/vercel';", "@astrojs/node"),
    ],
)  # fmt: skip
def test_an_adapter_of_another_platform_is_refused_before_the_build(
    tmp_path: Path, package: str, config: str, needs: str
) -> None:
    root = write_tree(tmp_path, {"package.json": package, "astro.config.mjs": config})
    with pytest.raises(UserError, match=needs) as refused:
        make_plan(a_context(a_request(root)))
    assert refused.value.code == "build.foreign-adapter"


@pytest.mark.parametrize(
    ("packages", "config", "lock", "adds"),
    [
        (("@sveltejs/adapter-auto",), "", "package-lock.json", "npm install --no-save"),
        (("@sveltejs/adapter-auto",), "", "pnpm-lock.yaml", "pnpm add --save-dev"),
        (("@sveltejs/adapter-auto",), "", "yarn.lock", "yarn add --dev"),
        (("@sveltejs/adapter-auto", "@sveltejs/adapter-node"), "import auto from '@sveltejs/adapter-auto';", "bun.lock", ""),
    ],
)  # fmt: skip
def test_an_adapter_that_looks_where_it_runs_finds_a_node_server(
    tmp_path: Path, packages: tuple[str, ...], config: str, lock: str, adds: str
) -> None:
    package = _package({"build": "vite build"}, "@sveltejs/kit", "vite", *packages)
    root = write_tree(tmp_path, {"package.json": package, "svelte.config.js": config, lock: ""})
    plan = make_plan(a_context(a_request(root)))
    install, build = plan.phases
    assert plan.framework == "node"
    assert build.env["GCP_BUILDPACKS"] == "1"
    assert "GCP_BUILDPACKS" not in plan.env, "what is served knows nothing of it"
    assert ('"@sveltejs/adapter-node@$(' in install.command) is bool(adds)
    assert adds in install.command
    assert "build/handler.js" in [start.file for start in plan.starts]
    assert any("adapter-auto takes @sveltejs/adapter-node" in note for note in plan.notes)


@pytest.mark.parametrize(
    "packages",
    [("@sveltejs/adapter-node",), ("@sveltejs/adapter-auto", "@sveltejs/adapter-node"), ("express",)],
)  # fmt: skip
def test_an_adapter_that_is_chosen_stays(tmp_path: Path, packages: tuple[str, ...]) -> None:
    config = "import adapter from '@sveltejs/adapter-node';"
    package = _package({"build": "vite build"}, *packages)
    root = write_tree(tmp_path, {"package.json": package, "svelte.config.js": config})
    plan = make_plan(a_context(a_request(root)))
    assert not any("adapter-auto" in phase.command for phase in plan.phases)
    assert not any("GCP_BUILDPACKS" in phase.env for phase in plan.phases)


@pytest.mark.parametrize(
    "files",
    [
        {"package.json": _package({}, "lodash")},
        {"requirements.txt": "flask"},
        {"pyproject.toml": "[project]\nname = 'a'", "lib.py": "x = 1"},
    ],
)
def test_nothing_to_start_is_refused_before_the_build(
    tmp_path: Path, files: dict[str, str]
) -> None:
    root = write_tree(tmp_path, files)
    framework = "node" if "package.json" in files else ""
    with pytest.raises(UserError) as refused:
        make_plan(a_context(a_request(root, framework=framework)))
    assert refused.value.code == "build.no-start"
    assert make_plan(a_context(a_request(root, framework=framework, serves=False))).web == ()


@pytest.mark.parametrize(
    ("files", "web"),
    [
        ({"requirements.txt": "flask", "src/shop/__init__.py": "def create_app(x=None):\n    return Flask(__name__)"}, "gunicorn 'shop:create_app()'"),
        ({"api/main.py": "from fastapi import FastAPI\napi = FastAPI()", "requirements.txt": "fastapi\nuvicorn"}, "uvicorn api.main:api"),
        ({"manage.py": "", "shop/asgi.py": "application = get_asgi_application()",
          "shop/wsgi.py": "application = get_wsgi_application()"}, "gunicorn shop.wsgi:application"),
        ({"manage.py": "", "shop/asgi.py": "application = get_asgi_application()", "requirements.txt": "uvicorn",
          "shop/wsgi.py": "application = get_wsgi_application()"}, "uvicorn shop.asgi:application"),
        ({"wsgi.py": "from shop import create_app\napp = create_app()", "requirements.txt": "flask"}, "gunicorn wsgi:app"),
        ({"app.py": "app = dash.Dash(__name__)\nserver = app.server", "requirements.txt": "dash"}, "gunicorn app:server"),
        ({"pyproject.toml": '[tool.fastapi]\nentrypoint = "shop.web:site"'}, "uvicorn shop.web:site"),
    ],
)  # fmt: skip
def test_a_python_application_is_found(tmp_path: Path, files: dict[str, str], web: str) -> None:
    plan = make_plan(a_context(a_request(write_tree(tmp_path, files))))
    program, target = web.split()
    command = joined(plan.web)
    assert command.startswith(program)
    assert target in command


def test_django_collects_its_static_files_where_its_settings_say_so(tmp_path: Path) -> None:
    files = {"manage.py": "", "shop/settings.py": "STATIC_ROOT = BASE_DIR / 'files'",
             "shop/wsgi.py": "application = get_wsgi_application()"}  # fmt: skip
    plan = make_plan(a_context(a_request(write_tree(tmp_path, files))))
    assert [phase.command for phase in plan.phases][1:] == [
        "python manage.py collectstatic --noinput"
    ]
    (tmp_path / "shop/settings.py").write_text("STATIC_URL = '/static/'")
    assert len(make_plan(a_context(a_request(tmp_path))).phases) == 1


NODES = [
    ("20", "20"), ("v20.11.1", "20"), ("22.x", "22"), ("^20.1 || ^22", "22"), (">=18", "24"), (">= 18.0.0", "24"),
    (">=18 <21", "20"), ("lts/iron", "20"), ("lts/*", "24"), ("~20.11", "20"), ("16 - 20", "20"), ("*", "24"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "major"), NODES)
def test_a_declared_node_is_found(text: str, major: str) -> None:
    assert choose_node(Wish(text, ".nvmrc"), "24.19.0").split(".")[0] == major


@pytest.mark.parametrize("text", ["4.0.0", "18", ">=99", "nonsense"])
def test_a_node_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="the majors 20, 22, 24") as refused:
        choose_node(Wish(text, ".nvmrc"), "24.19.0")
    assert refused.value.code == "build.no-node"


_PYTHONS = (Python("3.12.1", "/p/3.12"), Python("3.13.0", "/p/3.13"), Python("3.9.18", "/p/3.9"))


@pytest.mark.parametrize(
    ("text", "version"),
    [("3.12", "3.12.1"), ("3.12.4", "3.12.1"), (">=3.12", "3.13.0"), (">=3.9,<3.11", "3.9.18"), ("^3.11", "3.11.7"),
     ("~3.12", "3.12.1"), ("3", "3.11.7"), ("cpython-3.12.1", "3.12.1")],
)  # fmt: skip
def test_a_declared_python_is_found(text: str, version: str) -> None:
    assert choose_python(Wish(text, ".python-version"), "3.11.7", _PYTHONS).version == version


@pytest.mark.parametrize("text", ["3.14", ">=3.14", "pypy3.9"])
def test_a_python_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(UserError) as refused:
        choose_python(Wish(text, ".python-version"), "3.11.7", _PYTHONS)
    assert refused.value.code == "build.no-python"


@pytest.mark.parametrize(
    ("files", "node", "python"),
    [
        ({".nvmrc": "# here\n20\n", "package.json": '{"engines": {"node": ">=18"}}'}, "20", None),
        ({"package.json": '{"engines": {"node": "22.x"}}'}, "22.x", None),
        ({"package.json": '{"volta": {"node": "20.1.0"}}', ".node-version": "22"}, "20.1.0", None),
        ({".tool-versions": "nodejs 22.1.0\npython 3.12.1\n"}, "22.1.0", "3.12.1"),
        ({"mise.toml": "[tools]\nnode = '22'\npython = ['3.12', '3.11']"}, "22", "3.12"),
        ({".mise.toml": "[tools]\nnode = { version = '20' }\npnpm = 'latest'"}, "20", None),
        ({"mise.toml": "[tools"}, None, None),
        ({"package.json": '{"devEngines": {"runtime": {"name": "node", "version": ">=22"}}, "engines": {"node": "20"}}'}, ">=22", None),
        ({"package.json": '{"devEngines": {"runtime": [{"name": "bun", "version": "1"}]}}'}, None, None),
        ({"runtime.txt": "python-3.12.1\n"}, None, "3.12.1"),
        ({".python-version": "3.13\n", "pyproject.toml": "[project]\nrequires-python = '>=3.9'"}, None, "3.13"),
        ({"pyproject.toml": "[project]\nrequires-python = '>=3.9'"}, None, ">=3.9"),
        ({"pyproject.toml": "[tool.poetry.dependencies]\npython = '^3.12'"}, None, "^3.12"),
        ({"Pipfile": "[requires]\npython_version = '3.12'"}, None, "3.12"),
    ],
)  # fmt: skip
def test_what_a_product_asks_for_is_read(
    tmp_path: Path, files: dict[str, str], node: str | None, python: str | None
) -> None:
    tree = Tree(write_tree(tmp_path, files))
    found = (node_wish(tree, tree), python_wish(tree, tree))
    assert tuple(wish.text if wish is not None else None for wish in found) == (node, python)


@pytest.mark.parametrize(
    ("files", "wanted", "install"),
    [
        ({"package-lock.json": ""}, "", "npm ci"),
        ({"pnpm-lock.yaml": "lockfileVersion: '6.0'"}, "pnpm@8", "pnpm install --frozen-lockfile"),
        ({"package.json": '{"packageManager": "pnpm@9.1.0+sha512.0"}', "pnpm-lock.yaml": ""}, "pnpm@9.1.0", "pnpm install"),
        ({"yarn.lock": "# yarn lockfile v1"}, "yarn@1", "yarn install --frozen-lockfile --production=false"),
        ({"yarn.lock": "__metadata:\n  version: 8"}, "yarn@4.12.0", "yarn install --immutable"),
        ({"bun.lock": "{}"}, "bun@1", "bun install --frozen-lockfile"),
        ({"package.json": '{"packageManager": "npm@10.8.2"}', "package-lock.json": ""}, "npm@10.8.2", "npm ci"),
        ({"package.json": '{"packageManager": "pnpm@file:/etc"}'}, "", "npm install"),
    ],
)  # fmt: skip
def test_the_package_manager_is_the_declared_one(
    tmp_path: Path, files: dict[str, str], wanted: str, install: str
) -> None:
    tree = Tree(write_tree(tmp_path, files))
    manager = find_manager(tree)
    assert manager.wanted == wanted
    assert manager.install.startswith(install)
    assert manager_env(tree)["npm_config_nodedir"] == "/opt/gantry/node"


_MONOREPO = {
    "package.json": '{"main": ".eslintrc.js", "workspaces": ["apps/*", "packages/*"], "scripts": {"start": "turbo run start"}}',
    ".eslintrc.js": "",
    "apps/web/package.json": _package({"build": "next build"}, "next", "ui"),
    "apps/api/package.json": _package({"start": "node a.js"}, "express"),
    "packages/ui/package.json": _package({"build": "tsc"}, "text", name="ui"),
    "packages/text/package.json": _package({"build": "tsc"}, name="text"),
    "backend/requirements.txt": "fastapi",
    "backend/main.py": "app = FastAPI()",
}


def test_the_top_of_a_workspace_names_its_products(tmp_path: Path) -> None:
    tree = Tree(write_tree(tmp_path, _MONOREPO))
    named = r"apps/api \(node\), apps/web \(nextjs\), backend \(python\)$"
    with pytest.raises(UserError, match=named) as refusal:
        detect(tree)
    assert 'root = "apps/api"' in refusal.value.hint


@pytest.mark.parametrize("kind", ["npm", "pnpm"])
def test_members_that_a_product_needs_are_built_first(tmp_path: Path, kind: str) -> None:
    files = dict(_MONOREPO)
    if kind == "pnpm":
        files |= {
            "package.json": "{}",
            "pnpm-workspace.yaml": "packages:\n  - 'apps/*'\n  - packages/*\n",
        }
    tree = Tree(write_tree(tmp_path, files))
    assert members(tree)["ui"] == "packages/ui"
    assert needed(tree, "apps/web") == ("packages/text", "packages/ui")


def test_only_what_is_for_visitors_is_published(tmp_path: Path) -> None:
    source = write_tree(
        tmp_path / "site",
        {"index.html": "app.config.js", "gantry.toml": "", ".env": "", "app.config.js": "", "vite.config.ts": "",
         "yarn.lock": "", "docs/.htaccess": "", "docs/a.html": "", ".well-known/a": "", "README.md": "",
         "infra/docker-compose.yml": "", "api/package.json": "", "api/tsconfig.build.json": "", "docs/Makefile": "",
         "demo/play.html": "<script src=play.config.js>", "demo/play.config.js": "", "demo/other.config.js": ""},
    )  # fmt: skip
    (source / "out").symlink_to("/etc")
    (source / "hidden").symlink_to(".env")
    (source / "inside").symlink_to("docs/a.html")
    publish(source, tmp_path / "shown", whole=True)
    shown = {
        str(path.relative_to(tmp_path / "shown"))
        for path in (tmp_path / "shown").rglob("*")
        if not path.is_dir()
    }
    assert shown == {
        "index.html",
        "app.config.js",
        "docs/a.html",
        ".well-known/a",
        "README.md",
        "inside",
        "demo/play.html",
        "demo/play.config.js",
    }
