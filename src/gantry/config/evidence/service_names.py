"""Under which names products look for their database and their cache: hosted ones have many, and so have frameworks."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from gantry.config.evidence.files import Files
from gantry.config.evidence.packages import Packages
from gantry.config.public_variables import PREFIXES
from gantry.config.sections import MAX_ALIASES, POSTGRES_VARIABLES, REDIS_VARIABLES

Service = Literal["postgres", "redis"]

ENV_EXAMPLES = (".env.example", ".env.sample", ".env.template", ".env.local.example", ".env.dist")
_ADDRESS = frozenset({"URL", "URI", "DSN"})
_CONNECTION = re.compile(r"CONN(?:ECTION)?_?(?:STRING|STR|URL|URI)")
_POSTGRES = frozenset({"POSTGRES", "POSTGRESQL", "PG", "PGSQL", "NEON", "TIMESCALE", "COCKROACH"})
_EITHER = frozenset({"DATABASE", "DB", "SQLALCHEMY"})
_REDIS = frozenset({"REDIS", "VALKEY", "KV", "REDISCLOUD", "REDISTOGO", "OPENREDIS", "UPSTASH"})
_BY_NAME: dict[str, Service] = {
    "DIRECT_URL": "postgres",  # Prisma's own name for an address without a pool
    "CELERY_BROKER_URL": "redis",
    "CELERY_RESULT_BACKEND": "redis",
}
# What a name says besides, when it means something else: another database, another protocol, a database that must be empty.
_OTHERS = frozenset({
    "TEST", "TESTS", "TESTING", "E2E", "SHADOW", "JDBC", "REST", "HTTP", "HTTPS", "API", "TOKEN", "KEY", "MONGO", "MONGODB",
    "MYSQL", "MARIADB", "PLANETSCALE", "SQLITE", "TURSO", "LIBSQL", "MSSQL", "SQLSERVER", "ORACLE", "FIREBASE", "NOTION",
    "CLICKHOUSE", "NEO4J", "COUCHDB", "ELASTICSEARCH", "DENO", "CLOUDFLARE", "DYNAMODB", "WEBHOOK", "DASHBOARD",
})  # fmt: skip
_POSTGRES_VALUE = re.compile(r"postgres(?:ql)?://", re.IGNORECASE)
_REDIS_VALUE = re.compile(r"rediss?://", re.IGNORECASE)
_ANY_VALUE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
# SQLAlchemy and its like name the driver in the address.
_DRIVER = re.compile(r"postgres(?:ql)?\+([a-z0-9_]+)://", re.IGNORECASE)
_PARTS = {
    "HOST": "PGHOST", "HOSTNAME": "PGHOST", "SERVER": "PGHOST", "PORT": "PGPORT", "USER": "PGUSER", "USERNAME": "PGUSER",
    "PASSWORD": "PGPASSWORD", "PASS": "PGPASSWORD", "DB": "PGDATABASE", "DATABASE": "PGDATABASE", "NAME": "PGDATABASE",
    "DBNAME": "PGDATABASE",
}  # fmt: skip
_PART = re.compile(rf"(POSTGRES|POSTGRESQL|PG|DB|DATABASE)_({'|'.join(_PARTS)})")
_PUBLIC = tuple(sorted({prefix for prefixes in PREFIXES.values() for prefix in prefixes}))
# Packages that read a variable which the product's own sources never name.
_READ_BY_PACKAGES = {"@vercel/postgres": "POSTGRES_URL"}
_SUFFIXES = (".ts", ".tsx", ".mts", ".js", ".jsx", ".mjs", ".cjs", ".py", ".prisma")
_NAME = r"([A-Z][A-Z0-9_]{1,80})"
_READS = re.compile(
    rf"(?:process|Bun|import\.meta)\.env(?:\.|\??\.?\[[\"']){_NAME}"
    rf"|Deno\.env\.get\([\"']{_NAME}"
    rf"|os\.(?:environ(?:\.get\(|\[)|getenv\()\s*[\"']{_NAME}"
    rf"|\b(?:env|config)(?:\.\w+)?\(\s*[\"']{_NAME}[\"']"
    rf"|^\s+{_NAME}\s*:\s*z\.",
    re.MULTILINE,
)
_UNPACKED = re.compile(r"\{([^{}]{1,2000})\}\s*=\s*process\.env\b")
_TYPED = re.compile(r"^\s+(\w{2,80})\s*:\s*(?:Postgres|Redis)Dsn\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A variable that a product asks for.

    Attributes:
        value: what an example gives it; empty where nothing does.
        reason: as the end of a sentence, such as `.env.example asks for KV_URL`.
        is_example: a file that shows which variables to set says so, not a source.
    """

    name: str
    value: str
    reason: str
    is_example: bool = False


def service_of(name: str, value: str = "") -> Service | None:
    """The service whose address a variable holds, as far as its name and its example say; `None` where it is none of ours.

    `DATABASE_URL` and its like say that it is a database: that it is Postgres, something else must say.
    """
    parts = frozenset(name.upper().split("_"))
    if name.startswith(_PUBLIC) or parts & _OTHERS:
        return None
    if _POSTGRES_VALUE.match(value):
        return "postgres"
    if _REDIS_VALUE.match(value):
        return "redis"
    if _ANY_VALUE.match(value):
        return None
    if name in _BY_NAME:
        return _BY_NAME[name]
    if not parts & _ADDRESS and not _CONNECTION.search(name.upper()):
        return None
    if parts & _REDIS:
        return "redis"
    return "postgres" if parts & (_POSTGRES | _EITHER) else None


def names_postgres(name: str) -> bool:
    """Whether a variable's name alone says that the database is Postgres."""
    return bool(_POSTGRES & frozenset(name.upper().split("_")))


def wanted_by(files: Files, packages: Packages) -> tuple[Wanted, ...]:
    """The variables that a product's examples name, then those that its packages and its sources read."""
    found: dict[str, Wanted] = {}
    for item in (
        *_examples(files),
        *_packages(packages),
        *(item for folder in packages.folders for item in _sources(files.at(folder))),
    ):
        found.setdefault(item.name, item)
    return tuple(found.values())


def aliases_of(service: Service, wanted: Iterable[Wanted]) -> tuple[Wanted, ...]:
    """Further names under which a product looks for the address of a service."""
    own = (*POSTGRES_VARIABLES, *REDIS_VARIABLES)
    found = [
        item
        for item in wanted
        if item.name not in own and service_of(item.name, item.value) == service
    ]
    return tuple(found[:MAX_ALIASES])


def references_of(wanted: Iterable[Wanted]) -> Iterator[tuple[str, str, str]]:
    """Name, value and reason of variables that hold a part of the database's address, or all of it in a form of their own."""
    for item in wanted:
        if driver := _DRIVER.match(item.value):
            address = "${PGUSER}:${PGPASSWORD}@${PGHOST}:${PGPORT}/${PGDATABASE}"
            yield item.name, f"postgresql+{driver[1]}://{address}", item.reason
        elif (part := _PART.fullmatch(item.name)) and (
            item.is_example or names_postgres(item.name)
        ):
            yield item.name, f"${{{_PARTS[part[2]]}}}", item.reason


def _examples(files: Files) -> Iterator[Wanted]:
    for file in ENV_EXAMPLES:
        for line in files.text(file).splitlines():
            name, sign, value = line.strip().removeprefix("export ").partition("=")
            if sign and not name.startswith("#"):
                plain = value.partition(" #")[0].strip().strip("\"'")
                reason = f"{file} asks for {name.strip()}"
                yield Wanted(name.strip(), plain, reason, is_example=True)


def _packages(packages: Packages) -> Iterator[Wanted]:
    for package, name in _READ_BY_PACKAGES.items():
        if packages.first(package):
            yield Wanted(name, "", f"{package} reads {name}")


def _sources(files: Files) -> Iterator[Wanted]:
    for path in files.sources(_SUFFIXES):
        for name in _names_in(files.text(path)):
            yield Wanted(name, "", f"{path} reads {name}")


def _names_in(text: str) -> Iterator[str]:
    for match in _READS.finditer(text):
        yield next(group for group in match.groups() if group)
    for match in _UNPACKED.finditer(text):
        yield from re.findall(r"\b[A-Z][A-Z0-9_]{1,80}\b", match[1])
    for match in _TYPED.finditer(text):
        yield match[1].upper()
