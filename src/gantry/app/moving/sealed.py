"""One encrypted file: a header, then age's own format, so that `age` opens it without Gantry.

`gantry-export 1 SIZE`, a line; then SIZE bytes: the key of what follows, as an age file that a passphrase opens (none where age
recipients were given); then a tar archive as an age file.
"""

import os
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pyrage
from pyrage import passphrase as by_passphrase, x25519

from gantry.kernel.errors import UserError

_MAGIC = b"gantry-export 1 "
_MAX_KEY_BYTES = 10_000
_MAX_HEADER_BYTES = 64
MIN_PASSPHRASE = 12


@dataclass(frozen=True, slots=True)
class Lock:
    """Who may open a file: whoever has the passphrase, or one of the recipients' keys."""

    passphrase: str = field(default="", repr=False)
    recipients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Key:
    """What opens a file: the passphrase, or the text of an age identity."""

    passphrase: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)


def check_lock(lock: Lock) -> None:
    """Refuse what would protect nothing.

    Raises:
        UserError: `export.weak-passphrase`, `export.bad-recipient`.
    """
    if not lock.recipients and len(lock.passphrase) < MIN_PASSPHRASE:
        raise UserError(
            "export.weak-passphrase",
            f"the passphrase has fewer than {MIN_PASSPHRASE} characters; the file holds every secret of the platform",
            hint="choose a longer one, or encrypt to an age key: gantry export FILE --recipient age1…",
        )
    _recipients(lock)


def write_sealed(file: Path, lock: Lock, fill: Callable[[tarfile.TarFile], None]) -> None:
    """Write an archive; a file that could not be finished is not there.

    Parameters:
        fill: adds the members. It runs in another thread than the encryption.

    Raises:
        OSError: what `fill` raises, too.
    """
    new = file.with_name(f".{file.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            recipients, wrapped = _recipients(lock), b""
            if not recipients:
                own = x25519.Identity.generate()
                recipients = [own.to_public()]
                wrapped = by_passphrase.encrypt(str(own).encode(), lock.passphrase)
            out.write(_MAGIC + f"{len(wrapped)}\n".encode() + wrapped)
            with _piped(fill) as tar:
                pyrage.encrypt_io(tar, out, recipients)
            out.flush()
            os.fsync(out.fileno())
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def _piped(fill: Callable[[tarfile.TarFile], None]) -> Iterator[object]:
    reader, writer = os.pipe()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with os.fdopen(writer, "wb") as out, tarfile.open(fileobj=out, mode="w|") as archive:
                fill(archive)
        except BaseException as error:  # noqa: BLE001 -- raised again where the archive is waited for
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        with os.fdopen(reader, "rb") as source:
            yield source
    finally:
        thread.join()
    if failures:
        raise failures[0]


def read_sealed(file: Path, key: Key, target: Path) -> None:
    """Unpack an archive into an empty folder.

    Raises:
        UserError: `import.not-an-export`, `import.wrong-key`.
        OSError: such as ENOSPC.
    """
    with file.open("rb") as source:
        wrapped = _wrapped_key(source.readline(_MAX_HEADER_BYTES), file)
        identity = _identity(source.read(wrapped), key)
        plain = target / ".plain.tar"
        try:
            with plain.open("wb") as out:
                plain.chmod(0o600)
                pyrage.decrypt_io(source, out, [identity])
            with tarfile.open(plain) as archive:
                # Checked one by one below: Python 3.11 before .4 has no filters. Folders get their modes last.
                archive.extraction_filter = lambda member, _: member
                archive.extractall(target, members=_safe(archive, target))  # noqa: S202
        except (pyrage.DecryptError, tarfile.TarError) as error:
            raise _wrong_key(str(error)) from None
        except OSError as error:
            if error.errno is not None:
                raise  # the machine's, such as a full disk
            raise _wrong_key(f"{error}; it is damaged or incomplete") from None
        finally:
            plain.unlink(missing_ok=True)


def _safe(archive: tarfile.TarFile, target: Path) -> Iterator[tarfile.TarInfo]:
    """The members, as long as each stays in `target`: who knows an age key's public half can encrypt anything to it."""
    inside = target.resolve()
    for member in archive:
        place = PurePosixPath(member.name)
        known = member.isreg() or member.isdir() or member.issym() or member.islnk()
        if not known or place.is_absolute() or ".." in place.parts:
            raise tarfile.TarError(f"it holds {member.name[:100]!r}, which no export does")
        # A link that an earlier member made may lead out of the folder.
        if not (target / place).parent.resolve().is_relative_to(inside):
            raise tarfile.TarError(f"{member.name[:100]!r} leads out of the archive")
        to = PurePosixPath(member.linkname)
        if member.islnk() and (to.is_absolute() or ".." in to.parts):
            raise tarfile.TarError(f"{member.name[:100]!r} is a link out of the archive")
        # By number: names are another machine's.
        member.uname = member.gname = ""
        yield member


def _wrapped_key(header: bytes, file: Path) -> int:
    size = header.removeprefix(_MAGIC).rstrip(b"\n")
    if not header.startswith(_MAGIC) or not size.isdigit() or int(size) > _MAX_KEY_BYTES:
        raise UserError(
            "import.not-an-export",
            f"{file} was not written by gantry export",
            where=str(file),
        )
    return int(size)


def _identity(wrapped: bytes, key: Key) -> x25519.Identity:
    try:
        if wrapped and key.passphrase:
            return x25519.Identity.from_str(by_passphrase.decrypt(wrapped, key.passphrase).decode())
        if key.identity:
            lines = [
                line for line in key.identity.splitlines() if line.startswith("AGE-SECRET-KEY-")
            ]
            return x25519.Identity.from_str(lines[0])
    except (pyrage.DecryptError, pyrage.IdentityError, IndexError, ValueError) as error:
        raise _wrong_key(str(error)) from None
    raise _wrong_key("it was encrypted to an age key" if not wrapped else "it needs its passphrase")


def _wrong_key(reason: str) -> UserError:
    return UserError(
        "import.wrong-key",
        f"the file cannot be opened: {reason or 'wrong key'}",
        hint="gantry import FILE asks for the passphrase; --identity names the file of an age key",
    )


def _recipients(lock: Lock) -> Sequence[x25519.Recipient]:
    try:
        return [x25519.Recipient.from_str(text) for text in lock.recipients]
    except pyrage.RecipientError as error:
        raise UserError(
            "export.bad-recipient",
            f"that is not the public half of an age key: {error}",
            hint="age-keygen prints one that begins with age1",
        ) from None
