"""Where the operator's token lies, for those who only read it: no command waits for what renews it."""

from pathlib import Path

from gantry.config.paths import Paths
from gantry.kernel.errors import TransientError


def token_file(paths: Paths) -> Path:
    """Where the token lies, mode 0600."""
    return paths.keys / "operator.token"


def read_token(paths: Paths) -> str:
    """The present token.

    Raises:
        TransientError: `control.down` this platform was never started.
    """
    try:
        return token_file(paths).read_text().strip()
    except FileNotFoundError:
        raise TransientError(
            "control.down", f"no platform was started in {paths.home} yet", hint="gantry up"
        ) from None
