"""Keys and artifacts: what makes two requests the same, and what makes an artifact trustworthy."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from gantry.engines.builders.plan import BuildPlan, Collect
from gantry.engines.builders.protocol import BuildRequest
from gantry.engines.builders.room import Needs, available_memory_bytes, check_room
from gantry.engines.builders.shelf import Shelf
from gantry.kernel.errors import PermanentError, TransientError
from gantry.kernel.trees import remove_tree
from tests.support.builders import NODE_PACKAGE, a_request, a_workshop, write_tree

_PLAN = BuildPlan("node", ("because",), (), Collect("tree"), web=("node", "a.js"))


def _keep(shelf: Shelf, key: str, text: str = "hello", plan: BuildPlan = _PLAN) -> str:
    staging = shelf.staging("b-1")
    write_tree(staging / "app", {"a.js": text})
    return str(shelf.keep(staging, plan, key)["digest"])


def test_an_artifact_is_found_by_its_key_and_is_whole(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    digest = _keep(shelf, "k1")
    assert shelf.digest_of("k1") == digest
    assert shelf.is_whole(digest)
    assert shelf.sizes() == {digest: 5}
    assert _keep(shelf, "k2") == digest, "equal content is one artifact"
    assert _keep(shelf, "k3", "other") != digest
    assert _keep(shelf, "k4", plan=replace(_PLAN, web=("node", "b.js"))) != digest
    assert not list(tmp_path.glob(".new-*"))


def test_building_the_same_again_replaces_a_damaged_artifact(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    digest = _keep(shelf, "k")
    (shelf.root(digest) / "a.js").write_text("damaged")
    assert _keep(shelf, "k") == digest
    assert shelf.is_whole(digest)
    assert (tmp_path / f".corrupt-{digest}").is_dir()


async def test_what_cannot_be_read_may_be_readable_later(tmp_path: Path) -> None:
    digest = _keep(Shelf(tmp_path / "artifacts"), "k")
    record = tmp_path / "artifacts" / digest / "artifact.json"
    record.rename(record.with_name("kept"))
    record.mkdir()
    with pytest.raises(TransientError) as caught:
        await a_workshop(tmp_path).artifact(digest)
    assert caught.value.code == "artifact.unreadable"
    record.rmdir()
    record.with_name("kept").rename(record)
    assert (await a_workshop(tmp_path).artifact(digest)).digest == digest


@pytest.mark.parametrize("damage", ["content", "mode", "extra", "missing", "record", "no-record"])
def test_every_damage_is_seen(tmp_path: Path, damage: str) -> None:
    shelf = Shelf(tmp_path)
    digest = _keep(shelf, "k")
    app, record = shelf.root(digest), tmp_path / digest / "artifact.json"
    match damage:
        case "content":
            (app / "a.js").write_text("hellO")
        case "mode":
            (app / "a.js").chmod(0o755)
        case "extra":
            (app / "b.js").write_text("")
        case "missing":
            (app / "a.js").unlink()
        case "record":
            record.write_text(record.read_text().replace("a.js", "b.js"))
        case _:
            record.unlink()
    assert not shelf.is_whole(digest)


def test_removing_forgets_the_keys_too(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    one, two = _keep(shelf, "k1"), _keep(shelf, "k2", "other")
    shelf.set_tested("k1")
    shelf.remove(one)
    shelf.remove(one)
    shelf.remove("../escape")
    assert shelf.digest_of("k1") is None
    assert not shelf.is_tested("k1")
    assert shelf.sizes() == {two: 5}


def test_tests_that_passed_are_forgotten_when_it_is_built_anew(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    _keep(shelf, "k")
    shelf.set_tested("k")
    assert shelf.is_tested("k")
    _keep(shelf, "k", "other")
    assert not shelf.is_tested("k")


_CHANGES = {
    "source_digest": "f" * 64,
    "root": "web",
    "framework": "node",
    "install": "npm i",
    "command": "make",
    "output": "dist",
    "test": "npm test",
    "start": "node b.js",
    "env": {"A": "1"},
    "action_key": "key",
    "project": "other",
}


@pytest.mark.parametrize("name", _CHANGES)
def test_the_key_follows_everything_that_a_build_depends_on(tmp_path: Path, name: str) -> None:
    workshop = a_workshop(tmp_path / "home")
    root = write_tree(tmp_path / "tree", {"package.json": NODE_PACKAGE, "web/a": ""})
    request = a_request(root)
    changed: dict[str, object] = {name: _CHANGES[name]}
    assert workshop.key(replace(request, **changed)) != workshop.key(request)  # type: ignore[arg-type]
    other_id = replace(request, id="b-2", timeout_s=1.0, secret_names=frozenset({"A"}))
    assert workshop.key(other_id) == workshop.key(request)


@given(st.dictionaries(st.from_regex(r"[A-Z]{1,5}", fullmatch=True), st.text(max_size=20)))
def test_no_value_of_the_environment_shows_in_the_key(env: dict[str, str]) -> None:
    workshop = a_workshop(Path("/nowhere"))
    request = BuildRequest("b", "shop", "0" * 64, Path("/nowhere"), env=env)
    again = replace(request, env=dict(reversed(env.items())))
    assert workshop.key(request) == workshop.key(again)
    assert len(workshop.key(request)) == 64


def test_a_change_outside_of_the_products_folder_makes_no_new_build(tmp_path: Path) -> None:
    workshop = a_workshop(tmp_path / "home")
    files = {"web/package.json": NODE_PACKAGE, "README.md": "one"}
    one = a_request(write_tree(tmp_path / "one", files), root="web")
    two = a_request(write_tree(tmp_path / "two", files | {"README.md": "two"}), root="web")
    assert one.source_digest != two.source_digest
    assert workshop.key(one) == workshop.key(two)
    # With packages installed from the top, the whole snapshot counts.
    locked = {"package-lock.json": "{}"}
    three = a_request(write_tree(tmp_path / "three", files | locked), root="web")
    four = a_request(write_tree(tmp_path / "four", files | locked | {"README.md": "4"}), root="web")
    assert workshop.key(three) != workshop.key(four)


def test_no_room_is_refused_with_numbers(tmp_path: Path) -> None:
    with pytest.raises(
        PermanentError, match=r"GB of disk are free .* needs 1000000\.0 TB"
    ) as low_disk:
        check_room(Needs(disk_bytes=10**18), tmp_path / "not/yet/there", None)
    assert low_disk.value.code == "build.low-disk"
    with pytest.raises(TransientError, match=r"this build needs 500000\.0 TB") as low_memory:
        check_room(Needs(disk_bytes=1), tmp_path, 10**18)
    assert low_memory.value.code == "build.low-memory"
    check_room(Needs(disk_bytes=1, memory_bytes=1), tmp_path, None)


def test_available_memory_is_read_as_the_kernel_estimates_it(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  100 kB\nMemAvailable:   42 kB\n")
    assert available_memory_bytes(meminfo) == 42 * 1024


def test_a_tree_that_is_read_only_can_be_removed(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "tree", {"a/b/c": ""})
    for path in (folder / "a/b", folder / "a", folder):
        path.chmod(0o555)
    remove_tree(folder)
    remove_tree(folder)
    assert not folder.exists()
