"""What holds for every command: examples, summaries, completion, what `--help` imports, generated pages."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from gantry.cli import codes, reference, roadmap
from gantry.cli.command import Command
from gantry.cli.main import SECTIONS, LazyGroup, build_cli, run
from tests.fakes.platform import FakePlatform
from tests.support.cli import Bench

ROOT = Path(__file__).parent.parent.parent
# Everything that costs tens of milliseconds to import, or belongs to the control plane.
HEAVY = frozenset(
    {"pydantic", "httpx", "fastapi", "starlette", "uvicorn", "psycopg", "tomlkit", "jinja2",
     "cryptography", "acme", "psutil", "yoyo", "gantry.kernel.bodies", "gantry.config.manifest"}
)  # fmt: skip


def loaded() -> LazyGroup:
    cli = build_cli()
    for section in SECTIONS.values():
        for name in section:
            cli.load(name)
    return cli


def every() -> Iterator[tuple[str, click.Command]]:
    root = click.Context(loaded(), info_name="gantry")
    for command in loaded().commands.values():
        for context, each in reference.walk(command, root):
            yield context.command_path, each


@pytest.mark.parametrize("path", [path for path, _ in every()])
def test_every_command_explains_itself(path: str) -> None:
    command = dict(every())[path]
    assert command.help
    if isinstance(command, click.Group):
        return
    assert isinstance(command, Command)
    assert command.examples
    assert any(path in line for _, line in command.examples), "no example runs the command itself"
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name


@pytest.mark.parametrize("path", [path for path, _ in every()])
def test_help_is_shown(path: str, tmp_path: Path) -> None:
    done = Bench(tmp_path).run(*path.split()[1:], "--help")
    assert done.code == 0
    assert "Usage" in done.out
    command = dict(every())[path]
    if isinstance(command, Command):
        assert "Examples" in done.out


def test_examples_are_commands_that_exist() -> None:
    paths = {path for path, _ in every()}
    for _, command in every():
        for _, line in command.examples if isinstance(command, Command) else ():
            for words in re.findall(r"\bgantry ([a-z][a-z-]*(?: [a-z]+)?)", line.split(" | jq")[0]):
                first, _, _ = words.partition(" ")
                assert f"gantry {first}" in paths, line


def test_the_summaries_of_the_root_s_help_are_the_commands_own() -> None:
    cli = loaded()
    for section in SECTIONS.values():
        for name, (_, summary) in section.items():
            first = (cli.commands[name].help or "").split("\n\n")[0]
            assert summary == " ".join(first.split())


def test_help_and_version_import_nothing_heavy() -> None:
    program = (
        "import sys; from gantry.cli.main import run; from tests.fakes.platform import FakePlatform;"
        "code = run(FakePlatform(), sys.argv[1:]);"
        "print(*sorted(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    for argv in (["--help"], ["--version"], ["completion", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *argv], capture_output=True, text=True, check=True
        )
        assert HEAVY.isdisjoint(done.stderr.split())


def test_commands_load_what_is_said_and_not_what_it_is_made_from() -> None:
    """Bodies name the records that they are made from for their types only: records bring the manifest and engines."""
    commands = (
        "rollback",
        "promote",
        "redeploy",
        "status",
        "deploys",
        "domains",
        "releases",
        "logs",
    )
    served = {"gantry.config.manifest", "gantry.engines.edge.protocol", "psycopg", "fastapi"}
    for name in commands:
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "gantry.app", name, "--help"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        loaded_modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert served.isdisjoint(loaded_modules), name


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, tmp_path: Path) -> None:
    done = Bench(tmp_path).run("completion", shell)
    assert done.code == 0
    assert "_GANTRY_COMPLETE" in done.out


@pytest.mark.parametrize(
    ("typed", "incomplete", "offered"),
    [
        ([], "de", {"deploy", "deploys", "destroy"}),
        (["deploy"], "--det", {"--detach"}),
        (["deploy", "--to"], "st", {"staging"}),
        (["env"], "", {"set", "list", "unset", "import"}),
        (["token", "create", "x", "--role"], "o", {"owner"}),
    ],
)
def test_completion_offers(typed: list[str], incomplete: str, offered: set[str]) -> None:
    complete = ShellComplete(build_cli(), {}, "gantry", "_GANTRY_COMPLETE")
    found = {item.value for item in complete.get_completions(typed, incomplete)}
    assert offered <= found
    if incomplete:
        assert found == offered


def test_aliases(tmp_path: Path) -> None:
    assert "create" in Bench(tmp_path).run("tokens", "--help").out


def test_version_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(FakePlatform(), ["--version"]) == 0
    assert capsys.readouterr().out.startswith("gantry, version ")


@pytest.mark.parametrize(
    ("page", "fresh"),
    [
        ("cli.md", reference.reference),
        ("errors.md", lambda: codes.page(codes.scan(codes.source_files()))),
        ("roadmap.md", roadmap.roadmap),
    ],
)
def test_generated_pages_are_fresh(page: str, fresh: object) -> None:
    assert callable(fresh)
    assert (ROOT / "docs" / page).read_text() == fresh(), "run scripts/generate-docs"
