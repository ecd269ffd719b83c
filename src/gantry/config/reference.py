"""Writes what is published about gantry.toml: `python -m gantry.config.reference docs/`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomlkit

from gantry.config.fields import DurationOf, SizeOf
from gantry.config.public_variables import PREFIXES
from gantry.config.schema import manifest_schema, schema_text

SCHEMA_FILE = "gantry.schema.json"
PAGE_FILE = "manifest.md"

_SECTIONS = (
    ("project", "Project"),
    ("build", "Build"),
    ("test", "Test"),
    ("release", "ReleaseCommand"),
    ("processes.web", "LongRunning"),
    ("processes.web.health", "Health"),
    ("processes.web.drain", "Drain"),
    ("processes.worker.NAME", "Worker"),
    ("processes.cron.NAME", "Cron"),
    ("services", "Services"),
    ("services.postgres", "PostgresService"),
    ("services.redis", "RedisService"),
    ("deploy", "Deploy"),
    ("[deploy.steps]", "RolloutStage"),
    ("deploy.verdict", "VerdictRules"),
    ("[routes.redirects]", "Redirect"),
    ("[routes.rewrites]", "Rewrite"),
    ("[routes.headers]", "HeaderRule"),
    ("variables", "Variables"),
    ("environments.NAME", "Environment"),
)

_WORDS = {
    "array": "list",
    "object": "table",
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "string": "text",
}

_HEAD = """# gantry.toml

<!-- Written by `python -m gantry.config.reference docs/`; change the models in src/gantry/config instead. -->

One file at the top of a repository says what the project is, how it is built and what runs. Only `[project] name` is
required; everything else has a default or is found out. Every fault of the file is reported at once, each with its
line, its key and, where there is a likely one, the key or value that was meant. `gantry plan` checks without deploying.

- Sizes are text with a unit: `"512 MB"` (10⁶ bytes), `"512 MiB"` (2²⁰ bytes), up to `TB`.
- Durations are text with a unit: `"500ms"`, `"30s"`, `"10m"`, `"2h"`, `"1d"`.
- Commands run in a shell in the product's folder; an empty command (`""`) is none.
- `[environments.NAME]` may override every table but `[project]`. Tables are merged key by key; values and lists replace.
  A branch's own environment gets `[environments.preview]`.
- `processes."worker.mail"` and `processes.worker.mail` are the same.

```toml
[project]
name = "smart-sign"

[test]
command = "npm test"

[release]
command = "node scripts/migrate.mjs"

[processes.web]
instances = 2
memory = "512 MB"
health = { path = "/api/health", timeout = "3s" }
smoke = ["/", "/d/harbour-house"]
drain = { requests = "30s", streams = "60s" }

[processes.worker.mail]
command = "node workers/mail.mjs"

[processes.cron.expire]
command = "node scripts/expire.mjs"
schedule = "*/15 * * * *"

[services]
postgres = true

[variables.plain]
LOG_LEVEL = "info"

[environments.production]
domains = ["smart-sign.example"]

[environments.staging]
processes.web.instances = 1
```

An editor that knows JSON Schema checks the file while it is written: save `gantry schema` beside it as
`gantry.schema.json`, and begin the manifest with `#:schema ./gantry.schema.json`.
"""

_TAIL = """
## Other files

**vercel.json**, beside the product: redirects, rewrites, headers and crons are honoured, the crons in production only.
Where a rule and one of `[routes]` have the same source, the manifest's counts. Rules with `has` or `missing`, and every
other key, are listed as not honoured.

**.env.example**, beside the product: a variable is required when it has no value or only a placeholder (`<key>`,
`changeme`, `your-…`, `sk_test_***`, `https://<project>.example`), unless the comment on its line or directly above it says `optional`. A variable with a value is
not required, unless its comment says `required`. `[variables] optional` wins over the file.

**.env**, **.env.production** and their like stay on the machine that they are on, but for the public variables of those
that git keeps: Vite, Next.js and others read defaults from them when they build. A variable that is set with
`gantry env set` wins. A required variable that one of the two sets that way is not missing. Never sent: anything of a file that git does not keep or that ends in `.local`.

## Variables that everybody may see

Frameworks write the values of some variables into the pages that browsers load, told by the beginning of their names.
Where package.json depends on the framework, such variables reach the build, and another value is another build:

{public}

## What a process is told

| variable | what it is |
|---|---|
| `HOST`, `PORT` | where the web process listens; `HOSTNAME` is the same as `HOST` |
| `GANTRY_URL` | the environment's address: its first domain, else its name below the platform's domain |
| `GANTRY_PROJECT`, `GANTRY_ENVIRONMENT`, `GANTRY_RELEASE`, `GANTRY_INSTANCE`, `GANTRY_BUILD` | what it is |
| `DATABASE_URL`, `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE` | where its Postgres is; and the names in `as` |
| `REDIS_URL` | where its Redis is; and the names in `as` |
| `AUTH_TRUST_HOST` | `true` unless you set it: Auth.js may take its address from the request |
| `NG_ALLOWED_HOSTS`, `NG_TRUST_PROXY_HEADERS` | likewise, for Angular's server |

A variable that you set yourself wins over one of a service; with `PGHOST`, `PGHOSTADDR` or `PGSERVICE` of your own, Gantry sets
none of the `PG…` names. In `[variables.plain]`, `${NAME}` stands for a variable of a service, or for `GANTRY_URL`, `GANTRY_PROJECT`,
`GANTRY_ENVIRONMENT` or `GANTRY_RELEASE`: `POSTGRES_URL = "${DATABASE_URL}"`. Another name is refused, and so is a reference in a
variable that the build reads, where no service runs. `$DATABASE_URL` without braces stays as it is, and `gantry plan` says so; values
of `gantry env set` are never changed.

A request says which of the product's addresses was asked: in `Host` and `X-Forwarded-Host`, with
`X-Forwarded-Proto`, `X-Forwarded-Port` and `X-Forwarded-For`. The edge sets them; what a visitor sends under these names does
not get through. `request.url` of Next.js is made of them.

## Paths with parameters

`source` is written as Vercel and Next.js write it: `:name` matches one segment, `:name*` any number of segments,
`:name+` at least one, `:name?` none or one; `:name(\\d+)` and `(.*)` match a regular expression. The edge matches in linear time
(RE2), so look-around and back-references are refused. `destination` may use the parameters of its source.
"""


def page() -> str:
    """The reference page, Markdown."""
    schema = manifest_schema()
    parts = [_HEAD]
    for title, name in _SECTIONS:
        parts += _section(title, schema["$defs"][name])
    tail = _TAIL.strip("\n").replace("{public}", "\n".join(_public()))
    return "\n".join([*parts, tail]) + "\n"


def _public() -> Iterator[str]:
    yield "| package | public variables |\n| --- | --- |"
    for package, prefixes in PREFIXES.items():
        yield f"| `{package}` | {', '.join(f'`{prefix}…`' for prefix in prefixes)} |"


def _section(title: str, definition: dict[str, Any]) -> Iterator[str]:
    yield f"## `[{title}]`\n"
    yield f"{definition['description']}\n"
    yield "| key | type | default | |\n| --- | --- | --- | --- |"
    required = definition.get("required", ())
    for key, value in definition["properties"].items():
        default = "required" if key in required else _default(value)
        yield f"| `{key}` | {_type(value)} | {default} | {_cell(_text(value))} |"
    yield ""


def _text(value: dict[str, Any]) -> str:
    text: str = value.get("description", "")
    examples = value.get("examples", ())
    if examples:
        text += f" Example: `{_toml(examples[0])}`."
    return text


def _default(value: dict[str, Any]) -> str:
    default = value.get("default")
    return "" if default in (None, [], "") else f"`{_toml(default)}`"


def _type(value: dict[str, Any]) -> str:
    choices = value.get("anyOf")
    if choices:
        return _cell(" or ".join(_type(choice) for choice in choices))
    if "enum" in value:
        return _cell(", ".join(f"`{_toml(item)}`" for item in value["enum"]))
    if "const" in value:
        return f"`{_toml(value['const'])}`"
    if "$ref" in value:
        return "table"
    kind = str(value["type"])
    return _quantity(value) or _WORDS.get(kind, kind) + _bounds(value)


def _quantity(value: dict[str, Any]) -> str:
    patterns = {
        SizeOf("1 B", "1 TB").json_schema()["pattern"]: "size",
        DurationOf("0s", "1d").json_schema()["pattern"]: "duration",
    }
    return patterns.get(value.get("pattern"), "")


def _bounds(value: dict[str, Any]) -> str:
    if "exclusiveMinimum" in value:
        return f", between {value['exclusiveMinimum']} and {value['exclusiveMaximum']}"
    if "minimum" not in value:
        return ""
    return f", {value['minimum']}–{value['maximum']}"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return str(tomlkit.item(value).as_string())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def write(folder: Path) -> tuple[Path, ...]:
    """Write both files into `folder` and name them."""
    files = {folder / SCHEMA_FILE: schema_text(), folder / PAGE_FILE: page()}
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return tuple(files)


if __name__ == "__main__":
    for written in write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs")):
        sys.stdout.write(f"wrote {written}\n")
