"""Encryption of secrets at rest."""

from typing import Protocol


class SecretBox(Protocol):
    """Encrypts with the platform's key. Decrypted values live in memory and in an instance's environment only."""

    def seal(self, plain: str) -> bytes:
        """Encrypt."""
        ...

    def open(self, sealed: bytes) -> str:
        """Decrypt.

        Raises:
            IntegrityError: `secrets.undecipherable` another key sealed it, or it was altered.
        """
        ...
