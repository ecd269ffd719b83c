"""The manifest as typed values: the example, environments, round trips."""

from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from gantry.config.fields import duration_text, size_text
from gantry.config.load import ManifestError, examine, load_manifest, read_project
from gantry.config.manifest import Cron, LongRunning, Manifest
from gantry.kernel.errors import NotFoundError
from gantry.kernel.units import parse_duration, parse_size
from tests.support.config import GOLDEN

EXAMPLE = """
[project]
name = "smart-sign"
[build]
memory = "2 GB"
timeout = "10m"
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
[services]
postgres = true
redis = false
[environments.production]
[environments.staging]
processes.web.instances = 1
"""

RICH = """
[project]
name = "shop"
root = "./apps/web/"
[build]
env = ["NEXT_PUBLIC_API"]
[processes.web]
health.path = "/health"
drain.streams = "2m"
[processes.worker.mail]
command = "node mail.mjs"
[processes."worker.images"]
command = "node images.mjs"
memory = "1 GiB"
[processes."cron.expire"]
command = "node expire.mjs"
schedule = "*/15 * * * *"
[services]
redis = { memory = "128 MB" }
[[routes.headers]]
source = "/(.*)"
headers = [{ key = "X-Frame-Options", value = "DENY" }]
[variables.plain]
LOG_LEVEL = "info"
[environments.production]
domains = ["Shop.Example", "www.shop.example"]
branch = "main"
processes.web = { instances = 3, memory = "1 GB" }
[environments.staging]
processes.worker.images.instances = 0
processes."cron.report" = { command = "node report.mjs", schedule = "@daily" }
services.redis = false
variables.plain.LOG_LEVEL = "debug"
release.command = "node migrate.mjs"
[environments.preview]
build.timeout = "5m"
"""


def test_the_example() -> None:
    manifest = load_manifest(EXAMPLE)
    web = manifest.web
    assert web is not None
    assert manifest.build.memory_bytes == 2_000_000_000
    assert manifest.build.timeout_s == 600.0
    assert (web.instances, web.memory_bytes, web.cpu) == (2, 512_000_000, None)
    assert (web.health.path, web.health.timeout_s, web.health.start_deadline_s) == (
        "/api/health",
        3.0,
        60.0,
    )
    assert web.smoke == ("/", "/d/harbour-house")
    assert (web.drain.requests_s, web.drain.streams_s, web.drain.terminate_s) == (30.0, 60.0, 10.0)
    assert manifest.services.postgres
    assert not manifest.services.redis
    assert manifest.deploy.keep_warm_s == 600.0
    staging = manifest.for_environment("staging").web
    assert staging is not None
    assert staging == web.model_copy(update={"instances": 1})


def test_processes_have_their_full_names_in_the_order_of_kinds() -> None:
    processes = load_manifest(RICH).processes.by_name
    assert list(processes) == ["web", "worker.mail", "worker.images", "cron.expire"]
    assert isinstance(processes["web"], LongRunning)
    assert isinstance(processes["cron.expire"], Cron)


def test_tables_of_an_environment_are_merged_and_values_replaced() -> None:
    manifest = load_manifest(RICH)
    production, staging = (
        manifest.for_environment("production"),
        manifest.for_environment("staging"),
    )
    assert production.web is not None
    assert (production.web.instances, production.web.memory_bytes) == (3, 1_000_000_000)
    assert production.web.health.path == "/health"
    assert production.domains == ("shop.example", "www.shop.example")
    assert production.branch == "main"
    assert production.services.redis is not None
    assert production.services.redis.memory_bytes == 128_000_000
    assert staging.processes.worker["images"].instances == 0
    assert staging.processes.worker["images"].memory_bytes == 2**30
    assert list(staging.crons) == ["expire", "report"]
    assert staging.services.redis is None
    assert staging.variables.plain == {"LOG_LEVEL": "debug"}
    assert staging.release.command == "node migrate.mjs"
    assert staging.domains == ()


def test_a_branch_gets_the_environment_of_previews() -> None:
    manifest = load_manifest(RICH)
    assert manifest.for_environment("feature-x").build.timeout_s == 300.0
    assert manifest.for_environment("development").build.timeout_s == 900.0


@pytest.mark.parametrize("name", ["development", "staging", "production", "preview"])
def test_a_resolved_manifest_is_stored_and_read_back(name: str) -> None:
    resolved = load_manifest(RICH).for_environment(name)
    again = Manifest.model_validate_json(resolved.model_dump_json())
    assert again == resolved
    assert hash(again) == hash(resolved)
    assert again.canonical_json() == resolved.canonical_json()
    assert again.digest == resolved.digest
    assert Manifest.model_validate(resolved.model_dump(mode="json")) == resolved
    assert resolved.for_environment(name) == resolved
    assert resolved.environments == {}


def test_an_unresolved_manifest_is_read_back_too() -> None:
    manifest = load_manifest(RICH)
    again = Manifest.model_validate_json(manifest.canonical_json())
    assert again == manifest
    assert again.for_environment("staging") == manifest.for_environment("staging")


def test_digests_of_different_manifests_differ() -> None:
    manifest = load_manifest(RICH)
    assert (
        manifest.for_environment("staging").digest != manifest.for_environment("production").digest
    )


def test_a_manifest_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_manifest(EXAMPLE).project.name = "other"  # type: ignore[misc]


def test_the_smallest_manifest_has_a_web_process() -> None:
    manifest = load_manifest('[project]\nname = "a"\n')
    assert list(manifest.long_running) == ["web"]
    assert manifest.project.root == ""


def test_a_project_can_have_no_web_process() -> None:
    manifest = load_manifest('[project]\nname = "a"\n[processes]\nweb = false\n')
    assert manifest.web is None
    assert manifest.for_environment("production").long_running == {}


def test_folders_are_written_in_one_way() -> None:
    assert load_manifest(RICH).project.root == "apps/web"


def test_an_empty_command_is_none() -> None:
    text = EXAMPLE + '[environments.preview]\nrelease.command = ""\n'
    assert load_manifest(text).for_environment("preview").release.command is None


def test_a_project_folder_is_read_with_the_files_beside_its_product(tmp_path: Path) -> None:
    folder = tmp_path
    (folder / "gantry.toml").write_text('[project]\nname = "a"\nroot = "web"\n')
    (folder / "web").mkdir()
    (folder / "web" / ".env.example").write_text("SESSION_SECRET=\n")
    (folder / ".env.example").write_text("NOT_THIS=\n")
    (folder / "web" / "vercel.json").write_text('{"regions": ["fra1"]}')
    reading = examine(folder)
    assert reading.manifest.variables.required == ("SESSION_SECRET",)
    assert reading.notes == (
        "vercel.json:1: regions: not honoured; the machine that Gantry runs on is the region",
        ".env.example:1: SESSION_SECRET is required: it has no value",
    )
    assert read_project(folder) == reading.manifest


def test_a_folder_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no gantry\.toml") as caught:
        read_project(tmp_path)
    assert caught.value.code == "source.no-manifest"


def test_plain_values_that_look_like_secrets_are_pointed_out(tmp_path: Path) -> None:
    folder = tmp_path
    (folder / "gantry.toml").write_text(
        '[project]\nname = "a"\n[variables.plain]\nAPI_TOKEN = "x"\n'
    )
    assert "looks like a secret" in examine(folder).notes[0]


@given(st.integers(0, 10**13))
def test_sizes_are_shown_as_they_are_read(size_bytes: int) -> None:
    assert parse_size(size_text(size_bytes)) == size_bytes


@given(st.integers(0, 10**7))
def test_durations_are_shown_as_they_are_read(seconds: int) -> None:
    assert parse_duration(duration_text(float(seconds))) == seconds


def never_anything_else(content: str | bytes) -> None:
    try:
        load_manifest(content, vercel=None)
    except ManifestError as error:
        assert error.faults
        assert error.message.isprintable() or "\n" in error.message


@given(st.text() | st.binary())
def test_arbitrary_content_gives_a_report_or_a_manifest(content: str | bytes) -> None:
    never_anything_else(content)


@given(st.data())
def test_a_mutated_manifest_gives_a_report_or_a_manifest(data: st.DataObject) -> None:
    lines = RICH.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["drop", "twice", "cut", "swap", "replace"])):
            case "drop":
                lines[index] = ""
            case "twice":
                lines.insert(index, lines[index])
            case "cut":
                lines[index] = lines[index][: data.draw(st.integers(0, 30))]
            case "swap":
                other = data.draw(st.integers(0, len(lines) - 1))
                lines[index], lines[other] = lines[other], lines[index]
            case _:
                key = lines[index].partition("=")[0]
                value = data.draw(
                    st.sampled_from(
                        [
                            "1",
                            "-1",
                            "true",
                            '""',
                            '"x"',
                            "[]",
                            "{}",
                            "[[]]",
                            "nan",
                            "1e400",
                            "[{}]",
                            '"1s"',
                        ]
                    )
                )
                lines[index] = f"{key} = {value}"
    never_anything_else("\n".join(lines))


def test_hostile_files_take_no_time() -> None:
    hostile = [
        "a." * 60_000 + "a = 1",
        "[" * 100_000,
        "a = " + "[" * 5_000,
        "a = " + "1" * 10_000,
        '"a".' * 60_000 + "a = 1",
        "x = 1\n" + "".join(f"k{number} = 1\n" for number in range(20_000)),
    ]
    for text in hostile:
        with pytest.raises(ManifestError):
            load_manifest(text)


def test_golden_reports_are_kept_beside_their_cases() -> None:
    folder = GOLDEN / "reports"
    assert {path.stem for path in folder.glob("*.toml")} == {
        path.stem for path in folder.glob("*.txt")
    }
