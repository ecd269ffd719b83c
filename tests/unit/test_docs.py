"""Documents name only what exists: files, modules, commands, options and links."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from gantry.cli.main import build_cli
from gantry.cli.reference import walk
from gantry.config.settings_page import settings_page
from gantry.features.deploys.model import DeployKind
from gantry.features.deploys.pipeline import PIPELINE

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")))
DECISIONS = tuple(sorted((DOCS / "decisions").glob("0*.md")))

# Files of a product, or of other programs, that pages speak of.
FOREIGN = frozenset({"app.py", "main.py"})
_FILE = re.compile(r"(?<![\w/.<*])(?!/)[\w./*<>-]+\.py\b")
_FOLDER = re.compile(r"`(\w[\w/.<>-]*?)/?`")
_MODULE = re.compile(r"python -m ((?:gantry|benchmarks|tests)[\w.]*)")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"^(?: {4}|\t).+$|`([^`\n]+)`", re.MULTILINE)
_COMMAND = re.compile(r"(?:^|[\s('\"])gantry ((?:--)?[a-z].*)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def found(path: str, *folders: Path) -> list[Path]:
    """What a path names, `<noun>` and `*` being any; below `folders`."""
    pattern = re.sub(r"<\w+>", "*", path)
    return [file for folder in folders for file in folder.glob(pattern)]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_exists(page: Path) -> None:
    """Named from the repository's root, from src/gantry, or, on its page, from a folder that the page names."""
    text = page.read_text()
    roots = (ROOT, ROOT / "src/gantry")
    files = set(_FILE.findall(text)) - FOREIGN
    folders = {path for name in _FOLDER.findall(text) for path in found(name, *roots)}
    folders |= {path.parent for name in files if "/" in name for path in found(name, *roots)}
    missing = {path for path in files if not found(path, *roots, *folders)}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_module_exists(page: Path) -> None:
    for module in _MODULE.findall(page.read_text()):
        path = module.replace(".", "/")
        files = (f"{path}.py", f"{path}/__main__.py", f"src/{path}.py", f"src/{path}/__main__.py")
        assert any((ROOT / file).is_file() for file in files), module


@cache
def tree() -> dict[str, click.Command]:
    cli = build_cli()
    root = click.Context(cli, info_name="gantry")
    found: dict[str, click.Command] = {"gantry": cli}
    for command in cli.list_commands(root):
        for context, item in walk(cli.load(command), root):
            found[context.command_path] = item
    return found


def commands(text: str) -> Iterator[list[str]]:
    """The words after `gantry` wherever it stands as code."""
    blocks = [line for block in _FENCE.findall(text) for line in block.splitlines()]
    rest = _FENCE.sub("", text)
    spans = [match.group(1) or match.group(0).strip() for match in _CODE.finditer(rest)]
    for line in blocks + spans:
        for part in re.split(r"\s(?:\||&&|#)\s?|;|\$\(", line):
            if (match := _COMMAND.search(part)) is not None:
                yield match.group(1).split()


def fault(words: list[str]) -> str:
    """What does not exist of a command line; empty when all of it does."""
    path, options = "gantry", {"--help", "--version"}
    for word in words:
        if word == "--":
            break  # what follows belongs to another program
        command = tree()[path]
        word = word.rstrip(".,:)")
        if isinstance(command, click.Group) and not word.startswith("-"):
            path = f"{path} {word}"
            if path not in tree():
                return path
            options |= {option for item in tree()[path].params for option in item.opts}
        elif word.startswith("--") and word.split("=")[0] not in options:
            return f"{path} {word}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_exists(page: Path) -> None:
    missing = [found for words in commands(page.read_text()) if (found := fault(words))]
    assert not missing


def test_commands_are_found_and_checked() -> None:
    text = "Run `gantry up`, then\n\n    gantry nope --json\n\n```sh\ngantry deploy --nope && gantry env list\n```\n"
    found = list(commands(text))
    assert found == [["deploy", "--nope"], ["env", "list"], ["up"], ["nope", "--json"]]
    assert [fault(words) for words in found] == ["gantry deploy --nope", "", "", "gantry nope"]


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, link


def test_every_decision_is_in_the_index_by_its_title() -> None:
    index = (DOCS / "decisions/README.md").read_text()
    for page in DECISIONS:
        number, _, title = page.read_text().splitlines()[0].removeprefix("# ").partition(" ")
        assert page.name.startswith(number), page.name
        assert f"| [{number}]({page.name}) | {title} |" in index


def test_every_room_has_a_page_that_is_found() -> None:
    linked = set(_LINK.findall((DOCS / "rooms/README.md").read_text()))
    pages = {page.name for page in (DOCS / "rooms").glob("*.md")} - {"README.md"}
    assert pages <= linked


def test_pages_tell_the_steps_in_the_order_of_the_pipeline() -> None:
    steps = [row.step.value for row in PIPELINE]
    for page in (ROOT / "README.md", DOCS / "architecture.md"):
        assert " → ".join(steps) in page.read_text(), page
    names = {
        DeployKind.DEPLOY: "deploy",
        DeployKind.PROMOTE: "promotion",
        DeployKind.REDEPLOY: "redeploy",
        DeployKind.ROLLBACK: "rollback",
    }
    taken_by = [
        "all"
        if row.kinds == set(DeployKind)
        else ", ".join(names[kind] for kind in sorted(row.kinds))
        for row in PIPELINE
    ]
    table = (DOCS / "rooms/deploys.md").read_text().partition("| step | taken by |")[2]
    told = re.findall(r"^\| (\w+) \| ([\w, ]+) \|", table, re.MULTILINE)[: len(steps)]
    assert told == list(zip(steps, taken_by, strict=True))


def test_the_readme_says_where_data_goes_and_how_to_install_move_upgrade_and_leave() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "~/.gantry" in readme
    assert "GANTRY_HOME" in readme
    linked = set(_LINK.findall(readme))
    assert {
        f"docs/{page}.md" for page in ("server", "upgrading", "moving", "uninstalling")
    } <= linked


def test_the_page_of_settings_is_fresh() -> None:
    assert (DOCS / "settings.md").read_text() == settings_page()
