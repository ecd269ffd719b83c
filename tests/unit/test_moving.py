"""The encrypted file of an export: whoever has the key gets exactly what was put in, and nobody else anything."""

import tarfile
from pathlib import Path

import pytest
from pyrage import x25519

from gantry.app.moving.sealed import Key, Lock, check_lock, read_sealed, write_sealed
from gantry.kernel.errors import UserError
from tests.support.cli import Bench

PASSPHRASE = "correct horse battery"
# A passphrase costs a second of work on purpose; a key does not.
OWN = x25519.Identity.generate()
FOR_OWN = Lock(recipients=(str(OWN.to_public()),))


def fill(source: Path) -> None:
    (source / "keys").mkdir(parents=True)
    (source / "keys" / "age.key").write_text("secret")
    (source / "keys" / "age.key").chmod(0o600)
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)
    (source / "link").symlink_to("run.sh")


def seal(tmp_path: Path, lock: Lock) -> Path:
    source, file = tmp_path / "source", tmp_path / "platform.gantry"
    fill(source)

    def add(archive: tarfile.TarFile) -> None:
        for path in sorted(source.iterdir()):
            archive.add(path, path.name)

    write_sealed(file, lock, add)
    return file


def test_a_passphrase_opens_it(tmp_path: Path) -> None:
    file = seal(tmp_path, Lock(PASSPHRASE))
    assert file.stat().st_mode & 0o077 == 0
    assert b"secret" not in file.read_bytes()
    target = tmp_path / "target"
    target.mkdir()
    read_sealed(file, Key(PASSPHRASE), target)
    assert (target / "keys" / "age.key").read_text() == "secret"
    assert (target / "keys" / "age.key").stat().st_mode & 0o777 == 0o600
    assert (target / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (target / "link").readlink() == Path("run.sh")
    assert sorted(path.name for path in target.iterdir()) == ["keys", "link", "run.sh"]


def test_the_holder_of_an_age_key_opens_it(tmp_path: Path) -> None:
    file = seal(tmp_path, FOR_OWN)
    target = tmp_path / "target"
    target.mkdir()
    read_sealed(file, Key(identity=f"# made by age-keygen\n{OWN}\n"), target)
    assert (target / "run.sh").exists()


@pytest.mark.parametrize("key", [Key(PASSPHRASE), Key(), Key(identity="nonsense"), Key(identity=str(x25519.Identity.generate()))])  # fmt: skip
def test_nobody_else_does(tmp_path: Path, key: Key) -> None:
    file = seal(tmp_path, FOR_OWN)
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(UserError) as caught:
        read_sealed(file, key, target)
    assert caught.value.code == "import.wrong-key"
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 10, 200, -1])
def test_half_a_file_or_another_one_is_refused_as_a_whole(tmp_path: Path, cut: int) -> None:
    file = seal(tmp_path, FOR_OWN)
    content = file.read_bytes()
    file.write_bytes(content[:cut])
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(UserError) as caught:
        read_sealed(file, Key(identity=str(OWN)), target)
    assert caught.value.code in ("import.wrong-key", "import.not-an-export")
    assert list(target.iterdir()) == []


def hostile(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize(
    "members",
    [
        [hostile("../outside")],
        [hostile("/tmp/outside")],
        [hostile("a", tarfile.SYMTYPE, "/"), hostile("a/outside")],
        [hostile("a", tarfile.SYMTYPE, ".."), hostile("a/outside")],
        [hostile("a", tarfile.LNKTYPE, "../outside")],
        [hostile("a", tarfile.CHRTYPE)],
        [hostile("a", tarfile.FIFOTYPE)],
    ],
)
def test_an_archive_of_somebody_else_writes_nothing_outside(
    tmp_path: Path, members: list[tarfile.TarInfo]
) -> None:
    """Who knows the public half of an age key can encrypt anything to it."""
    file, target = tmp_path / "x.gantry", tmp_path / "target"

    def add(archive: tarfile.TarFile) -> None:
        for item in members:
            archive.addfile(item)

    write_sealed(file, FOR_OWN, add)
    target.mkdir()
    (tmp_path / "outside").write_text("as before")
    with pytest.raises(UserError) as caught:
        read_sealed(file, Key(identity=str(OWN)), target)
    assert caught.value.code == "import.wrong-key"
    assert (tmp_path / "outside").read_text() == "as before"


def test_folders_that_nobody_may_write_to_are_unpacked(tmp_path: Path) -> None:
    """As those of artifacts are."""
    source = tmp_path / "source"
    (source / "sealed").mkdir(parents=True)
    (source / "sealed" / "file").write_text("x")
    (source / "sealed").chmod(0o555)
    file, target = tmp_path / "x.gantry", tmp_path / "target"
    target.mkdir()
    write_sealed(file, FOR_OWN, lambda archive: archive.add(source / "sealed", "sealed"))
    read_sealed(file, Key(identity=str(OWN)), target)
    assert (target / "sealed").stat().st_mode & 0o777 == 0o555
    assert (target / "sealed" / "file").read_text() == "x"


def test_what_cannot_be_read_leaves_no_file(tmp_path: Path) -> None:
    def add(archive: tarfile.TarFile) -> None:
        archive.add(tmp_path / "nothing")

    with pytest.raises(FileNotFoundError):
        write_sealed(tmp_path / "x.gantry", FOR_OWN, add)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("lock", "code"),
    [
        (Lock("short"), "export.weak-passphrase"),
        (Lock(""), "export.weak-passphrase"),
        (Lock(recipients=("age1nonsense",)), "export.bad-recipient"),
    ],
)
def test_a_lock_that_protects_nothing_is_refused_before_anything_is_copied(
    lock: Lock, code: str
) -> None:
    with pytest.raises(UserError) as caught:
        check_lock(lock)
    assert caught.value.code == code


def test_the_passphrase_is_asked_for_and_never_shown(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    done = bench.run("export", "p.gantry", stdin=f"{PASSPHRASE}\n{PASSPHRASE}\n")
    assert done.code == 0
    assert PASSPHRASE in (tmp_path / "p.gantry").read_text()
    assert PASSPHRASE not in done.out + done.err
    secret = tmp_path / "passphrase"
    secret.write_text(f"{PASSPHRASE}\n")
    assert (
        bench.run("import", str(tmp_path / "p.gantry"), "--passphrase-file", str(secret)).code == 0
    )
    assert bench.platform.imported == [(PASSPHRASE, "")]
