"""The command that brings a database to the release's state, as the product's own tools call it."""

import re
from collections.abc import Iterator

from gantry.config.evidence.files import Files
from gantry.config.evidence.packages import Packages
from gantry.config.evidence.proposal import Findings, Proposal
from gantry.config.evidence.services import schema_of_prisma

KEY = "release.command"
# The ones for production first.
_SCRIPTS = ("db:migrate:deploy", "migrate:deploy", "db:deploy", "prisma:migrate:deploy", "prisma:deploy", "db:migrate:prod",
            "migrate:prod", "migration:run:prod", "db:migrate", "migrate", "migrations:run", "migration:run",
            "db:migration:run", "migrate:latest", "migrate:up", "db:migrations:run")  # fmt: skip
# They ask questions, or change a database without a migration that anybody has read.
_WHILE_DEVELOPING = re.compile(
    r"migrate dev|migrate reset|\bdb push\b|drizzle-kit push|makemigrations|migration:generate"
)
_DRIZZLE = ("drizzle.config.ts", "drizzle.config.js", "drizzle.config.mjs")
_OUT = re.compile(r"\bout\s*:\s*[\"'](?:\./)?([^\"']+)")
_KNEX = ("knexfile.js", "knexfile.cjs", "knexfile.mjs", "knexfile.ts")
_ALEMBIC = ("alembic.ini", "app/alembic.ini", "src/alembic.ini", "migrations/alembic.ini")


def find_migrations(files: Files, packages: Packages, *, has_database: bool) -> Findings:
    """What runs before a release gets traffic; without a database that is proposed, as an example only."""
    found = next(_candidates(files, packages), None)
    if found is None:
        return Findings()
    command, reason, sure = found
    return Findings((Proposal(KEY, command, reason, sure=sure and has_database),))


def _candidates(files: Files, packages: Packages) -> Iterator[tuple[str, str, bool]]:
    """Command, reason, and whether it will work as it is; the best one first."""
    for name in _SCRIPTS:
        script = packages.scripts.get(name, "")
        if script and not _WHILE_DEVELOPING.search(script):
            yield f"npm run {name}", f"package.json has the script {name}: {script}", True
    yield from _prisma(files, packages)
    yield from _drizzle(files, packages)
    yield from _other_node(files, packages)
    yield from _python(files, packages)


def _prisma(files: Files, packages: Packages) -> Iterator[tuple[str, str, bool]]:
    schema, _ = schema_of_prisma(files, packages)
    if not schema or not packages.first("prisma", "@prisma/client"):
        return
    folder = schema.rpartition("/")[0]
    if not files.has(schema):
        above = "../" * len(files.folder.relative_to(files.top).parts)
        yield f"npx prisma migrate deploy --schema {above}{schema}", f"{schema} is there", False
    elif files.has(f"{folder}/migrations" if folder else "migrations"):
        yield "npx prisma migrate deploy", f"{folder or '.'}/migrations is there", True
    else:
        yield "npx prisma migrate deploy", f"{schema} is there, without migrations yet", False


def _drizzle(files: Files, packages: Packages) -> Iterator[tuple[str, str, bool]]:
    config = files.first(*_DRIZZLE)
    if not config or not packages.first("drizzle-kit"):
        return
    match = _OUT.search(files.text(config))
    out = match[1] if match else "drizzle"
    if files.has(f"{out}/meta/_journal.json"):
        yield "npx drizzle-kit migrate", f"{config} writes migrations to {out}", True
    else:
        yield "npx drizzle-kit migrate", f"{config} is there, without migrations yet", False


def _other_node(files: Files, packages: Packages) -> Iterator[tuple[str, str, bool]]:
    kept = files.has("migrations") or files.has("src/migrations") or files.has("db/migrations")
    if (knexfile := files.first(*_KNEX)) and packages.first("knex"):
        works = kept and not knexfile.endswith(".ts")
        yield "npx knex migrate:latest", f"{knexfile} is there", works
    if packages.first("sequelize-cli") and kept:
        yield "npx sequelize-cli db:migrate", "package.json depends on sequelize-cli", True
    if packages.first("node-pg-migrate") and kept:
        yield "npx node-pg-migrate up", "package.json depends on node-pg-migrate", True
    if packages.first("typeorm"):
        command = "npx typeorm migration:run -d dist/data-source.js"
        yield command, "package.json depends on typeorm", False
    if packages.first("@mikro-orm/cli", "@mikro-orm/migrations"):
        yield "npx mikro-orm migration:up", "package.json depends on @mikro-orm", False


def _python(files: Files, packages: Packages) -> Iterator[tuple[str, str, bool]]:
    if files.has("manage.py") and "django" in files.text("manage.py").lower():
        yield "python manage.py migrate --noinput", "manage.py is Django's", True
    if packages.first("flask-migrate") and files.has("migrations"):
        works = bool(files.first("app.py", "wsgi.py"))
        yield "flask db upgrade", "it depends on flask-migrate", works
    if (ini := files.first(*_ALEMBIC)) and packages.first("alembic"):
        of = "" if ini == "alembic.ini" else f" -c {ini}"
        yield f"alembic{of} upgrade head", f"{ini} is there", True
