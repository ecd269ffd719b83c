"""What every source store must do, asked of the fake and of the real one."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gantry.engines.sources.protocol import SourceStore
from gantry.engines.sources.store import FolderSourceStore
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import TransientError, UserError
from gantry.source.pack import Bounds, pack
from tests.fakes.machine import Faults, Machine
from tests.fakes.sources import FakeSources
from tests.support.builders import stream, write_tree

_BOUNDS = Bounds(size_bytes=1_000_000, files=100)
_FILES = {"gantry.toml": "[project]", "src/main.js": "1", "src/deep/a.txt": "a"}


@pytest.fixture(params=["fake", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SourceStore:
    if request.param == "fake":
        return FakeSources(Machine(ManualClock()), tmp_path / "fake", _BOUNDS)
    return FolderSourceStore(tmp_path / "sources", _BOUNDS)


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return content.getvalue()


def _file(name: str, data: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), data


def _special(name: str, kind: bytes, to: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info, b""


async def test_a_snapshot_is_kept_under_its_digest(store: SourceStore, tmp_path: Path) -> None:
    packed = pack(write_tree(tmp_path / "tree", _FILES))
    (tmp_path / "tree/src/main.js").chmod(0o755)
    (tmp_path / "tree/link").symlink_to("src/main.js")
    packed = pack(tmp_path / "tree")
    assert await store.get(packed.digest) is None
    snapshot = await store.receive(stream(*packed.chunks()), digest=packed.digest)
    assert snapshot.digest == packed.digest
    assert snapshot.files == 4
    assert (snapshot.root / "src/deep/a.txt").read_text() == "a"
    assert (snapshot.root / "link").read_text() == "1"
    assert (snapshot.root / "src/main.js").stat().st_mode & 0o100
    assert await store.get(packed.digest) == snapshot
    assert dict(await store.list()) == {packed.digest: packed.size_bytes}
    # Whoever sends it again gets the one that is kept; nothing is read.
    assert await store.receive(stream(b"nonsense"), digest=packed.digest) == snapshot


async def test_files_are_read_and_nothing_outside_of_the_tree(
    store: SourceStore, tmp_path: Path
) -> None:
    packed = pack(write_tree(tmp_path / "tree", _FILES | {"large.txt": "l" * 5000}))
    await store.receive(stream(*packed.chunks()), digest=packed.digest)
    assert await store.read_file(packed.digest, "gantry.toml") == b"[project]"
    assert await store.read_file(packed.digest, "nothing.toml") is None
    assert await store.read_file(packed.digest, "src") is None
    assert await store.read_file(packed.digest, "gantry.toml/a") is None
    assert await store.read_file(packed.digest, "../snapshot.json") is None
    assert await store.read_file(packed.digest, "/etc/passwd") is None
    assert await store.read_file(packed.digest, "large.txt", limit_bytes=10) is None
    assert await store.read_file("0" * 64, "gantry.toml") is None


async def test_what_was_removed_is_gone(store: SourceStore, tmp_path: Path) -> None:
    packed = pack(write_tree(tmp_path / "tree", _FILES))
    await store.receive(stream(*packed.chunks()), digest=packed.digest)
    await store.remove(packed.digest)
    await store.remove(packed.digest)
    await store.remove("../tree")
    assert await store.get(packed.digest) is None
    assert dict(await store.list()) == {}


async def test_another_digest_than_announced_is_refused(store: SourceStore, tmp_path: Path) -> None:
    packed = pack(write_tree(tmp_path / "tree", _FILES))
    with pytest.raises(UserError) as refusal:
        await store.receive(stream(*packed.chunks()), digest="0" * 64)
    assert refusal.value.code == "source.digest-mismatch"
    assert dict(await store.list()) == {}


EVIL: dict[str, Callable[[], bytes]] = {
    "path with dots": lambda: _tar(_file("../evil")),
    "absolute path": lambda: _tar(_file("/tmp/evil")),
    "dots inside": lambda: _tar(_file("a/../../evil")),
    "link out": lambda: _tar(_special("a", tarfile.SYMTYPE, "../../etc")),
    "absolute link": lambda: _tar(_special("a", tarfile.SYMTYPE, "/etc/passwd")),
    "hard link": lambda: _tar(_file("b"), _special("a", tarfile.LNKTYPE, "b")),
    "device": lambda: _tar(_special("a", tarfile.CHRTYPE)),
    "pipe": lambda: _tar(_special("a", tarfile.FIFOTYPE)),
    "file through a link": lambda: _tar(_special("a", tarfile.SYMTYPE, "b"), _file("a/x")),
    "link through a link": lambda: _tar(
        _file("b/c/f"),
        _special("b/c/up", tarfile.SYMTYPE, "../.."),
        _special("out", tarfile.SYMTYPE, "b/c/up/.."),
    ),
    "link below a link": lambda: _tar(
        _file("d/f"), _special("a", tarfile.SYMTYPE, "d"), _special("a/x", tarfile.SYMTYPE, "f")
    ),
    "the same twice": lambda: _tar(_file("a"), _file("a")),
    "file as folder": lambda: _tar(_file("a"), _file("a/b")),
    "empty name": lambda: _tar(_file("a//b")),
    "no archive": lambda: b"hello",
    "cut short": lambda: _tar(_file("a", b"x" * 50_000))[:-200],
    "not a tar": lambda: gzip.compress(b"hello" * 1000),
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("name", EVIL)
async def test_evil_archives_are_refused_and_leave_nothing(
    store: SourceStore, tmp_path: Path, name: str
) -> None:
    (tmp_path / "evil").mkdir()
    with pytest.raises(UserError) as refusal:
        await store.receive(stream(EVIL[name]()), digest="0" * 64)
    assert refusal.value.code == "source.bad-archive", refusal.value.message
    assert dict(await store.list()) == {}
    assert not Path("/tmp/evil").exists()
    assert list((tmp_path / "evil").iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda: _tar(_file("a", b"\0" * 2_000_000)), id="large file"),
        pytest.param(lambda: _tar(*(_file(f"f{n}") for n in range(101))), id="many files"),
        pytest.param(
            lambda: _tar((_special("a", tarfile.XHDTYPE)[0], b"\0" * 5_000_000)), id="bomb"
        ),
        pytest.param(lambda: b"\1" * 3_000_000, id="large upload"),
    ],
)
async def test_archives_beyond_the_bounds_are_refused(
    store: SourceStore, content: Callable[[], bytes]
) -> None:
    with pytest.raises(UserError) as refusal:
        await store.receive(stream(content()), digest="0" * 64)
    assert refusal.value.code in ("source.too-large", "source.bad-archive")


async def test_a_restart_finds_what_was_kept_and_drops_what_was_damaged(tmp_path: Path) -> None:
    packed = pack(write_tree(tmp_path / "tree", _FILES))
    kept = FolderSourceStore(tmp_path / "sources")
    snapshot = await kept.receive(stream(*packed.chunks()), digest=packed.digest)
    assert snapshot.root.stat().st_mode & 0o222 == 0
    assert (snapshot.root / "gantry.toml").stat().st_mode & 0o777 == 0o444
    assert await FolderSourceStore(tmp_path / "sources").get(packed.digest) == snapshot
    (snapshot.root / "gantry.toml").chmod(0o644)
    (snapshot.root / "gantry.toml").write_text("damaged by a power cut")
    assert await FolderSourceStore(tmp_path / "sources").get(packed.digest) is None
    again = await kept.receive(stream(*packed.chunks()), digest=packed.digest)
    assert (again.root / "gantry.toml").read_text() == "[project]"
    assert [place.name for place in (tmp_path / "sources").iterdir()] == [packed.digest]


async def test_the_fake_can_lose_a_reply_after_it_kept_the_snapshot(tmp_path: Path) -> None:
    packed = pack(write_tree(tmp_path / "tree", _FILES))
    machine = Machine(ManualClock(), faults=Faults(lose_reply=1.0))
    fake = FakeSources(machine, tmp_path / "fake")
    with pytest.raises(TransientError):
        await fake.receive(stream(*packed.chunks()), digest=packed.digest)
    assert await fake.get(packed.digest) is not None
