"""What a tree says of its release besides its gantry.toml."""

import json
from pathlib import Path

import pytest

from gantry.config.evidence.tree import read_tree
from tests.support.builders import write_tree

_VITE = json.dumps({"name": "site", "devDependencies": {"vite": "7"}})
_NEXT = json.dumps({"name": "site", "dependencies": {"next": "16"}})
_NODE = json.dumps({"name": "site", "dependencies": {"express": "5", "dotenv": "17"}})


@pytest.mark.parametrize(
    ("files", "committed"),
    [
        ({"package.json": _VITE, ".env": "VITE_API=https://api.example\nTOKEN=x\n"}, {"VITE_API"}),
        ({"package.json": _NEXT, ".env": "NEXT_PUBLIC_A=1\n", ".env.production": "NEXT_PUBLIC_B=2\n"},
         {"NEXT_PUBLIC_A", "NEXT_PUBLIC_B"}),
        ({"package.json": _VITE, ".env": "VITE_API=\n"}, set()),
        ({"package.json": _VITE, ".env": "VITE_API=1\n", ".env.production": "VITE_API=\n"}, set()),
        ({"package.json": _VITE, ".env.local": "VITE_API=1\n", ".env.development": "VITE_B=1\n"}, set()),
        ({"package.json": _VITE, ".env": "prose\nVITE_API=1\n"}, {"VITE_API"}),
        # nobody writes these into pages, and of such a file nothing is sent
        ({"package.json": _NODE, ".env": "VITE_API=1\nSECRET=2\n"}, set()),
        ({".env": "SECRET=2\n"}, set()),
    ],
)  # fmt: skip
def test_variables_that_committed_files_set(
    tmp_path: Path, files: dict[str, str], committed: set[str]
) -> None:
    assert set(read_tree(write_tree(tmp_path, files), "").committed) == committed


def test_a_product_below_has_its_own_files_and_the_workspaces_framework(tmp_path: Path) -> None:
    files = {
        "package.json": _VITE,
        ".env": "VITE_TOP=1\n",
        "apps/site/package.json": "{}",
        "apps/site/.env": "VITE_SITE=1\n",
    }
    assert read_tree(write_tree(tmp_path, files), "apps/site").committed == ("VITE_SITE",)


_DJANGO = """
from django.contrib.postgres.operations import CreateExtension, TrigramExtension
from pgvector.django import VectorExtension


class Migration(migrations.Migration):
    # CreateExtension("postgis")
    operations = [
        TrigramExtension(),
        VectorExtension(),
        CreateExtension(name="citext"),
        migrations.RunSQL("CREATE EXTENSION IF NOT EXISTS hstore"),
    ]
"""


@pytest.mark.parametrize(
    ("path", "text", "extensions"),
    [
        ("migrations/1.sql", "create table a ();\nCREATE EXTENSION vector;", {"vector": 2}),
        ("prisma/migrations/1_init/migration.sql", 'CREATE EXTENSION IF NOT EXISTS "uuid-ossp";', {"uuid-ossp": 1}),
        ("drizzle/0000_a.sql", "CREATE EXTENSION IF NOT EXISTS `pg_trgm`;", {"pg_trgm": 1}),
        ("supabase/migrations/1.sql", 'create extension if not exists "PostGIS" with schema extensions;', {"postgis": 1}),
        ("migrations/1.sql", "-- CREATE EXTENSION a;\n/* CREATE\nEXTENSION b; */\nCREATE EXTENSION c;", {"c": 4}),
        ("src/migrations/1.ts", 'q(`CREATE EXTENSION IF NOT EXISTS "uuid-ossp"`);\n// CREATE EXTENSION a', {"uuid-ossp": 1}),
        ("migrations/1.js", 'q("CREATE EXTENSION IF NOT EXISTS \\"citext\\"")', {"citext": 1}),
        ("alembic/versions/1.py", 'op.execute("CREATE EXTENSION IF NOT EXISTS vector")', {"vector": 1}),
        ("shop/migrations/0001_initial.py", _DJANGO, {"pg_trgm": 9, "vector": 10, "citext": 11, "hstore": 12}),
        # what is no migration
        ("docs/setup.sql", "CREATE EXTENSION postgis;", {}),
        ("seed.sql", "CREATE EXTENSION postgis;", {}),
        ("node_modules/x/migrations/1.sql", "CREATE EXTENSION postgis;", {}),
        ("migrations/README.md", "CREATE EXTENSION postgis;", {}),
        ("migrations/1.sql", "DROP EXTENSION postgis; COMMENT ON EXTENSION plpgsql IS ''; ALTER EXTENSION a UPDATE;", {}),
    ],
)  # fmt: skip
def test_extensions_that_migrations_create(
    tmp_path: Path, path: str, text: str, extensions: dict[str, int]
) -> None:
    found = read_tree(write_tree(tmp_path, {path: text}), "").extensions
    assert found == {name: f"{path}:{line}" for name, line in extensions.items()}


def test_migrations_of_a_package_of_the_workspace_count(tmp_path: Path) -> None:
    files = {
        "package.json": json.dumps({"workspaces": ["apps/*", "packages/*"]}),
        "apps/web/package.json": json.dumps({"name": "web", "dependencies": {"@a/db": "*"}}),
        "packages/db/package.json": json.dumps({"name": "@a/db"}),
        "packages/db/migrations/1.sql": "CREATE EXTENSION vector;",
        "packages/other/package.json": json.dumps({"name": "@a/other"}),
        "packages/other/migrations/1.sql": "CREATE EXTENSION postgis;",
    }
    found = read_tree(write_tree(tmp_path, files), "apps/web").extensions
    assert found == {"vector": "packages/db/migrations/1.sql:1"}
