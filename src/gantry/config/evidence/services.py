"""Which services a product needs: its packages say it, its database tools, and the variables that it asks for."""

import re
from dataclasses import replace

from gantry.config.evidence.files import Files
from gantry.config.evidence.packages import Packages
from gantry.config.evidence.proposal import Findings, Proposal
from gantry.config.evidence.service_names import (
    Wanted,
    aliases_of,
    names_postgres,
    references_of,
    service_of,
)

# Names that say a part of the address.
_POSTGRES_PARTS = ("PGHOST", "PGDATABASE", "POSTGRES_HOST", "POSTGRES_SERVER")
_REDIS_PARTS = ("REDIS_HOST",)
# They speak to a service of Upstash over HTTP, which no Redis answers.
_REDIS_OVER_HTTP = ("@upstash/redis", "@vercel/kv", "upstash-redis")
_POSTGRES = ("pg", "postgres", "pg-promise", "@neondatabase/serverless", "@vercel/postgres", "slonik", "pg-boss",
             "graphile-worker", "@prisma/adapter-pg", "@mikro-orm/postgresql", "psycopg", "psycopg2", "psycopg2-binary",
             "psycopg-binary", "psycopg-pool", "asyncpg", "pg8000", "aiopg", "databases[postgresql]",
             "databases[asyncpg]", "sqlalchemy[asyncpg]", "tortoise-orm[asyncpg]")  # fmt: skip
# They speak to several databases; alone, a Postgres is what hosted ones give.
_EITHER = ("prisma", "@prisma/client", "drizzle-orm", "typeorm", "sequelize", "knex", "kysely", "sqlalchemy", "sqlmodel",
           "flask-sqlalchemy", "tortoise-orm", "peewee")  # fmt: skip
_OTHERS = ("mysql", "mysql2", "mariadb", "better-sqlite3", "sqlite3", "sqlite", "libsql", "@libsql/client", "mongodb",
           "mongoose", "mssql", "tedious", "oracledb", "@planetscale/database", "@prisma/adapter-better-sqlite3",
           "@prisma/adapter-libsql", "@prisma/adapter-mariadb", "pymysql", "mysqlclient", "aiomysql", "asyncmy",
           "mysql-connector-python", "aiosqlite", "pymongo", "motor", "pyodbc")  # fmt: skip
_REDIS = ("ioredis", "redis", "bullmq", "bull", "bee-queue", "connect-redis", "@fastify/redis", "@nestjs/bullmq",
          "@nestjs/bull", "@keyv/redis", "hiredis", "aioredis", "rq", "django-rq", "django-redis", "arq",
          "channels-redis", "dramatiq[redis]", "celery[redis]", "celery", "huey", "sidekiq")  # fmt: skip
_OTHER_BROKERS = (
    "pika",
    "amqp",
    "aio-pika",
    "boto3",
    "celery[sqs]",
    "celery[librabbitmq]",
    "amqplib",
)
_PRISMA = (
    "prisma/schema.prisma",
    "schema.prisma",
    "prisma/schema/schema.prisma",
    "db/schema.prisma",
)
_PROVIDER = re.compile(r"datasource\s+\w+\s*\{[^}]*?\bprovider\s*=\s*[\"'](\w+)", re.DOTALL)
_DIALECT = re.compile(r"\bdialect\s*:\s*[\"'](\w+)")
_OTHER_URL = re.compile(
    r"(?:mysql|mariadb|sqlite|file|mongodb|sqlserver|libsql|http|https|amqp)\b[^:]*:", re.IGNORECASE
)
_DRIVER_OF_POSTGRES = re.compile(r"postgres(?:ql)?\+", re.IGNORECASE)
_SQLITE = re.compile(r"sqlite(?:\+\w+)?:/|sqlite3\.connect|backends\.sqlite3")
_DRIZZLE = ("drizzle.config.ts", "drizzle.config.js", "drizzle.config.mjs", "src/drizzle.config.ts")


def find_services(files: Files, packages: Packages, wanted: tuple[Wanted, ...]) -> Findings:
    """Postgres and Redis, each with what speaks for it."""
    found = []
    if reason := _postgres(files, packages, wanted):
        found.append(Proposal("services.postgres", value=True, reason=reason))
    if reason := _redis(packages, wanted):
        found.append(Proposal("services.redis", value=True, reason=reason))
    return Findings(tuple(found))


def with_names(findings: Findings, packages: Packages, wanted: tuple[Wanted, ...]) -> Findings:
    """`findings` with the names under which the product looks for the services that are among them."""
    proposals: list[Proposal] = []
    for item in findings.proposals:
        aliases: tuple[Wanted, ...] = ()
        if item.key == "services.postgres":
            aliases = aliases_of("postgres", wanted)
        elif item.key == "services.redis":
            aliases = aliases_of("redis", wanted)
        if not aliases:
            proposals.append(item)
            continue
        reasons = dict.fromkeys((item.reason, *(alias.reason for alias in aliases)))
        named = {"as": [alias.name for alias in aliases]}
        proposals.append(replace(item, value=named, reason=", ".join(reasons)))
    if "services.postgres" in findings.taken:
        known = {item.key for item in findings.proposals}
        for name, value, reason in references_of(wanted):
            key = f"variables.plain.{name}"
            if key not in known:
                proposals.append(Proposal(key, value, reason))
    return Findings(tuple(proposals), (*findings.notes, *_over_http(packages)))


def _over_http(packages: Packages) -> tuple[str, ...]:
    name = packages.first(*_REDIS_OVER_HTTP)
    if not name:
        return ()
    instead = "set its variables with gantry env set, or use ioredis with services.redis"
    file = packages.declared[name]
    return (f"{file} depends on {name}, which speaks HTTP to a service elsewhere: {instead}",)


def schema_of_prisma(files: Files, packages: Packages) -> tuple[str, str]:
    """The schema's path, relative to the product's folder or to the top, and its provider; empty texts without one."""
    for folder in packages.folders:
        here = files.at(folder)
        if path := here.first(*_PRISMA):
            match = _PROVIDER.search(here.text(path))
            inside = path if folder == files.folder else str((folder / path).relative_to(files.top))
            return inside, match[1] if match else ""
    return "", ""


def _postgres(files: Files, packages: Packages, wanted: tuple[Wanted, ...]) -> str:
    if _other_database(files, packages):
        return ""
    if name := packages.first(*_POSTGRES):
        return f"{packages.declared[name]} depends on {name}"
    schema, provider = schema_of_prisma(files, packages)
    if provider.startswith("postgres") or provider == "cockroachdb":
        return f"{schema} has the provider {provider}"
    for item in wanted:
        if item.name in _POSTGRES_PARTS and not _OTHER_URL.match(item.value):
            return item.reason
        if _DRIVER_OF_POSTGRES.match(item.value):
            return item.reason
        named = item.is_example or names_postgres(item.name)
        if named and service_of(item.name, item.value) == "postgres":
            return item.reason
    if (
        (name := packages.first(*_EITHER))
        and not packages.first(*_OTHERS)
        and not _uses_sqlite(files)
    ):
        return f"{packages.declared[name]} depends on {name}"
    return ""


def _other_database(files: Files, packages: Packages) -> str:
    """The database that the product's own tools are set to, when that is not Postgres."""
    _, provider = schema_of_prisma(files, packages)
    if provider and not provider.startswith("postgres") and provider != "cockroachdb":
        return provider
    dialect = _DIALECT.search(files.text(files.first(*_DRIZZLE) or "-"))
    return dialect[1] if dialect and not dialect[1].startswith("postgres") else ""


def _redis(packages: Packages, wanted: tuple[Wanted, ...]) -> str:
    for item in wanted:
        if item.name in _REDIS_PARTS and not _OTHER_URL.match(item.value):
            return item.reason
        if service_of(item.name, item.value) == "redis":
            return item.reason
    name = packages.first(*_REDIS)
    if not name or (name == "celery" and packages.first(*_OTHER_BROKERS)):
        return ""
    return f"{packages.declared[name]} depends on {name}"


def _uses_sqlite(files: Files) -> bool:
    sources = [
        path for pattern in ("*.py", "*/*.py", "*/*/*.py") for path in files.matching(pattern)
    ]
    return any(_SQLITE.search(files.text(path)) for path in sources)
