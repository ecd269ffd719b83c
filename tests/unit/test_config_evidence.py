"""What a repository says of itself becomes a proposal with a reason, or a sentence that it is not honoured."""

import json
from pathlib import Path

import pytest

from gantry.config.evidence.look import look, not_honoured
from gantry.config.evidence.proposal import Findings
from gantry.config.evidence.service_names import service_of
from gantry.config.evidence.workspace import workspace_top
from gantry.config.init import render_manifest
from gantry.config.load import examine, load_manifest
from gantry.engines.builders.protocol import Detection
from tests.support.builders import write_tree

FILES = dict[str, str]


def _package(*dependencies: str, **more: object) -> str:
    return json.dumps({"dependencies": dict.fromkeys(dependencies, "1"), **more})


def _look(folder: Path, files: FILES) -> Findings:
    write_tree(folder, files)
    return look(folder, folder)


PRISMA = 'datasource db {\n  provider = "%s"\n  url = env("DATABASE_URL")\n}'


@pytest.mark.parametrize(
    ("files", "postgres", "redis"),
    [
        ({"package.json": _package("pg")}, True, False),
        ({"package.json": _package("postgres", "ioredis")}, True, True),
        ({"package.json": _package("@prisma/client"), "prisma/schema.prisma": PRISMA % "postgresql"}, True, False),
        ({"package.json": _package("@prisma/client"), "prisma/schema.prisma": PRISMA % "sqlite"}, False, False),
        ({"package.json": _package("@prisma/client"), "prisma/schema.prisma": PRISMA % "mysql",
          ".env.example": "DATABASE_URL=\n"}, False, False),
        ({"package.json": _package("drizzle-orm", "@neondatabase/serverless")}, True, False),
        ({"package.json": _package("drizzle-orm", "better-sqlite3")}, False, False),
        ({"package.json": _package("drizzle-orm"), "drizzle.config.ts": 'dialect: "turso"'}, False, False),
        ({"package.json": _package("typeorm", "mysql2")}, False, False),
        ({"package.json": _package("bullmq")}, False, True),
        ({"package.json": _package("express")}, False, False),
        ({"package.json": "[1]"}, False, False),
        ({"package.json": "{broken"}, False, False),
        ({"requirements.txt": "psycopg[binary]>=3\nredis==5\n"}, True, True),
        ({"requirements.txt": "Psycopg2_Binary\n"}, True, False),
        ({"requirements.txt": "# psycopg\n-r other.txt\nflask\n"}, False, False),
        ({"requirements.txt": "sqlalchemy\nflask\n"}, True, False),
        ({"requirements.txt": "sqlalchemy\naiosqlite\n"}, False, False),
        ({"requirements.txt": "flask-sqlalchemy\n", "app.py": 'uri = "sqlite:///x.db"'}, False, False),
        ({"requirements.txt": "celery[redis]\n"}, False, True),
        ({"requirements.txt": "celery\npika\n"}, False, False),
        ({"pyproject.toml": '[project]\ndependencies = ["asyncpg>=0.30", "rq"]\n'}, True, True),
        ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.11"\ncelery = {version = "5", extras = ["redis"]}\n'},
         False, True),
        ({"Pipfile": '[packages]\npsycopg2 = "*"\n'}, True, False),
        ({".env.example": "DATABASE_URL=\n"}, True, False),
        ({".env.example": 'export DATABASE_URL="postgres://localhost/x"\nREDIS_URL=redis://localhost\n'}, True, True),
        ({".env.example": "POSTGRES_URL=\n"}, True, False),
        ({".env.example": "DATABASE_URL=file:./dev.db\n"}, False, False),
        ({".env.example": "DATABASE_URL=mysql://localhost/x\nMONGO_URL=\n"}, False, False),
        ({"app.json": '{"addons": ["heroku-postgresql:mini", {"plan": "heroku-redis"}]}'}, True, True),
    ],
)  # fmt: skip
def test_services(tmp_path: Path, files: FILES, *, postgres: bool, redis: bool) -> None:
    found = _look(tmp_path, files)
    assert ("services.postgres" in found.taken, "services.redis" in found.taken) == (
        postgres,
        redis,
    )
    assert all(item.reason for item in found.proposals)


PG = _package("pg", "drizzle-kit", "prisma", "knex", "sequelize-cli")
DJANGO = {"manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "x")'}


@pytest.mark.parametrize(
    ("files", "command", "sure"),
    [
        ({"package.json": _package("pg", scripts={"db:migrate": "node migrate.js"})}, "npm run db:migrate", True),
        ({"package.json": _package("express", scripts={"migrate": "node m.js"})}, "npm run migrate", False),
        ({"package.json": _package("pg", scripts={"migrate": "prisma migrate dev"})}, None, False),
        ({"package.json": _package("pg", scripts={"migrate": "x dev", "migrate:deploy": "x up"})},
         "npm run migrate:deploy", True),
        ({"package.json": PG, "prisma/schema.prisma": PRISMA % "postgresql", "prisma/migrations/1/m.sql": ""},
         "npx prisma migrate deploy", True),
        ({"package.json": PG, "prisma/schema.prisma": PRISMA % "postgresql"}, "npx prisma migrate deploy", False),
        ({"package.json": PG, "drizzle.config.ts": 'out: "./db/out"', "db/out/meta/_journal.json": "{}"},
         "npx drizzle-kit migrate", True),
        ({"package.json": PG, "drizzle.config.ts": "x"}, "npx drizzle-kit migrate", False),
        ({"package.json": PG, "knexfile.js": "", "migrations/1.js": ""}, "npx knex migrate:latest", True),
        ({"package.json": PG, "migrations/1.js": ""}, "npx sequelize-cli db:migrate", True),
        ({"package.json": _package("typeorm", "pg")}, "npx typeorm migration:run -d dist/data-source.js", False),
        ({"requirements.txt": "alembic\npsycopg\n", "alembic.ini": ""}, "alembic upgrade head", True),
        ({"requirements.txt": "alembic\npsycopg\n", "app/alembic.ini": ""}, "alembic -c app/alembic.ini upgrade head",
         True),
        ({**DJANGO, "requirements.txt": "django\npsycopg\n"}, "python manage.py migrate --noinput", True),
        ({**DJANGO, "requirements.txt": "django\n"}, "python manage.py migrate --noinput", False),
        ({"requirements.txt": "flask-migrate\npsycopg\n", "app.py": "", "migrations/env.py": ""}, "flask db upgrade", True),
        ({"Procfile": "release: ./migrate.sh\n", "package.json": _package("pg", scripts={"migrate": "x"})}, "./migrate.sh",
         True),
        ({"fly.toml": '[deploy]\nrelease_command = "node m.js"\n'}, "node m.js", True),
        ({"package.json": _package("pg")}, None, False),
    ],
)  # fmt: skip
def test_the_release_command(
    tmp_path: Path, files: FILES, command: str | None, *, sure: bool
) -> None:
    found = {item.key: item for item in _look(tmp_path, files).proposals}
    proposal = found.get("release.command")
    assert (proposal.value if proposal else None) == command
    assert bool(proposal and proposal.sure) == sure


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        ({"Procfile": "# a comment\nweb: node server.js\nmail_worker: node mail.js --port 1:2\n\nclock:  node c.js\n"},
         {"processes.web.command": "node server.js", "processes.worker.mail-worker.command": "node mail.js --port 1:2",
          "processes.worker.clock.command": "node c.js"}),
        ({"Procfile": "web: python -m app serve\n"}, {"processes.web.command": "python -m app serve"}),
        ({"Procfile": "web: npm start\n", "package.json": _package("express", scripts={"start": "node s.js"})}, {}),
        ({"Procfile": "web: npx next start -p $PORT\n", "package.json": _package("next")}, {}),
        ({"vercel.json": '{"buildCommand": "make site", "outputDirectory": "./public", "installCommand": "npm i"}'},
         {"build.command": "make site", "build.output": "public", "build.install": "npm i"}),
        ({"vercel.json": '{"outputDirectory": ".next"}', "package.json": _package("next")}, {}),
        ({"netlify.toml": '[build]\ncommand = "hugo"\npublish = "site"\n'},
         {"build.command": "hugo", "build.output": "site"}),
        ({"fly.toml": '[processes]\napp = "node a.js"\nmail = "node m.js"\n[env]\nMODE = "x"\nPORT = "8080"\n'
          '[[http_service.checks]]\npath = "/up"\n'},
         {"processes.web.command": "node a.js", "processes.worker.mail.command": "node m.js",
          "variables.plain.MODE": "x", "processes.web.health.path": "/up"}),
        ({"railway.json": '{"deploy": {"startCommand": "node s.js", "preDeployCommand": ["a", "b"], "healthcheckPath": "/h"}}'},
         {"processes.web.command": "node s.js", "release.command": "a && b", "processes.web.health.path": "/h"}),
        ({"nixpacks.toml": '[phases.build]\ncmds = ["a", "b"]\n[start]\ncmd = "./run"\n'},
         {"build.command": "a && b", "processes.web.command": "./run"}),
        ({"package.json": _package("express", scripts={"heroku-postbuild": "x", "worker": "node w.js", "worker:mail": "a && b",
          "jobs": "nodemon jobs.js"})},
         {"build.command": "npm run heroku-postbuild", "processes.worker.worker.command": "node w.js",
          "processes.worker.mail.command": "npm run worker:mail"}),
        ({"app.json": '{"expo": {"name": "x"}, "name": "x"}'}, {}),
        ({"vercel.json": "[]", "netlify.toml": "= broken", "fly.toml": "x = ", "app.json": "nope", "railway.toml": "["}, {}),
        ({"Procfile": "web: " + "x" * 5000 + "\n"}, {}),
    ],
)  # fmt: skip
def test_files_of_other_platforms(tmp_path: Path, files: FILES, taken: dict[str, object]) -> None:
    assert _look(tmp_path, files).taken == taken


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("Dockerfile", "FROM x", "Dockerfile: not honoured; building from a Dockerfile is coming"),
        ("docker-compose.yml", "", "docker-compose.yml: not honoured"),
        ("render.yaml", "", "render.yaml: not honoured"),
        ("public/_redirects", "", "public/_redirects: not honoured; use [routes] redirects"),
        ("app.json", '{"stack": "x", "scripts": {"postdeploy": "seed"}}', "app.json: scripts.postdeploy: not honoured"),
        ("app.json", '{"addons": ["papertrail"]}', "app.json: addons: papertrail: not honoured"),
        ("app.json", '{"buildpacks": [1]}', "app.json: buildpacks: not honoured"),
        ("netlify.toml", '[[redirects]]\nfrom = "/a"\n', "netlify.toml: redirects: not honoured"),
        ("netlify.toml", '[build]\nbase = "web"\n', "netlify.toml: build.base: not honoured; set root in [project]"),
        ("fly.toml", '[[mounts]]\nsource = "x"\n', "fly.toml: mounts: not honoured"),
        ("railway.toml", '[deploy]\ncronSchedule = "* * * * *"\n', "railway.toml: deploy.cronSchedule: not honoured"),
        (".tool-versions", "ruby 3.3.0\nnodejs 22\n", ".tool-versions: ruby 3.3.0: not honoured"),
        ("Procfile", "web: npx serve -s dist\n", "Procfile:1: web: not honoured; files that a build writes are served by"),
        ("Procfile", "my--x: y\n", "Procfile:1: my--x: not honoured"),
        ("Procfile", f"{'x' * 40}: y\n", "Procfile:1: not honoured; processes.worker."),
        ("netlify.toml", '[build]\npublish = "../x"\n', "netlify.toml: build: not honoured; build.output is '../x'"),
        ("Procfile", "mail: node m.js\n", "Procfile:1: not in gantry.toml; set [processes.worker.mail] command = 'node m.js'"),
        ("Procfile", "web: node s.js\n", "Procfile:1: not in gantry.toml; set [processes.web] command = 'node s.js'"),
        ("vercel.json", '{"buildCommand": "x"}', "vercel.json:1: buildCommand: not honoured; set [build] command"),
    ],
)  # fmt: skip
def test_what_is_not_honoured_is_said_at_plan(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    write_tree(tmp_path, {"gantry.toml": '[project]\nname = "a"\n', name: content})
    notes = [note for note in examine(tmp_path).notes if note.startswith(said)]
    assert len(notes) == 1


def test_what_the_manifest_says_is_not_said_again(tmp_path: Path) -> None:
    files = {
        "Procfile": "web: a\nmail: b\nrelease: c\nclock: d\n", "vercel.json": '{"buildCommand": "x"}',
        "fly.toml": '[env]\nMODE = "1"\n', "app.json": '{"addons": ["heroku-redis"]}',
    }  # fmt: skip
    manifest = (
        '[project]\nname = "a"\n[build]\ncommand = "y"\n[release]\ncommand = "c"\n[services]\nredis = true\n'
        '[processes.web]\ncommand = "other"\n[processes.worker.mail]\ncommand = "b2"\n'
        '[processes.cron.tick]\ncommand = "d"\nschedule = "@daily"\n[variables.plain]\nMODE = "2"\n'
    )
    write_tree(tmp_path, {**files, "gantry.toml": manifest})
    assert examine(tmp_path).notes == ()
    assert not_honoured(tmp_path, tmp_path, load_manifest(manifest)) == ()


@pytest.mark.parametrize(
    ("package", "manifest", "said"),
    [
        (_package("next"), "[processes.web]\ninstances = 3\n", ["production has 3 instances"]),
        (_package("next"), "[processes.web]\ninstances = 3\n[services]\nredis = true\n", []),
        (_package("next"), "[environments.staging]\nprocesses.web.instances = 2\n", ["staging has 2 instances"]),
        (_package("next"), "[processes.web]\ninstances = 2\n[environments.production]\nservices.redis = true\n", []),
        (_package("next"), "", []),
        (_package("next"), "[processes]\nweb = false\n", []),
        (_package("express"), "[processes.web]\ninstances = 3\n", []),
    ],
)  # fmt: skip
def test_several_instances_of_next_without_redis_are_told_that_they_share_no_cache(
    tmp_path: Path, package: str, manifest: str, said: list[str]
) -> None:
    text = f'[project]\nname = "a"\n{manifest}'
    write_tree(tmp_path, {"gantry.toml": text, "package.json": package, "package-lock.json": "{}"})
    notes = examine(tmp_path).notes
    assert [note.partition(",")[0] for note in notes] == said
    assert all("[services] redis = true" in note for note in notes)
    write_tree(tmp_path, {"next.config.ts": "export default { cacheHandler: './own.js' };"})
    assert examine(tmp_path).notes == (), "the product brings one of its own"


WORKSPACE = {
    ".git/HEAD": "",
    "pnpm-workspace.yaml": "# which\npackages:\n  - 'apps/*'\n  - packages/**\n  - \"!apps/old\"\ncatalog:\n  - x/*\n",
    "package.json": "{}",
    "apps/web/package.json": _package("@a/db", name="web"),
    "apps/old/package.json": "{}",
    "packages/db/package.json": _package("pg", "@a/cache", name="@a/db"),
    "packages/data/cache/package.json": _package("ioredis", name="@a/cache"),
    "packages/unused/package.json": _package("mysql2", "celery", name="@a/unused"),
    "tools/x/package.json": "{}",
}


@pytest.mark.parametrize(
    ("folder", "top"),
    [("apps/web", ""), ("packages/data/cache", ""), ("apps/old", "apps/old"), ("tools/x", "tools/x"), ("", "")],
)  # fmt: skip
def test_the_workspace_around_a_folder(tmp_path: Path, folder: str, top: str) -> None:
    write_tree(tmp_path, WORKSPACE)
    assert workspace_top(tmp_path / folder) == tmp_path / top


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("package.json", '{"workspaces": ["apps/*"]}'),
        ("package.json", '{"workspaces": {"packages": ["./apps/*"]}}'),
        ("pyproject.toml", '[tool.uv.workspace]\nmembers = ["apps/*"]\n'),
    ],
)
def test_every_kind_of_workspace(tmp_path: Path, name: str, content: str) -> None:
    write_tree(tmp_path, {name: content, "apps/web/x": ""})
    assert workspace_top(tmp_path / "apps/web") == tmp_path


def test_packages_of_the_workspace_speak_for_the_products_that_need_them(tmp_path: Path) -> None:
    write_tree(tmp_path, WORKSPACE)
    found = look(tmp_path / "apps/web", tmp_path)
    assert found.taken == {"services.postgres": True, "services.redis": True}
    assert {item.reason for item in found.proposals} == {
        "packages/db/package.json depends on pg",
        "packages/data/cache/package.json depends on ioredis",
    }


@pytest.mark.parametrize(
    ("name", "value", "service"),
    [
        # Vercel, Neon, Supabase, Railway, Heroku, Render, Aiven, SQLAlchemy, Prisma
        *((name, "", "postgres") for name in (
            "POSTGRES_URL", "POSTGRES_PRISMA_URL", "POSTGRES_URL_NON_POOLING", "POSTGRES_URL_NO_SSL", "POSTGRESQL_URL",
            "DATABASE_URL_UNPOOLED", "DATABASE_PRIVATE_URL", "NEON_DATABASE_URL", "SUPABASE_DB_URL", "INTERNAL_DATABASE_URL",
            "HEROKU_POSTGRESQL_COBALT_URL", "PG_URI", "POSTGRES_DSN", "PG_CONNECTION_STRING", "DATABASE_CONNECTION_STRING",
            "SQLALCHEMY_DATABASE_URI", "DIRECT_URL", "DIRECT_DATABASE_URL", "DB_URL", "STORAGE_POSTGRES_URL",
        )),
        *((name, "", "redis") for name in (
            "KV_URL", "REDIS_TLS_URL", "REDIS_URI", "REDISCLOUD_URL", "REDISTOGO_URL", "OPENREDIS_URL", "VALKEY_URL",
            "UPSTASH_REDIS_URL", "STACKHERO_REDIS_URL_TLS", "BULL_REDIS_URL", "REDIS_CONNECTION_STRING", "CELERY_BROKER_URL",
        )),
        ("MAIN_STORE", "postgres://user@localhost/shop", "postgres"),
        ("MAIN_STORE", "postgresql://user@localhost/shop", "postgres"),
        ("SESSIONS", "rediss://localhost:6379", "redis"),
        # another protocol, another database, one that must be empty, what everybody may read
        *((name, "", None) for name in (
            "UPSTASH_REDIS_REST_URL", "KV_REST_API_URL", "KV_REST_API_TOKEN", "SHADOW_DATABASE_URL", "TEST_DATABASE_URL",
            "MONGO_URL", "MYSQL_DATABASE_URL", "FIREBASE_DATABASE_URL", "NOTION_DATABASE_URL", "SUPABASE_URL",
            "NEXT_PUBLIC_DATABASE_URL", "VITE_POSTGRES_URL", "JDBC_DATABASE_URL", "TURSO_DATABASE_URL", "API_URL",
            "POSTGRES_USER", "DATABASE_NAME", "REDIS_HOST",
        )),
        ("TEST_STORE", "postgres://localhost/test", None),
        ("DATABASE_URI", "mysql://localhost/x", None),
        ("DATABASE_URI", "postgresql+asyncpg://localhost/x", None),
        ("CELERY_BROKER_URL", "amqp://localhost", None),
    ],
)  # fmt: skip
def test_which_service_a_variable_names(name: str, value: str, service: str | None) -> None:
    assert service_of(name, value) == service


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        ({".env.example": "POSTGRES_URL=\nPOSTGRES_PRISMA_URL=\n"},
         {"services.postgres": {"as": ["POSTGRES_URL", "POSTGRES_PRISMA_URL"]}}),
        ({".env.example": "DATABASE_URL=\n"}, {"services.postgres": True}),
        ({"package.json": _package("pg"), "src/db.ts": "new Pool({ connectionString: process.env.POSTGRES_URL })"},
         {"services.postgres": {"as": ["POSTGRES_URL"]}}),
        ({"src/db.ts": "export const url = process.env['POSTGRES_URL']!"},
         {"services.postgres": {"as": ["POSTGRES_URL"]}}),
        ({"src/env.ts": "const { KV_URL, PORT } = process.env;"}, {"services.redis": {"as": ["KV_URL"]}}),
        ({"src/env.ts": "  REDIS_TLS_URL: z.string().url(),"}, {"services.redis": {"as": ["REDIS_TLS_URL"]}}),
        ({"package.json": _package("@vercel/postgres")}, {"services.postgres": {"as": ["POSTGRES_URL"]}}),
        ({"package.json": _package("@prisma/client"),
          "prisma/schema.prisma": 'datasource db {\n  provider = "postgresql"\n  url = env("POSTGRES_PRISMA_URL")\n'
                                  '  directUrl = env("POSTGRES_URL_NON_POOLING")\n}'},
         {"services.postgres": {"as": ["POSTGRES_PRISMA_URL", "POSTGRES_URL_NON_POOLING"]}}),
        ({"requirements.txt": "psycopg\nredis\n",
          "app/settings.py": "A = os.environ['PG_URI']\nB = os.getenv('CACHE')\nC = env('REDIS_TLS_URL')\n"},
         {"services.postgres": {"as": ["PG_URI"]}, "services.redis": {"as": ["REDIS_TLS_URL"]}}),
        ({"requirements.txt": "psycopg\n", "config.py": "class Settings(BaseSettings):\n    postgres_dsn: PostgresDsn\n"},
         {"services.postgres": {"as": ["POSTGRES_DSN"]}}),
        # an add-on of app.json, and the name that the product reads
        ({"app.json": '{"addons": ["heroku-redis"]}', "server.js": "connect(process.env.REDIS_TLS_URL)"},
         {"services.redis": {"as": ["REDIS_TLS_URL"]}}),
        ({"package.json": _package("@upstash/redis"), ".env.example": "UPSTASH_REDIS_REST_URL=\n"}, {}),
        ({"node_modules/x/index.js": "process.env.POSTGRES_URL", "dist/a.js": "process.env.KV_URL"}, {}),
        ({"package.json": _package("mysql2"), "db.js": "connect(process.env.DATABASE_URI, process.env.DB_HOST)"}, {}),
        ({".env.example": "POSTGRES_HOST=localhost\nPOSTGRES_PORT=5432\nPOSTGRES_USER=\nPOSTGRES_PASSWORD=\nPOSTGRES_DB=shop\n"},
         {"services.postgres": True, "variables.plain.POSTGRES_HOST": "${PGHOST}",
          "variables.plain.POSTGRES_PORT": "${PGPORT}", "variables.plain.POSTGRES_USER": "${PGUSER}",
          "variables.plain.POSTGRES_PASSWORD": "${PGPASSWORD}", "variables.plain.POSTGRES_DB": "${PGDATABASE}"}),
        ({"requirements.txt": "sqlalchemy\nasyncpg\n", ".env.example": "DB_URI=postgresql+asyncpg://u:p@localhost/shop\n"},
         {"services.postgres": True,
          "variables.plain.DB_URI": "postgresql+asyncpg://${PGUSER}:${PGPASSWORD}@${PGHOST}:${PGPORT}/${PGDATABASE}"}),
    ],
)  # fmt: skip
def test_services_get_the_names_under_which_they_are_looked_for(
    tmp_path: Path, files: FILES, taken: dict[str, object]
) -> None:
    found = _look(tmp_path, files)
    assert {key: value for key, value in found.taken.items() if key != "release.command"} == taken


def test_what_speaks_http_is_no_redis(tmp_path: Path) -> None:
    found = _look(tmp_path, {"package.json": _package("@vercel/kv")})
    assert found.taken == {}
    assert "use ioredis with services.redis" in found.notes[0]


def test_the_reason_names_each_place(tmp_path: Path) -> None:
    files = {
        "package.json": _package("pg"),
        ".env.example": "POSTGRES_URL=\n",
        "db.js": "process.env.PG_URI",
    }
    (item,) = _look(tmp_path, files).proposals
    assert (
        item.reason
        == "package.json depends on pg, .env.example asks for POSTGRES_URL, db.js reads PG_URI"
    )


def test_init_writes_names_that_a_deploy_accepts(tmp_path: Path) -> None:
    found = _look(tmp_path, {".env.example": "POSTGRES_URL=\nSESSION_SECRET=\nDB_HOST=\nKV_URL=\n"})
    text = render_manifest("shop", Detection("node", ()), (), found)
    assert 'postgres = {as = ["POSTGRES_URL"]}' in text
    manifest = load_manifest(text, env_example=(tmp_path / ".env.example").read_bytes())
    assert set(manifest.variables.required) - set(manifest.services.variables) - set(
        manifest.variables.plain
    ) == {"SESSION_SECRET"}
