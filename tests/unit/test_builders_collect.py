"""What becomes of a finished build: what is served, and what the manifest's commands run in."""

from pathlib import Path

import pytest

from gantry.engines.builders.collect import collect_tree, collect_workspace
from gantry.engines.builders.failures import BuildFailed
from gantry.engines.builders.plan import BuildPlan, Collect
from gantry.kernel.trees import entries
from tests.support.builders import write_tree

MUCH = 1 << 30
BUILT = {
    "apps/web/.next/standalone/server.js": "serves",
    "apps/web/.next/cache/compiled": "cache",
    "apps/web/.next/server/page.js": "page",
    "apps/web/node_modules/next/.git/HEAD": "of a package",
    "apps/web/node_modules/lib/.next/cache/kept": "of a package",
    "apps/web/cache/ours.ts": "no cache of Next.js",
    "apps/web/standalone/ours.ts": "ours too",
    ".git/HEAD": "history",
    ".turbo/log": "cache",
}


def _files(root: Path) -> set[str]:
    return {entry.path for entry in entries(root)}


def test_a_tree_has_neither_histories_nor_caches_but_packages_are_whole(tmp_path: Path) -> None:
    work = write_tree(tmp_path / "work", BUILT)
    collect_tree(work, tmp_path / "tree", MUCH)
    gone = {".git/HEAD", ".turbo/log", "apps/web/.next/cache/compiled"}
    assert _files(tmp_path / "tree") == set(BUILT) - gone


def test_commands_get_no_second_copy_of_what_serves(tmp_path: Path) -> None:
    work = write_tree(tmp_path / "work", BUILT)
    collect_tree(work, tmp_path / "tree", MUCH)
    plan = BuildPlan("nextjs", (), (), Collect("next", (".next",), workspace=True))
    collect_workspace(plan, work, "apps/web", tmp_path / "commands", MUCH)
    gone = {"apps/web/.next/standalone/server.js"}
    assert _files(tmp_path / "commands") == _files(tmp_path / "tree") - gone


def test_commands_of_other_products_get_everything(tmp_path: Path) -> None:
    work = write_tree(tmp_path / "work", BUILT)
    collect_tree(work, tmp_path / "tree", MUCH)
    plan = BuildPlan("static", (), (), Collect("folder", ("apps/web/.next",), workspace=True))
    collect_workspace(plan, work, "", tmp_path / "commands", MUCH)
    assert _files(tmp_path / "commands") == _files(tmp_path / "tree")


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    work = write_tree(tmp_path / "work", BUILT)
    with pytest.raises(BuildFailed) as refused:
        collect_tree(work, tmp_path / "tree", 10)
    assert refused.value.code == "build.output-too-large"
