"""What commands ask before something that visitors have is replaced or ended."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gantry.cli.deploy_questions import Tree, concerns_of
from gantry.cli.folder import default_environment
from gantry.cli.main import run
from gantry.cli.session import Session
from gantry.features.releases.bodies import CommitRequest
from gantry.source.commit import is_older, origin_of
from tests.support.bodies import commit, minutes_ago, release, status
from tests.support.cli import MANIFEST, Bench

SRC = Path(__file__).parents[2] / "src"
ORIGIN = "github.com/acme/shop"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "gantry.toml").write_text(MANIFEST)
    return Bench(tmp_path)


def _live(bench: Bench, **changes: Any) -> None:
    """Production runs a release that is like this."""
    project = status().projects[0]
    environment = project.environments[0].model_copy(
        update={"live": release(**changes.pop("release", {})), **changes}
    )
    found = project.model_copy(update={"environments": (environment,)})
    bench.api.status = status(projects=(found,))


def _posted(bench: Bench) -> list[str]:
    return [path for method, path, _ in bench.api.asked if method == "POST"]


def _tree(**changes: Any) -> Tree:
    values: dict[str, Any] = {
        "commit": CommitRequest(origin=ORIGIN),
        "framework": "nextjs",
        "processes": frozenset({"web"}),
    }
    return Tree(**(values | changes))


@pytest.mark.parametrize(
    ("tree", "codes"),
    [
        (_tree(), []),
        (_tree(commit=CommitRequest(origin="laptop:/tmp/page")), ["deploy.other-origin"]),
        (_tree(framework="static"), ["deploy.other-framework"]),
        (_tree(framework=""), []),
        (_tree(processes=frozenset()), ["deploy.fewer-processes"]),
        (_tree(processes=frozenset({"web", "worker.mail"})), []),
        (_tree(is_older=True), ["deploy.older-commit"]),
        (_tree(commit=CommitRequest(origin=ORIGIN, dirty=True)), ["deploy.dirty"]),
    ],
)
def test_what_is_asked_for_production(tree: Tree, codes: list[str]) -> None:
    live = release(processes=("web",))
    assert [found.code for found in concerns_of(tree, "production", live, {ORIGIN})] == codes
    elsewhere = [found.code for found in concerns_of(tree, "staging", live, {ORIGIN})]
    assert elsewhere == [code for code in codes if code == "deploy.other-origin"]
    assert concerns_of(tree, "production", None, frozenset()) == (), "the first deploy"


def test_another_folder_is_refused_without_a_terminal_and_goes_on_with_yes(bench: Bench) -> None:
    _live(bench, release={"commit": commit(origin=ORIGIN)})
    done = bench.run("deploy")
    assert done.code == 2
    assert "error[deploy.other-origin]" in done.err
    assert "gantry deploy --to production --yes" in done.err
    assert _posted(bench) == []
    assert bench.run("deploy", "--yes").code == 0


@pytest.mark.parametrize(("answer", "posts"), [("y\n", 1), ("n\n", 0), ("\n", 0)])
def test_a_terminal_is_asked(bench: Bench, answer: str, posts: int) -> None:
    _live(bench, release={"commit": commit(origin=ORIGIN)})
    bench.terminal = True
    bench.run("deploy", stdin=answer)
    assert len(_posted(bench)) == posts


def test_a_promotion_that_leads_back_is_asked_for(bench: Bench) -> None:
    project = status().projects[0]
    production = project.environments[0].model_copy(
        update={"live": release(3, created_at=minutes_ago(1), build="b-2")}
    )
    staging = production.model_copy(
        update={"name": "staging", "live": release(2, created_at=minutes_ago(9), build="b-1")}
    )
    found = project.model_copy(update={"environments": (production, staging)})
    bench.api.status = status(projects=(found,))
    bench.terminal = True
    bench.run("promote", stdin="n\n")
    assert _posted(bench) == []
    assert bench.run("promote", "--yes").code == 0


@pytest.mark.parametrize(
    ("answer", "options", "ended"),
    [("n\n", (), False), ("y\n", (), True), ("", ("--yes",), True)],
)
def test_the_end_of_production_is_asked_for(
    bench: Bench, answer: str, options: tuple[str, ...], ended: bool
) -> None:
    bench.terminal = True
    bench.run("down", *options, stdin=answer)
    assert ("stop" in bench.platform.done) is ended


def test_a_script_is_not_asked_whether_it_means_the_end(bench: Bench) -> None:
    assert bench.run("down").code == 0
    assert "stop" in bench.platform.done


def test_a_platform_that_was_ended_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path)
    home = bench.platform.home
    home.mkdir()
    (home / "ended").write_text("2026-01-01 12:00 UTC")
    session = Session(bench.platform, cwd=tmp_path, as_json=True)
    assert run(bench.platform, ("status", "--json"), session=session) == 3
    assert "was ended with gantry down at 2026-01-01 12:00 UTC" in capsys.readouterr().out


def test_the_project_s_file_says_where_commands_go(bench: Bench) -> None:
    (bench.cwd / "gantry.toml").write_text(f'{MANIFEST}default_environment = "staging"\n')
    assert bench.run("deploy").code == 0
    assert _posted(bench)[0].endswith("/environments/staging/deploys")
    bench.run("deploy", "--to", "production")
    assert _posted(bench)[-1].endswith("/environments/production/deploys")
    session = Session(bench.platform, cwd=bench.cwd.parent)
    assert default_environment(session) == "production"


def _git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.test")
    done = subprocess.run(
        ("git", "-C", str(directory), *identity, *arguments),
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/acme/shop.git",
        "https://ada:token@GitHub.com/acme/shop",
        "git@github.com:acme/shop.git",
        "ssh://git@github.com/acme/shop.git",
    ],
)
def test_an_origin_is_the_same_for_everybody(tmp_path: Path, address: str) -> None:
    _git(tmp_path, "init", "-q", "-b", "main")
    _git(tmp_path, "remote", "add", "origin", address)
    assert origin_of(tmp_path) == ORIGIN


def test_folders_without_a_remote_have_an_origin_too(tmp_path: Path) -> None:
    assert origin_of(tmp_path).endswith(f":{tmp_path}")
    _git(tmp_path, "init", "-q", "-b", "main")
    _git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    first = _git(tmp_path, "rev-parse", "HEAD")
    _git(tmp_path, "commit", "-q", "--allow-empty", "-m", "second")
    second = _git(tmp_path, "rev-parse", "HEAD")
    assert origin_of(tmp_path) == f"repository {first[:12]}"
    assert not is_older(tmp_path, second)
    _git(tmp_path, "checkout", "-q", first)
    assert is_older(tmp_path, second)
    assert not is_older(tmp_path, "f" * 40), "a commit that nobody knows here"


def test_no_text_teaches_to_write_a_secret_into_a_command_line() -> None:
    """Examples of plain values are the only ones with a value."""
    plain = {"LOG_LEVEL=debug", "CACHE=off"}
    for file in SRC.rglob("*.py"):
        for line in file.read_text().splitlines():
            for command in re.findall(r"gantry env set ([^\"'`]*)", line):
                given = {part for part in command.split() if "=" in part}
                assert given <= plain, f"{file.name}: {line.strip()}"
