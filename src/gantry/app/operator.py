"""The token by which the operator of this machine is known: a file that only they can read, renewed daily."""

from dataclasses import dataclass

from gantry.config.paths import Paths
from gantry.features.accounts.service import AccountService
from gantry.kernel.clock import Clock
from gantry.kernel.files import replace_file

_RENEW_INTERVAL_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class OperatorToken:
    """Keeps the file fresh."""

    paths: Paths
    accounts: AccountService
    clock: Clock

    async def renew(self) -> None:
        """Write a new token; the one before it works on until the next."""
        replace_file(self.paths.operator_token, await self.accounts.operator_token())

    async def keep_fresh(self) -> None:
        """Renew every day."""
        while True:
            await self.clock.sleep(_RENEW_INTERVAL_S)
            await self.renew()
