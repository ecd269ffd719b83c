"""Workspaces, the package store and caches: what a build may touch, and what it may not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gantry.engines.builders import confine
from gantry.engines.builders.plan import Cache
from gantry.engines.builders.workspace import Caches, PackageStore, inside, prepare
from gantry.kernel.trees import tree_digest
from tests.support.builders import write_tree

_INSTALLED = {
    "node_modules/x/index.js": "module.exports = 1",
    "node_modules/.cache/tool/state": "first",
    "packages/ui/node_modules/y/index.js": "module.exports = 2",
    "src/main.js": "require('x')",
}
# What careless and what hostile build steps do to packages, as the user of the sandbox.
_ATTACKS = """
import os, pathlib, sys
work = pathlib.Path(sys.argv[1])
uid = int(sys.argv[2])
if uid:
    os.setgid(uid); os.setuid(uid)
def attempt(act):
    try: act()
    except OSError as error: print(type(error).__name__)
module = work / "node_modules/x/index.js"
attempt(lambda: module.write_text("evil"))
attempt(lambda: open(module, "r+").close())
attempt(lambda: os.truncate(module, 0))
if uid: attempt(lambda: (module.chmod(0o666), module.write_text("evil")))
(work / "node_modules/.cache/tool/state").write_text("second")
(work / "node_modules/.cache/new").write_text("new")
(work / "node_modules/x/new.js").write_text("new")
module.unlink()
module.write_text("replaced")
"""


def _store(tmp_path: Path) -> tuple[PackageStore, Path]:
    work = write_tree(tmp_path / "first", _INSTALLED)
    (work / "node_modules/x/run").write_text("#!/bin/sh")
    (work / "node_modules/x/run").chmod(0o755)
    owner = confine.owner()
    if owner is not None:
        for path in (work, *work.rglob("*")):
            os.chown(path, owner, owner)
    store = PackageStore(tmp_path / "store", owner)
    store.adopt("key", work)
    return store, work


def test_packages_come_back_as_they_were(tmp_path: Path) -> None:
    store, first = _store(tmp_path)
    second = tmp_path / "second"
    assert store.restore("key", second)
    assert not store.restore("other", second)
    assert (second / "node_modules/x/index.js").read_text() == "module.exports = 1"
    assert (second / "packages/ui/node_modules/y/index.js").exists()
    assert not (second / "src").exists()
    assert os.access(second / "node_modules/x/run", os.X_OK)
    same = [place / "node_modules/x/index.js" for place in (first, second, tmp_path / "store/key")]
    files = len({path.stat().st_ino for path in same})
    if confine.owner() is None:
        assert files == 3, "the builder may write to what is theirs: each has copies"
    else:
        assert files == 1, "hard links, not copies"


def test_a_build_cannot_alter_the_store(tmp_path: Path) -> None:
    store, _ = _store(tmp_path)
    before = tree_digest(tmp_path / "store/key")
    work = tmp_path / "work"
    store.restore("key", work)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.owner() == "root" and parent != Path("/tmp") and os.geteuid() == 0:
            parent.chmod(parent.stat().st_mode | 0o055)  # the sandbox's user must get there
    words = (sys.executable, "-I", "-S", "-c", _ATTACKS, str(work), str(confine.owner() or 0))
    program = words if os.geteuid() else ("/usr/bin/python3", *words[1:])
    if os.geteuid() == 0 and not Path("/usr/bin/python3").exists():
        pytest.skip("root's Python cannot be run by another user here")
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    refused = (
        set() if confine.owner() is None else {"PermissionError"}
    )  # else it has copies of its own
    assert set(done.stdout.split()) == refused
    assert (work / "node_modules/x/index.js").read_text() == "replaced"
    assert tree_digest(tmp_path / "store/key") == before


def test_only_the_last_used_packages_are_kept(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store = PackageStore(tmp_path / "store", None)
    for number in range(6):
        work = write_tree(tmp_path / f"w{number}", {"node_modules/x/i.js": str(number)})
        store.adopt(f"key-{number}", work)
        os.utime(tmp_path / "store" / f"key-{number}", (number + 1e9, number + 1e9))
    kept = sorted(place.name for place in (tmp_path / "store").iterdir())
    assert kept == ["key-2", "key-3", "key-4", "key-5"]


def test_a_cache_is_taken_by_one_build_and_given_back(tmp_path: Path) -> None:
    cache = Cache("next", ".next/cache")
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    keep = tmp_path / "caches"
    write_tree(keep, {"next/state": "warm"})
    Caches(keep, one, None).take(cache)
    Caches(keep, two, None).take(cache)
    assert (one / ".next/cache/state").read_text() == "warm"
    assert not (two / ".next/cache").exists(), "the second build starts cold"
    write_tree(two, {".next/cache/state": "two"})
    Caches(keep, one, None).give_back(cache)
    Caches(keep, two, None).give_back(cache)
    assert (keep / "next/state").read_text() == "two"
    assert [place.name for place in keep.iterdir()] == ["next"]


def test_what_a_build_has_fetched_is_not_given_to_the_next_one(tmp_path: Path) -> None:
    cache = Cache("next", ".next/cache", without=("fetch-cache",))
    made = {
        ".next/cache/webpack/pack": "compiled",
        ".next/cache/fetch-cache/1": "an answer of last month",
    }
    first = write_tree(tmp_path / "first", made)
    Caches(tmp_path / "caches", first, None).give_back(cache)
    second = tmp_path / "second"
    second.mkdir()
    Caches(tmp_path / "caches", second, None).take(cache)
    found = [str(path.relative_to(second)) for path in second.rglob("*") if path.is_file()]
    assert found == [".next/cache/webpack/pack"]


def test_a_cache_behind_a_link_is_left_alone(tmp_path: Path) -> None:
    cache = Cache("next", ".next/cache")
    outside = write_tree(tmp_path / "outside", {"cache/precious": "data"})
    product = write_tree(tmp_path / "product", {"a.txt": ""})
    (product / ".next").symlink_to(outside)
    write_tree(tmp_path / "caches", {"next/state": "warm"})
    caches = Caches(tmp_path / "caches", product, None)
    caches.take(cache)
    caches.give_back(cache)
    assert (outside / "cache/precious").exists()
    assert (tmp_path / "caches/next/state").exists()
    assert inside(product, ".next/cache") is None


def test_a_download_cache_that_has_grown_too_large_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gantry.engines.builders.workspace._MAX_DOWNLOADS_BYTES", 10)
    caches = Caches(tmp_path, tmp_path, None)
    place = caches.shared(Cache("npm", "/cache/npm", shared=True))
    (place / "a").write_text("small")
    assert list(caches.shared(Cache("npm", "/cache/npm", shared=True)).iterdir()) == [place / "a"]
    (place / "a").write_text("much too large")
    assert list(caches.shared(Cache("npm", "/cache/npm", shared=True)).iterdir()) == []


def test_a_workspace_is_a_fresh_writable_copy(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"a.txt": "a", "bin/run": "#!/bin/sh"})
    (source / "bin/run").chmod(0o555)
    (source / "a.txt").chmod(0o444)
    (source / "link").symlink_to("a.txt")
    write_tree(tmp_path / "work", {"left-over": ""})
    prepare(source, tmp_path / "work", None)
    assert tree_digest(tmp_path / "work") == tree_digest(source)
    assert (tmp_path / "work/a.txt").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "work/bin/run").stat().st_mode & 0o777 == 0o755
    (tmp_path / "work/a.txt").write_text("changed")
    assert (source / "a.txt").read_text() == "a"
