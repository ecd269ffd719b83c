"""Secrets encrypted with age (X25519), by a key that lies in the platform's own folder."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pyrage
from pyrage import x25519

from gantry.engines.secrets.protocol import SecretBox
from gantry.kernel.errors import IntegrityError


class AgeBox:
    """Seals and opens with one identity.

    Parameters:
        key_file: the identity, mode 0600; made when it is missing.
    """

    def __init__(self, key_file: Path) -> None:
        self._identity = x25519.Identity.from_str(_read_or_make(key_file))

    def seal(self, plain: str) -> bytes:
        """See `SecretBox.seal`."""
        sealed: bytes = pyrage.encrypt(plain.encode(), [self._identity.to_public()])
        return sealed

    def open(self, sealed: bytes) -> str:
        """See `SecretBox.open`."""
        try:
            plain: bytes = pyrage.decrypt(sealed, [self._identity])
        except pyrage.DecryptError as error:
            raise IntegrityError(
                "secrets.undecipherable",
                "a stored secret cannot be decrypted with this platform's key",
                hint="restore keys/age.key in GANTRY_HOME from your backup",
            ) from error
        return plain.decode()


def _read_or_make(key_file: Path) -> str:
    try:
        return key_file.read_text().strip()
    except FileNotFoundError:
        pass
    key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = key_file.with_name(f".{key_file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(str(x25519.Identity.generate()))
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link fails where another process was first: then its key is the key.
        os.link(fresh, key_file)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return key_file.read_text().strip()


if TYPE_CHECKING:
    _guard: SecretBox = AgeBox(Path("age.key"))
