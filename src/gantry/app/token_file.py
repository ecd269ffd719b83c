"""The operator's token, for those who only read it: no command waits for what renews it."""

from gantry.config.paths import Paths
from gantry.kernel.errors import AccessError, TransientError


def read_token(paths: Paths) -> str:
    """The present token.

    Raises:
        TransientError: `control.down` this platform was never started.
    """
    try:
        return paths.operator_token.read_text().strip()
    except PermissionError:
        raise AccessError(
            "control.forbidden",
            f"the platform in {paths.home} is run by another user",
            hint="sudo gantry …, or log in to it over the network: gantry login URL",
            where=str(paths.home),
        ) from None
    except FileNotFoundError:
        raise TransientError(
            "control.down",
            f"no platform was started in {paths.home} yet",
            hint="gantry up   (to use another machine's: gantry login URL)",
        ) from None
