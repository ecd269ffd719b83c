"""What is written for people and editors is made from the models, and is not stale."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from gantry.config.init import render_manifest
from gantry.config.load import ManifestError, load_manifest
from gantry.config.manifest import Manifest
from gantry.config.reference import PAGE_FILE, SCHEMA_FILE, page, write
from gantry.config.schema import manifest_schema, schema_text
from gantry.config.tables import keys_of, model_at
from tests.support.config import GOLDEN, assert_golden

DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True, slots=True)
class Found:
    """A detection as an engine gives it."""

    framework: str = "nextjs"
    reasons: tuple[str, ...] = ("package.json depends on next 16.4.0",)
    notes: tuple[str, ...] = (
        'next.config.ts does not set output: "standalone"; the build sets it for you',
    )
    suggested: dict[str, object] = field(default_factory=dict)


def test_published_files_are_not_stale() -> None:
    """When this fails: python -m gantry.config.reference docs/"""
    assert (DOCS / SCHEMA_FILE).read_text() == schema_text()
    assert (DOCS / PAGE_FILE).read_text() == page()


def test_both_files_are_written(tmp_path: Path) -> None:
    assert {path.name for path in write(tmp_path)} == {SCHEMA_FILE, PAGE_FILE}


def test_the_example_of_the_page_is_a_manifest() -> None:
    example = page().partition("```toml\n")[2].partition("```")[0]
    assert load_manifest(example).project.name == "smart-sign"


def test_every_key_of_the_models_is_described() -> None:
    for name, definition in manifest_schema()["$defs"].items():
        for key, value in definition["properties"].items():
            assert value.get("description"), f"{name}.{key}"


@pytest.mark.parametrize(
    "name", ["Build", "Health", "Drain", "LongRunning", "Deploy", "Test", "Cron"]
)
def test_defaults_are_shown_as_they_are_written(name: str) -> None:
    """A default of the schema, written into a file, changes nothing."""
    places = {
        "Build": "[build]",
        "Health": "[processes.web.health]",
        "Drain": "[processes.web.drain]",
        "LongRunning": "[processes.web]",
        "Deploy": "[deploy]",
        "Test": "[test]",
        "Cron": '[processes.cron.a]\ncommand = "x"',
    }
    head = '[project]\nname = "a"\n[processes.cron.a]\ncommand = "x"\nschedule = "@daily"\n'
    base = load_manifest(head)
    if name == "Cron":
        head, places["Cron"] = '[project]\nname = "a"\n', places["Cron"] + '\nschedule = "@daily"'
    properties = manifest_schema()["$defs"][name]["properties"]
    lines = [
        f"{key} = {json.dumps(value['default'])}"
        for key, value in properties.items()
        if value.get("default")
    ]
    assert lines
    assert load_manifest("\n".join([head, places[name], *lines])) == base


def test_keys_of_the_schema_are_keys_of_the_models() -> None:
    schema = manifest_schema()
    assert set(schema["properties"]) == set(keys_of(Manifest))
    assert model_at(Manifest, ("processes", "worker", "mail", "drain")) is not None
    assert keys_of(model_at(Manifest, ("routes", "redirects", 0))) == (
        "source",
        "host",
        "destination",
        "status",
    )
    assert model_at(Manifest, ("project", "name")) is None


def test_a_new_manifest_is_what_the_golden_file_says() -> None:
    suggested: dict[str, object] = {
        "processes.web.health.path": "/api/health",
        "services.postgres": True,
        "test.command": 'npm test -- "--run"',
        "build.timeout": "20m",
        "processes.worker.mail.command": "node mail.mjs",
    }
    text = render_manifest("shop", Found(suggested=suggested), ("SESSION_SECRET", "API_KEY"))
    assert_golden(GOLDEN / "init.toml", text)
    manifest = load_manifest(text)
    assert manifest.web is not None
    assert manifest.web.health.path == "/api/health"
    assert manifest.services.postgres
    assert manifest.test.command == 'npm test -- "--run"'
    assert manifest.build.timeout_s == 1200.0
    assert list(manifest.long_running) == ["web", "worker.mail"]


def test_every_line_of_a_new_manifest_may_be_taken_into_use() -> None:
    text = render_manifest("shop", Found())
    lines = [
        line.removeprefix("# ") if " = " in line or line.startswith("# [") else line
        for line in text.splitlines()
    ]
    manifest = load_manifest("\n".join(lines))
    assert manifest.services.postgres
    assert list(manifest.processes.by_name) == ["web", "worker.mail", "cron.cleanup"]
    assert manifest.for_environment("production").domains == ("www.example.org",)


def test_a_bad_name_or_suggestion_is_not_written() -> None:
    with pytest.raises(ManifestError, match="'my-shop'"):
        render_manifest("My Shop", Found())
    with pytest.raises(ManifestError, match=r"processes\.web\.instances"):
        render_manifest("shop", Found(suggested={"processes.web.instances": 99}))


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=2), st.text())
def test_any_reason_note_and_command_makes_a_manifest(
    reasons: list[str], notes: list[str], command: str
) -> None:
    suggested: dict[str, Any] = {"processes.web.command": command.replace("\0", "")}
    found = Found(command, tuple(reasons), tuple(notes), suggested)
    web = load_manifest(render_manifest("shop", found, tuple(notes))).web
    assert web is not None
    assert (web.command or "") == suggested["processes.web.command"].strip()
