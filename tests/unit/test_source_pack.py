"""Packing a directory: what goes in, what stays, and one digest wherever it is computed."""

import random
import subprocess
import sys
import tarfile
import tempfile
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from gantry.engines.sources.unpack import unpack
from gantry.kernel.errors import UserError
from gantry.kernel.trees import tree_digest
from gantry.source.commit import commit_of
from gantry.source.pack import Bounds, leads_out, pack
from tests.support.builders import write_tree

_NAMES = st.text(
    # Without dots: some endings are those of keys, which are left out.
    st.characters(exclude_characters="/\0.", exclude_categories=["Cs", "Cc"]),
    max_size=12,
).map("n{}".format)
_TREES = st.dictionaries(
    st.lists(_NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=200), min_size=1, max_size=8
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(_TREES)
def test_what_is_unpacked_has_the_digest_of_what_was_packed(tree: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "tree"
        written = 0
        for path, content in tree.items():
            place = folder / path
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                continue  # "a" and "a/b" cannot both be
            written += 1
        packed = pack(folder)
        data = b"".join(packed.chunks())
        assert data == b"".join(pack(folder).chunks()), "the same folder gives the same bytes"
        unpack(BytesIO(data), Path(name) / "out", Bounds())
        found = tree_digest(Path(name) / "out")
        assert found.digest == packed.digest == tree_digest(folder).digest
        assert found.files == len(packed.files) == written
        assert found.size_bytes == packed.size_bytes


def test_the_digest_follows_paths_modes_contents_and_kinds(tmp_path: Path) -> None:
    folder = write_tree(tmp_path, {"a.txt": "1", "b.txt": "2"})
    digests = {pack(folder).digest}
    (folder / "a.txt").chmod(0o755)
    digests.add(pack(folder).digest)
    (folder / "a.txt").write_text("2")
    digests.add(pack(folder).digest)
    (folder / "b.txt").rename(folder / "c.txt")
    digests.add(pack(folder).digest)
    (folder / "c.txt").unlink()
    (folder / "c.txt").symlink_to("a.txt")
    digests.add(pack(folder).digest)
    assert len(digests) == 5
    before = pack(folder).digest
    (folder / "a.txt").touch()
    (folder / "empty").mkdir()
    assert pack(folder).digest == before, "times and empty folders do not count"


def test_ignored_and_generated_files_stay(tmp_path: Path) -> None:
    files = {
        ".gitignore": "*.log\n/dist\nbuild/\n!keep.log\n",
        ".gantryignore": "!dist\ndocs\n",
        "a.log": "", "keep.log": "", "dist/made.js": "", "build/x": "", "docs/x.md": "",
        "web/.gitignore": "local.txt\n", "web/local.txt": "", "local.txt": "", "web/page.ts": "",
        "node_modules/x/i.js": "", "web/node_modules/y/i.js": "", ".next/a": "", ".venv/a": "",
        "src/__pycache__/a.pyc": "", ".git/HEAD": "",
    }  # fmt: skip
    packed = pack(write_tree(tmp_path, files))
    assert packed.files == (
        ".gantryignore", ".gitignore", "dist/made.js", "keep.log", "local.txt", "web/.gitignore", "web/page.ts",
    )  # fmt: skip
    assert packed.left_out == {}


_KEY = "-----BEGIN PRIVATE KEY-----\nabc\n"


def test_secrets_stay_and_are_named(tmp_path: Path) -> None:
    files = {
        ".env": "A=1", ".env.production": "A=1", "web/.env.local": "A=1", ".env.example": "A=",
        "server.pem": _KEY, "ca.pem": "-----BEGIN CERTIFICATE-----", "deploy.key": _KEY, "id_rsa": "", "id_rsa.pub": "",
        ".npmrc": "//npm.test/:_authToken=npm_abc", "web/.npmrc": "//npm.test/:_authToken=${NPM_TOKEN}",
        "environment.ts": "", ".envrc.md": "",
    }  # fmt: skip
    packed = pack(write_tree(tmp_path, files))
    assert packed.files == (".env.example", ".envrc.md", "ca.pem", "environment.ts", "web/.npmrc")
    assert set(packed.left_out) == set(files) - set(packed.files)
    assert "NPM_TOKEN" in packed.left_out[".npmrc"]
    assert "gantry env set" in packed.left_out[".env"]


def _committed(folder: Path, *paths: str) -> Path:
    for command in (("init", "-q"), ("add", "-f", *paths)):
        subprocess.run(("git", *command), cwd=folder, check=True)
    return folder


_ENV = "VITE_API=https://api.example\nDB_PASSWORD=hunter2\n"
_VITE = '{"devDependencies": {"vite": "7"}}'


def test_of_a_committed_env_file_only_what_is_public_is_sent(tmp_path: Path) -> None:
    files = {
        "package.json": _VITE,
        ".env": _ENV, ".env.production": "VITE_MODE='live'\n", ".env.staging": _ENV, ".env.local": _ENV,
        "api/.env": "DB_PASSWORD=hunter2\n", "web/.env": "NEXT_PUBLIC_A=1\nVITE_B=2\nPUBLIC_C=3\n",
        "web/package.json": '{"dependencies": {"next": "16"}}', "bad/.env": "VITE_A=1\nprose\n",
    }  # fmt: skip
    folder = _committed(
        write_tree(tmp_path / "tree", files),
        "package.json", ".env", ".env.production", ".env.local", "api/.env", "web/.env", "bad/.env",
    )  # fmt: skip
    packed = pack(folder)
    data = b"".join(packed.chunks())
    assert b"hunter2" not in zlib.decompress(data, 31)
    unpack(BytesIO(data), tmp_path / "out", Bounds())
    sent = {path: (tmp_path / "out" / path).read_text() for path in packed.files if ".env" in path}
    assert sent == {
        ".env": "VITE_API=https://api.example\n",
        ".env.production": "VITE_MODE='live'\n",
        "web/.env": "NEXT_PUBLIC_A=1\nVITE_B=2\n",
    }
    assert tree_digest(tmp_path / "out").digest == packed.digest
    assert set(packed.left_out) == {
        ".env",
        ".env.staging",
        ".env.local",
        "api/.env",
        "web/.env",
        "bad/.env",
    }
    assert packed.left_out[".env"].startswith("only its public variables are sent")
    assert packed.left_out["bad/.env"] == "cannot be read: .env:2: is not NAME=value"


def test_of_a_committed_env_file_a_prefix_that_the_product_chose_is_public(tmp_path: Path) -> None:
    files = {
        "package.json": _VITE,
        "vite.config.ts": "envPrefix: 'APP_'",
        ".env": "APP_A=1\nDB=2\n",
    }
    folder = _committed(write_tree(tmp_path / "tree", files), *files)
    packed = pack(folder)
    unpack(BytesIO(b"".join(packed.chunks())), tmp_path / "out", Bounds())
    assert (tmp_path / "out/.env").read_text() == "APP_A=1\n"


def test_without_git_no_env_file_is_sent(tmp_path: Path) -> None:
    packed = pack(write_tree(tmp_path, {"package.json": _VITE, ".env": _ENV}))
    assert packed.files == ("package.json",)
    assert "gantry env set" in packed.left_out[".env"]


def test_a_secret_that_changes_does_not_change_the_digest(tmp_path: Path) -> None:
    packed = pack(write_tree(tmp_path, {"gantry.toml": "", "index.html": "hello", ".env": "A=1"}))
    assert packed.files == ("gantry.toml", "index.html")
    (tmp_path / ".env").write_text("A=2")
    assert pack(tmp_path).digest == packed.digest
    (tmp_path / "index.html").write_text("other")
    assert pack(tmp_path).digest != packed.digest


def test_a_packed_tree_can_be_sent_twice(tmp_path: Path) -> None:
    packed = pack(write_tree(tmp_path, {"a.txt": "1", "b.txt": "2"}))
    assert b"".join(packed.chunks()) == b"".join(packed.chunks()) != b""


def test_links_that_lead_out_stay_and_are_named(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "tree", {"a.txt": "", "sub/b.txt": ""})
    (folder / "in").symlink_to("a.txt")
    (folder / "sub/up").symlink_to("../a.txt")
    (folder / "out").symlink_to("../secret")
    (folder / "absolute").symlink_to("/etc/passwd")
    packed = pack(folder)
    assert set(packed.files) == {"a.txt", "in", "sub/b.txt", "sub/up"}
    assert set(packed.left_out) == {"out", "absolute"}


@pytest.mark.parametrize(
    ("path", "target", "out"),
    [("a", "b", False), ("a", "../b", True), ("d/a", "../b", False), ("d/a", "../../b", True),
     ("a", "/b", True), ("a", "", True), ("d/a", "../d/../../x", True), ("a", "./b/..", False)],
)  # fmt: skip
def test_where_a_link_leads(path: str, target: str, *, out: bool) -> None:
    assert leads_out(path, target) is out


def test_a_source_that_is_too_large_is_refused_with_the_largest_folders(tmp_path: Path) -> None:
    files = {"video/a.mp4": "v" * 5000, "images/b.png": "i" * 3000, "src/c.js": "s" * 10, "d": "d"}
    folder = write_tree(tmp_path, files)
    with pytest.raises(UserError) as refusal:
        pack(folder, Bounds(size_bytes=4000))
    assert refusal.value.code == "source.too-large"
    assert "video/ (5.0 KB), images/ (3.0 KB), src/ (10 B)" in refusal.value.message
    assert ".gantryignore" in refusal.value.hint
    with pytest.raises(UserError, match="4 files"):
        pack(folder, Bounds(files=3))


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UserError) as refusal:
            pack(folder)
        assert refusal.value.code == "source.empty"


def test_a_file_that_changes_in_between_is_noticed(tmp_path: Path) -> None:
    folder = write_tree(tmp_path, {"a.txt": "1"})
    packed = pack(folder)
    (folder / "a.txt").write_text("longer")
    with pytest.raises(UserError) as refusal:
        b"".join(packed.chunks())
    assert refusal.value.code == "source.changed"


def test_a_large_file_is_streamed_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(random.Random(1).randbytes(3_000_000))
    (tmp_path / "z").write_text("after")
    chunks = list(pack(tmp_path).chunks())
    with tarfile.open(fileobj=BytesIO(b"".join(chunks))) as tar:
        members = {member.name: member for member in tar}
    assert members["noise"].size == 3_000_000
    assert {(member.uid, member.mtime) for member in members.values()} == {(0, 0)}


def test_the_packer_starts_fast_and_without_frameworks() -> None:
    """The CLI imports it on every deploy."""
    code = "import sys, gantry.source.pack; print(' '.join(sys.modules))"
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"asyncio", "fastapi", "pydantic", "httpx", "subprocess"}


def _git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.test")
    subprocess.run(("git", "-C", str(folder), *identity, *words), check=True, capture_output=True)


def test_the_commit_of_a_folder(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "repo", {"web/a.txt": "1", "README.md": ""})
    assert commit_of(tmp_path) is None
    _git(folder, "init", "-b", "trunk")
    empty = commit_of(folder)
    assert empty is not None
    assert (empty.sha, empty.branch, empty.dirty) == ("", "trunk", True)
    _git(folder, "add", ".")
    _git(folder, "commit", "-m", "First\n\nwith a body")
    commit = commit_of(folder)
    assert commit is not None
    assert len(commit.sha) == 40
    assert (commit.branch, commit.message, commit.author) == ("trunk", "First", "Ada")
    assert not commit.dirty
    (folder / "README.md").write_text("changed")
    inside = commit_of(folder / "web")
    assert inside is not None
    assert not inside.dirty, "a change elsewhere is not part of what is deployed"
    _git(folder, "checkout", "--detach")
    detached = commit_of(folder)
    assert detached is not None
    assert (detached.branch, detached.dirty) == ("", True)
