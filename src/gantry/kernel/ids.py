"""Identities and secrets, drawn from a source that is passed in."""

import random
import secrets
from typing import Protocol

# No vowels (no words by accident), no look-alikes (0/o, 1/l).
_ALPHABET = "23456789bcdfghjkmnpqrstvwxz"


class IdSource(Protocol):
    """Where new names come from."""

    def new(self, prefix: str) -> str:
        """A new identity such as `dep-7kq2m9xw4t`: lower case, safe in a host name or a path."""
        ...

    def secret(self) -> str:
        """A new unguessable URL-safe text of 32 bytes of entropy."""
        ...


class SystemIds:
    """Identities and secrets from the operating system's generator."""

    def new(self, prefix: str) -> str:
        return f"{prefix}-" + "".join(secrets.choice(_ALPHABET) for _ in range(10))

    def secret(self) -> str:
        return secrets.token_urlsafe(32)


class SeededIds:
    """Repeatable identities for tests and the simulation. Never for real secrets."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def new(self, prefix: str) -> str:
        return f"{prefix}-" + "".join(self._random.choice(_ALPHABET) for _ in range(10))

    def secret(self) -> str:
        return f"{self._random.getrandbits(256):064x}"
