"""What is deployed is what git has: its files, and what it would keep; what is missing is said."""

import os
import subprocess
from pathlib import Path

import pytest

from gantry.kernel.errors import UserError
from gantry.source.pack import PackedSource, pack
from tests.support.builders import write_tree


def _git(folder: Path, *arguments: str) -> str:
    settings = ("user.name=Ada", "user.email=ada@example.test", "protocol.file.allow=always")
    options = [word for setting in settings for word in ("-c", setting)]
    done = subprocess.run(
        ("git", "-C", str(folder), *options, *arguments), check=True, capture_output=True, text=True
    )
    return done.stdout


def _repository(folder: Path, files: dict[str, str], *, commit: bool = True) -> Path:
    write_tree(folder, files)
    _git(folder, "init", "-q", "-b", "main")
    if commit:
        _git(folder, "add", ".")
        _git(folder, "commit", "-q", "-m", "All")
    return folder


@pytest.fixture
def without_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


MONOREPO = {
    ".gitignore": "secrets/\n*.log\ndist/\n!keep.log\n/apps/web/only-here\n",
    "package.json": "{}",
    "apps/.gitignore": "cache/\n",
    "apps/web/.gitignore": "local.txt\n!dist/\n",
    "apps/web/gantry.toml": "",
}
UNTRACKED = {
    "apps/web/secrets/key.txt": "", "apps/web/debug.log": "", "apps/web/keep.log": "", "apps/web/cache/a": "",
    "apps/web/local.txt": "", "apps/web/only-here": "", "apps/web/private-notes.txt": "", "apps/web/page.ts": "",
    "apps/web/dist/bundle.js": "", "apps/web/src/local.txt": "", "apps/web/src/private-notes.txt": "",
}  # fmt: skip
OF_WEB = (".gitignore", "dist/bundle.js", "gantry.toml", "keep.log", "page.ts")


def _monorepo(folder: Path) -> Path:
    _repository(folder, MONOREPO)
    write_tree(folder, UNTRACKED)
    (folder / ".git/info/exclude").write_text("private-notes.txt\n")
    return folder


def test_rules_of_the_whole_repository_hold_in_a_folder_of_it(tmp_path: Path) -> None:
    packed = pack(_monorepo(tmp_path / "repo") / "apps/web")
    assert packed.files == OF_WEB
    assert packed.ignored.files == 8


@pytest.mark.usefixtures("without_git")
def test_without_git_the_same_rules_hold(tmp_path: Path) -> None:
    """git itself made the repository: its program is what is missing here."""
    folder = tmp_path / "repo"
    write_tree(folder, {**MONOREPO, **UNTRACKED, ".git/info/exclude": "private-notes.txt\n"})
    assert pack(folder / "apps/web").files == OF_WEB
    assert pack(folder).files == (
        ".gitignore", "apps/.gitignore", *(f"apps/web/{name}" for name in OF_WEB), "package.json",
    )  # fmt: skip


def test_the_users_own_ignore_file_holds(tmp_path: Path) -> None:
    folder = _repository(tmp_path / "repo", {"a.txt": ""})
    write_tree(folder, {"b.swp": "", "c.txt": ""})
    (tmp_path / "mine").write_text("*.swp\n")
    _git(folder, "config", "core.excludesFile", str(tmp_path / "mine"))
    assert pack(folder).files == ("a.txt", "c.txt")


def test_what_git_keeps_is_source_though_a_rule_names_it(tmp_path: Path) -> None:
    folder = write_tree(
        tmp_path / "repo", {".gitignore": "dist/\n", "dist/a.js": "", "dist/b.js": ""}
    )
    _git(folder, "init", "-q")
    _git(folder, "add", "-f", "dist/a.js")
    assert pack(folder).files == (".gitignore", "dist/a.js")


def test_a_repository_without_commits(tmp_path: Path) -> None:
    folder = _repository(tmp_path / "repo", {".gitignore": "x\n", "x": "", "y": ""}, commit=False)
    assert pack(folder).files == (".gitignore", "y")


def test_deleted_files_and_files_behind_a_link_are_gone(tmp_path: Path) -> None:
    folder = _repository(tmp_path / "repo", {"a": "", "b": "", "d/x": "", "e": "", "f/y": ""})
    (folder / "a").unlink()
    (folder / "d/x").unlink()
    (folder / "d").rmdir()
    write_tree(tmp_path, {"outside/x": "secret"})
    (folder / "d").symlink_to("../outside")
    (folder / "e").unlink()
    write_tree(folder, {"e/now": ""})
    packed = pack(folder)
    assert packed.files == ("b", "e/now", "f/y")
    assert "leads out" in packed.left_out["d"]


def test_a_link_into_git_stays(tmp_path: Path) -> None:
    folder = _repository(tmp_path / "repo", {"a": ""})
    (folder / "big.bin").symlink_to(".git/annex/objects/x")
    (folder / "inside").symlink_to("a")
    packed = pack(folder)
    assert packed.files == ("a", "inside")
    assert "into .git" in packed.left_out["big.bin"]


def _kinds(packed: PackedSource) -> dict[str, str]:
    return {entry.path: entry.kind for entry in packed.entries}


def test_modes_are_those_of_the_files_unless_git_does_not_trust_them(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "repo", {"run.sh": "", "plain": ""})
    (folder / "run.sh").chmod(0o755)
    _git(folder, "init", "-q")
    _git(folder, "add", ".")
    (folder / "plain").chmod(0o755)
    assert _kinds(pack(folder)) == {"plain": "x", "run.sh": "x"}
    _git(folder, "config", "core.fileMode", "false")
    assert _kinds(pack(folder)) == {"plain": "f", "run.sh": "x"}, "as on a disk without modes"


def test_names_that_differ_in_case_only_are_both_sent(tmp_path: Path) -> None:
    folder = _repository(tmp_path / "repo", {"Readme.md": "1", "README.md": "2"})
    assert pack(folder).files == ("README.md", "Readme.md")


def test_odd_names_arrive(tmp_path: Path) -> None:
    names = ["line\nbreak", "$(id)", "é", "tab\there", " space ", '"quoted"', os.fsdecode(b"\xff")]
    folder = _repository(tmp_path / "repo", dict.fromkeys(names, ""))
    write_tree(folder, {"new é\n": ""})
    assert sorted(pack(folder).files) == sorted([*names, "new é\n"])


def test_another_worktree(tmp_path: Path) -> None:
    folder = _repository(tmp_path / "repo", {".gitignore": "x\n", "a": ""})
    (folder / ".git/info/exclude").write_text("private\n")
    _git(folder, "worktree", "add", "-q", str(tmp_path / "other"), "-b", "other")
    write_tree(tmp_path / "other", {"x": "", "b": "", "private": ""})
    assert pack(tmp_path / "other").files == (".gitignore", "a", "b")
    _git(folder, "worktree", "add", "-q", str(folder / "trees/inner"), "-b", "inner")
    packed = pack(folder)
    assert packed.files == (".gitignore", "a")
    assert packed.left_out == {"trees/inner/": "is another worktree of a repository"}


@pytest.mark.usefixtures("without_git")
def test_without_git_the_rules_that_worktrees_share_hold(tmp_path: Path) -> None:
    files = {
        "repo/.git/info/exclude": "private\n", "repo/.git/worktrees/other/commondir": "../..\n",
        "other/.git": f"gitdir: {tmp_path}/repo/.git/worktrees/other\n", "other/private": "", "other/a": "",
    }  # fmt: skip
    assert pack(write_tree(tmp_path, files) / "other").files == ("a",)


def test_submodules_go_along_with_their_own_rules(tmp_path: Path) -> None:
    shared = _repository(tmp_path / "shared", {".gitignore": "made\n", "lib.js": ""})
    deeper = _repository(tmp_path / "deeper", {"deep.js": ""})
    _git(shared, "submodule", "add", "-q", str(deeper), "deep")
    _git(shared, "commit", "-q", "-m", "Deep")
    folder = _repository(tmp_path / "repo", {"a": ""})
    _git(folder, "submodule", "add", "-q", str(shared), "vendor/shared")
    _git(folder, "commit", "-q", "-m", "Shared")
    with pytest.raises(UserError) as refusal:
        pack(folder)
    assert refusal.value.code == "source.submodule-missing"
    assert "vendor/shared/deep" in refusal.value.message
    _git(folder, "submodule", "update", "-q", "--init", "--recursive")
    write_tree(folder, {"vendor/shared/made": "", "vendor/shared/new.js": ""})
    of_shared = (".gitignore", ".gitmodules", "deep/deep.js", "lib.js", "new.js")
    below = tuple(f"vendor/shared/{name}" for name in of_shared)
    assert pack(folder).files == (".gitmodules", "a", *below)
    assert pack(folder / "vendor/shared").files == of_shared


def test_a_submodule_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    shared = _repository(tmp_path / "shared", {"lib.js": ""})
    folder = _repository(tmp_path / "repo", {"a": "", "web/b": ""})
    _git(folder, "submodule", "add", "-q", str(shared), "vendor")
    _git(folder, "commit", "-q", "-m", "Shared")
    _git(tmp_path, "clone", "-q", str(folder), "clone")
    with pytest.raises(UserError) as refusal:
        pack(tmp_path / "clone")
    assert refusal.value.message == "submodules are not checked out: vendor"
    assert refusal.value.hint.startswith("git submodule update --init --recursive")
    assert pack(tmp_path / "clone/web").files == ("b",), "it is not part of this folder"
    write_tree(tmp_path / "clone", {".gantryignore": "vendor\n"})
    assert pack(tmp_path / "clone").files == (".gantryignore", ".gitmodules", "a", "web/b")


def test_a_repository_inside_that_git_does_not_know_yet_goes_by_its_own_rules(
    tmp_path: Path,
) -> None:
    folder = _repository(tmp_path / "repo", {"a": ""})
    _repository(folder / "apps/web", {".gitignore": "x\n", "page.ts": ""})
    write_tree(folder, {"apps/web/x": "", "apps/web/node_modules/m/i.js": ""})
    assert pack(folder).files == ("a", "apps/web/.gitignore", "apps/web/page.ts")


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d7a" * 16 + "\nsize 12345\n"


def test_a_pointer_of_git_lfs_is_refused(tmp_path: Path) -> None:
    folder = write_tree(
        tmp_path / "repo", {".gitattributes": "*.psd filter=lfs\n", "web/a.psd": POINTER}
    )
    _git(folder, "init", "-q")
    for place in (folder, folder / "web"):
        with pytest.raises(UserError) as refusal:
            pack(place)
        assert refusal.value.code == "source.lfs-pointer"
        assert "a.psd" in refusal.value.message
        assert refusal.value.hint.startswith("git lfs pull")
    (folder / "web/a.psd").write_text("the content")
    write_tree(
        folder, {"web/fixture.txt": POINTER}
    )  # of something that tests Git LFS, and is not filtered
    assert pack(folder / "web").files == ("a.psd", "fixture.txt")


@pytest.mark.usefixtures("without_git")
def test_a_pointer_of_git_lfs_is_refused_without_git(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"content of a\.psd"):
        pack(write_tree(tmp_path, {"a.psd": POINTER}))


def test_a_sparse_checkout_says_what_is_not_there(tmp_path: Path) -> None:
    folder = _repository(tmp_path / "repo", {"web/a": "", "api/b": "", "api/c": "", "top": ""})
    _git(folder, "sparse-checkout", "set", "--cone", "web")
    packed = pack(folder)
    assert packed.files == ("top", "web/a")
    assert packed.left_out == {"outside the sparse checkout": "2 files that git did not put here"}
    assert pack(folder / "web").left_out == {}


def test_folders_that_gantry_never_takes_are_said_when_git_keeps_them(tmp_path: Path) -> None:
    files = {"node_modules/a/i.js": "", "node_modules/b/i.js": "", "web/.next/x": "", "page.ts": ""}
    folder = _repository(tmp_path / "repo", files)
    packed = pack(folder)
    assert packed.files == ("page.ts",)
    assert packed.left_out == {
        "node_modules": "2 files that git keeps, but a build makes them anew",
        "web/.next": "1 file that git keeps, but a build makes them anew",
    }
    untracked = _repository(tmp_path / "other", {"page.ts": ""})
    write_tree(untracked, {"node_modules/a/i.js": ""})
    assert pack(untracked).left_out == {}


def test_the_own_ignore_file_has_the_last_word(tmp_path: Path) -> None:
    files = {
        ".gitignore": "dist/\n", ".gantryignore": "docs\n*.mp4\n", "docs/a.md": "", "web/film.mp4": "",
        "web/.gantryignore": "!dist\n", "web/page.ts": "",
    }  # fmt: skip
    folder = _repository(tmp_path / "repo", files)
    write_tree(folder, {"web/dist/a.js": "", "web/dist/sub/b.js": "", "dist/c.js": ""})
    ours = (".gantryignore", "dist/a.js", "dist/sub/b.js", "page.ts")
    assert pack(folder).files == (".gantryignore", ".gitignore", *(f"web/{name}" for name in ours))
    assert pack(folder / "web").files == ours


def test_a_folder_that_the_repository_around_it_ignores_stands_for_itself(tmp_path: Path) -> None:
    folder = _repository(tmp_path / "repo", {".gitignore": "scratch/\n"})
    write_tree(
        folder,
        {"scratch/site/.gitignore": "x\n", "scratch/site/x": "", "scratch/site/index.html": ""},
    )
    assert pack(folder / "scratch/site").files == (".gitignore", "index.html")


@pytest.mark.usefixtures("without_git")
def test_without_git_an_ignored_folder_stands_for_itself(tmp_path: Path) -> None:
    files = {".git/HEAD": "", ".gitignore": "scratch/\n", "scratch/site/index.html": ""}
    assert pack(write_tree(tmp_path, files) / "scratch/site").files == ("index.html",)


def test_git_is_asked_about_this_folder_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a hook, which git starts with variables of its own."""
    other = _repository(tmp_path / "other", {"secret": ""})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    folder = write_tree(tmp_path / "site", {".git/HEAD": "", "index.html": ""})
    assert pack(folder).files == ("index.html",)


def test_a_repository_that_git_refuses_is_an_error_in_words(tmp_path: Path) -> None:
    folder = _repository(tmp_path / "repo", {"a": ""})
    (folder / ".git/index").write_bytes(b"broken")
    with pytest.raises(UserError) as refusal:
        pack(folder)
    assert refusal.value.code == "source.git-failed"
    assert "index" in refusal.value.message


def test_how_much_is_ignored_is_counted(tmp_path: Path) -> None:
    files = {
        ".gitignore": "dist/\n*.log\nnode_modules\n", "dist/a.js": "a" * 900, "dist/b/c.js": "b" * 100, "web/x.log": "12345", "web/a.ts": "",
        "node_modules/m/i.js": "x" * 5000, "page.ts": "",
    }  # fmt: skip
    plain = pack(write_tree(tmp_path / "plain", files)).ignored
    git = pack(_repository(tmp_path / "repo", files)).ignored
    assert plain == git
    assert (git.files, git.size_bytes, git.complete) == (3, 1005, True)
    assert git.biggest == (("dist/", 1000), ("web/x.log", 5))


def test_a_manifest_from_a_folder_below_goes_to_the_top(tmp_path: Path) -> None:
    folder = _repository(
        tmp_path / "repo", {"apps/web/gantry.toml": "mine", "gantry.toml": "other"}
    )
    packed = pack(folder, manifest=b"mine")
    assert packed.files == ("apps/web/gantry.toml", "gantry.toml")
    assert packed.contents == {"gantry.toml": b"mine"}
    assert packed.digest != pack(folder).digest
