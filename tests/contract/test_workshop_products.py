"""Products as other platforms know them: what they declare is what they get, with real package managers."""

import json
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gantry.engines.builders import confine
from gantry.engines.builders.protocol import BuildOutcome, BuildRequest
from gantry.engines.builders.workshop import LocalWorkshop
from gantry.engines.runtime.protocol import Limits
from tests.support.builders import (
    NODE_SERVER,
    a_request,
    a_workshop,
    fetch,
    run_command,
    run_task,
    running,
    write_tree,
)

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

_LIMITS = Limits(memory_bytes=3_000_000_000, processes=4096)


@pytest.fixture
def workshop(tmp_path: Path) -> LocalWorkshop:
    return a_workshop(tmp_path / "home")


async def _build(workshop: LocalWorkshop, request: BuildRequest) -> tuple[BuildOutcome, str]:
    spec = await workshop.build_task(replace(request, limits=_LIMITS))
    _, log = await run_task(spec)
    outcome = await workshop.outcome(spec.id)
    assert outcome is not None, log
    return outcome, log


def _package(**fields: object) -> str:
    return json.dumps({"name": "shop", "version": "1.0.0", "private": True, **fields})


async def test_what_a_build_copies_from_its_packages_is_its_own(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    copy = """
    const fs = require("fs");
    fs.mkdirSync("out", { recursive: true });
    fs.copyFileSync("node_modules/ms/package.json", "out/package.json");
    fs.writeFileSync("out/package.json", "{}");
    let kept = "altered";
    try { fs.writeFileSync("node_modules/ms/index.js", ""); } catch (error) { kept = error.code; }
    console.log("packages: " + kept);
    """
    files = {
        "package.json": _package(
            scripts={"build": "node build.js", "start": "node server.js"},
            dependencies={"ms": "2.1.3"},
        ),
        "build.js": copy,
        "server.js": NODE_SERVER,
    }
    request = a_request(write_tree(tmp_path / "tree", files))
    await _build(workshop, request)  # its packages go to the store
    outcome, log = await _build(workshop, replace(request, id="b-2"))
    assert outcome.artifact is not None, log
    assert "install" not in outcome.phases
    assert (outcome.artifact.root / "out/package.json").read_text() == "{}"
    if confine.owner() is None:  # without root each build has copies
        assert "packages: altered" in log
    else:
        assert "packages: EACCES" in log
        assert (outcome.artifact.root / "node_modules/ms/index.js").read_text()
    again, log = await _build(workshop, replace(request, id="b-3"))
    assert again.artifact is not None, log
    assert again.artifact.digest == outcome.artifact.digest


async def test_commands_have_the_tools_that_what_serves_has_not(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    """Without a lock file: removing packages must ask no registry."""
    files = {
        "package.json": _package(
            scripts={"start": "node server.js", "db:migrate": "semver 1.2.3 && node migrate.js"},
            devDependencies={"semver": "7.6.3", "esbuild": "0.25.0"},
            dependencies={"ms": "2.1.3"},
        ),
        "server.js": NODE_SERVER,
        "migrate.js": "console.log('migrated by', require('semver').valid('2.0.0'))",
    }
    root = write_tree(tmp_path / "tree", files)
    began_s = time.monotonic()
    outcome, log = await _build(workshop, a_request(root, commands=("npm run db:migrate",)))
    artifact = outcome.artifact
    assert artifact is not None, log
    assert outcome.phases["prune"] < 30
    assert time.monotonic() - began_s < 120
    assert not (artifact.root / "node_modules/semver").exists()
    assert (artifact.root / "node_modules/ms").exists()
    status, output = run_command(artifact, tmp_path, "npm run db:migrate")
    assert (status, "migrated by 2.0.0" in output) == (0, True), output
    status, output = run_command(artifact, tmp_path, "semver 1.2.3")
    assert (status, output.strip()) == (0, "1.2.3")


@pytest.mark.parametrize(
    ("changes", "says"),
    [({}, "development packages stay: semver starts the product"), ({"prune": False}, "")],
)
async def test_what_starts_the_product_is_not_removed(
    workshop: LocalWorkshop, tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    files = {
        "package.json": _package(
            scripts={"start": "semver 1.2.3 && node server.js"},
            devDependencies={"semver": "7.6.3"},
        ),
        "server.js": NODE_SERVER,
    }
    outcome, log = await _build(
        workshop, a_request(write_tree(tmp_path / "tree", files), **changes)
    )
    assert outcome.artifact is not None, log
    assert says in log
    with running(outcome.artifact, tmp_path) as port:
        assert fetch(port)[0] == 200


async def test_a_member_of_a_workspace_is_built_after_those_it_needs(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    files = {
        "package.json": _package(workspaces=["apps/*", "packages/*"]),
        "packages/text/package.json": json.dumps(
            {"name": "text", "version": "1.0.0", "main": "dist/index.js", "scripts": {"build": "node build.js"}}
        ),
        "packages/text/build.js": "fs=require('fs');fs.mkdirSync('dist');fs.writeFileSync('dist/index.js','module.exports=\"built\"')",
        "apps/web/package.json": json.dumps(
            {"name": "web", "version": "1.0.0", "scripts": {"start": "node server.js", "build": "node check.js"},
             "dependencies": {"text": "1.0.0", "semver": "7.6.3"}}
        ),
        "apps/web/check.js": "if (require('text') !== 'built') process.exit(7)",
        "apps/web/server.js": NODE_SERVER,
        "apps/web/migrate.js": "console.log(process.cwd(), require('text'))",
    }  # fmt: skip
    root = write_tree(tmp_path / "tree", files)
    outcome, log = await _build(
        workshop, a_request(root, root="apps/web", commands=("node migrate.js",))
    )
    assert outcome.artifact is not None, log
    with running(outcome.artifact, tmp_path) as port:
        assert fetch(port)[0] == 200
    assert run_command(outcome.artifact, tmp_path, "node migrate.js")[1].split() == [
        "/app/apps/web",
        "built",
    ]
    assert run_command(outcome.artifact, tmp_path, "semver 3.2.1")[1].split() == ["3.2.1"]


async def test_a_product_gets_the_node_that_it_declares(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    files = {
        "package.json": _package(scripts={"start": "node server.js"}),
        "server.js": NODE_SERVER,
        ".nvmrc": "v22.1.0\n",
    }
    outcome, log = await _build(workshop, a_request(write_tree(tmp_path / "tree", files)))
    assert outcome.artifact is not None, log
    assert "it gets Node 22.20.0: .nvmrc asks for v22.1.0" in outcome.artifact.reasons
    with running(outcome.artifact, tmp_path) as port:
        assert json.loads(fetch(port)[2])["version"] == "v22.20.0"


_PNPM_LOCK = """lockfileVersion: '9.0'
settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false
importers:
  .:
    dependencies:
      ms:
        specifier: 2.1.3
        version: 2.1.3
packages:
  ms@2.1.3:
    resolution: {integrity: sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA==}
snapshots:
  ms@2.1.3: {}
"""
_YARN_4_LOCK = """# This file is generated by running "yarn install" inside your project.
# Manual changes might be lost - proceed with caution!

__metadata:
  version: 8
  cacheKey: 10c0

"ms@npm:2.1.3":
  version: 2.1.3
  resolution: "ms@npm:2.1.3"
  languageName: node
  linkType: hard

"shop@workspace:.":
  version: 0.0.0-use.local
  resolution: "shop@workspace:."
  dependencies:
    ms: "npm:2.1.3"
  languageName: unknown
  linkType: soft
"""
_YARN_1_LOCK = """# yarn lockfile v1


ms@2.1.3:
  version "2.1.3"
  integrity sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA==
"""
_BUN_LOCK = """{
  "lockfileVersion": 1,
  "workspaces": { "": { "name": "shop", "dependencies": { "ms": "2.1.3" } } },
  "packages": {
    "ms": ["ms@2.1.3", "", {}, "sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA=="]
  }
}
"""


@pytest.mark.parametrize(
    ("lock", "text", "fields", "run"),
    [
        ("pnpm-lock.yaml", _PNPM_LOCK, {"packageManager": "pnpm@9.15.9"}, "pnpm run serve"),
        ("yarn.lock", _YARN_4_LOCK, {}, "yarn serve"),
        ("yarn.lock", _YARN_1_LOCK, {}, "yarn serve"),
        ("bun.lock", _BUN_LOCK, {}, "bun serve.ts"),
        ("bun.lock", _BUN_LOCK, {}, "bun run serve"),
    ],
    ids=["pnpm", "yarn-4", "yarn-1", "bun", "bun-script"],
)
async def test_the_declared_package_manager_installs_and_is_there_when_the_product_runs(
    workshop: LocalWorkshop, tmp_path: Path, lock: str, text: str, fields: dict[str, str], run: str
) -> None:
    server = NODE_SERVER.replace('require("http")', 'require("http"); require("ms")')
    files = {
        "package.json": _package(
            scripts={"start": run, "serve": "node server.js"},
            dependencies={"ms": "2.1.3"},
            **fields,
        ),
        lock: text,
        "server.js": server,
        "serve.ts": "const port: number = 1; require('./server.js')",
    }
    outcome, log = await _build(workshop, a_request(write_tree(tmp_path / "tree", files)))
    assert outcome.artifact is not None, log
    with running(outcome.artifact, tmp_path, offline=True) as port:
        assert fetch(port)[0] == 200


async def test_a_server_is_found_where_the_build_leaves_it(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    build = "fs=require('fs');fs.mkdirSync('.output/server',{recursive:true});fs.copyFileSync('s.mjs','.output/server/index.mjs')"
    files = {
        "package.json": _package(
            scripts={"build": "node build.js", "dev": "nuxt dev", "preview": "nuxt preview"},
            optionalDependencies={"nuxt": "file:./none"},
        ),
        "build.js": build,
        "s.mjs": 'import { createServer } from "node:http"; createServer((_, a) => a.end("nitro")).listen(process.env.PORT, process.env.HOST);',
    }
    request = a_request(write_tree(tmp_path / "tree", files), install="true")
    outcome, log = await _build(workshop, request)
    assert outcome.artifact is not None, log
    assert outcome.artifact.web == ("node", ".output/server/index.mjs")
    with running(outcome.artifact, tmp_path) as port:
        assert fetch(port)[2] == b"nitro"


_ASTRO_CONFIG = """
import { defineConfig } from "astro/config";
import node from "@astrojs/node";
export default defineConfig({ output: "server", adapter: node({ mode: "standalone" }) });
"""
_OF_VISITORS = {"Host": "shop.example:8443", "X-Forwarded-Host": "shop.example:8443", "X-Forwarded-Proto": "https"}  # fmt: skip


@pytest.mark.slow
@pytest.mark.exhaustive
async def test_an_astro_server_is_at_its_visitors_address(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    files = {
        "package.json": _package(
            type="module",
            scripts={"build": "astro build"},
            dependencies={"astro": "5.18.2", "@astrojs/node": "9.5.5"},
        ),
        "astro.config.mjs": _ASTRO_CONFIG,
        "src/pages/index.astro": "<p>{Astro.request.method} {Astro.url.href}</p>",
        "src/pages/go.js": "export const GET = ({ url }) => Response.redirect(new URL('/', url));",
    }
    outcome, log = await _build(workshop, a_request(write_tree(tmp_path / "tree", files)))
    assert outcome.artifact is not None, log
    with running(outcome.artifact, tmp_path) as port:
        assert b"GET https://shop.example:8443/<" in fetch(port, "/", _OF_VISITORS)[2]
        assert fetch(port, "/go", _OF_VISITORS)[1]["location"] == "https://shop.example:8443/"
        statuses = [
            httpx.post(
                f"http://127.0.0.1:{port}/",
                data={"a": "1"},
                headers={**_OF_VISITORS, "Origin": origin},
            ).status_code
            for origin in ("https://shop.example:8443", "https://elsewhere.example")
        ]
    assert statuses == [200, 403], "forms of its own pages pass, those of others do not"


async def test_a_build_that_leaves_nothing_to_start_says_so(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    files = {"package.json": _package(scripts={"build": "true"}, dependencies={"fastify": "5"})}
    request = a_request(write_tree(tmp_path / "tree", files), install="true")
    outcome, log = await _build(workshop, request)
    assert outcome.code == "build.no-start", log


_FLASK = """
from flask import Flask

def create_app(settings=None):
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: "factory")
    return app
"""


async def test_a_virtual_environment_is_kept_and_a_factory_is_served(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    files = {"requirements.txt": "flask==3.1.0\ngunicorn==23.0.0\n", "src/shop/__init__.py": _FLASK}
    request = a_request(write_tree(tmp_path / "tree", files))
    outcome, log = await _build(workshop, request)
    assert outcome.artifact is not None, log
    with running(outcome.artifact, tmp_path) as port:
        assert fetch(port)[2] == b"factory"
    again, log = await _build(workshop, replace(request, id="b-2"))
    assert again.artifact is not None, log
    assert again.artifact.digest == outcome.artifact.digest
    assert "install" not in again.phases
    assert run_command(again.artifact, tmp_path, "python -c 'import flask; print(1)'")[1] == "1\n"


@pytest.mark.parametrize(
    ("lock", "text"),
    [
        ("Pipfile.lock", '{"default": {"itsdangerous": {"version": "==2.1.2"}}, "develop": {}}'),
        pytest.param("poetry.lock", "", marks=pytest.mark.slow),  # installs Poetry
    ],
)
async def test_a_lock_of_another_python_tool_is_honoured(
    workshop: LocalWorkshop, tmp_path: Path, lock: str, text: str
) -> None:
    app = """
import itsdangerous
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": itsdangerous.__version__.encode()})
"""
    files = {
        "main.py": app,
        lock: text or (Path(__file__).parents[1] / "golden/builders/poetry.lock").read_text(),
    }
    if lock == "poetry.lock":
        files["pyproject.toml"] = (
            '[tool.poetry]\nname = "shop"\nversion = "1"\ndescription = ""\nauthors = []\n'
            '[tool.poetry.dependencies]\npython = ">=3.9"\nitsdangerous = "<3"\n'
            # As `poetry init` leaves it: to be built, without anything of its name that could be.
            '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
        )
    outcome, log = await _build(workshop, a_request(write_tree(tmp_path / "tree", files)))
    assert outcome.artifact is not None, log
    with running(outcome.artifact, tmp_path) as port:
        assert fetch(port)[2] == b"2.1.2"


async def test_a_plain_site_keeps_its_repository_to_itself(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    hidden = ["gantry.toml", ".gitignore", ".env.example", ".github/ci.yml", "build.config.ts", "package-lock.json",
              "vercel.json", "docs/.env", "linked"]  # fmt: skip
    shown = {
        ".well-known/security.txt": "text/plain",
        ".well-known/apple-app-site-association": "application/json",
        "README.md": "text/markdown",
        "site.config.js": "text/javascript",
        "a.webp": "image/webp",
        "LICENSE": "text/plain",
    }
    files = dict.fromkeys((*hidden[:-1], *shown), '{"applinks": {}}')
    root = write_tree(
        tmp_path / "tree",
        {**files, "LICENSE": "free", "index.html": '<script src="site.config.js">'},
    )
    (root / "linked").symlink_to("/etc/hostname")
    outcome, log = await _build(workshop, a_request(root))
    assert outcome.artifact is not None, log
    with running(outcome.artifact, tmp_path) as port:
        assert {path: fetch(port, f"/{path}")[2] for path in hidden} == dict.fromkeys(
            hidden, b'<script src="site.config.js">'
        ) | {
            path: fetch(port, f"/{path}")[2] for path in hidden if fetch(port, f"/{path}")[0] == 404
        }
        types = {path: fetch(port, f"/{path}")[1]["content-type"].split(";")[0] for path in shown}
        assert types == shown
        assert fetch(port, "/user/john.doe")[0] == 200
        assert fetch(port, "/v1.2")[0] == 200
        assert fetch(port, "/missing.png")[0] == 404
