"""A box that hides nothing."""

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

from gantry.engines.secrets.protocol import SecretBox
from gantry.kernel.errors import IntegrityError


class FakeBox:
    """Reversible, deterministic and not secret.

    Parameters:
        key: boxes with different keys cannot open each other's secrets.
    """

    def __init__(self, key: str = "key") -> None:
        self._prefix = f"sealed-with-{key}:".encode()

    def seal(self, plain: str) -> bytes:
        """See `SecretBox.seal`."""
        return self._prefix + b64encode(plain.encode())

    def open(self, sealed: bytes) -> str:
        """See `SecretBox.open`."""
        try:
            assert sealed.startswith(self._prefix)
            return b64decode(sealed.removeprefix(self._prefix), validate=True).decode()
        except (AssertionError, ValueError) as error:
            raise IntegrityError(
                "secrets.undecipherable", "a stored secret cannot be decrypted with this key"
            ) from error


if TYPE_CHECKING:
    _guard: SecretBox = FakeBox()
