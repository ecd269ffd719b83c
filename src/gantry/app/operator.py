"""The token by which the operator of this machine is known: a file that only they can read, renewed daily."""

import os
from dataclasses import dataclass

from gantry.app.token_file import token_file
from gantry.config.paths import Paths
from gantry.features.accounts.model import Caller, Role
from gantry.features.accounts.service import AccountService
from gantry.kernel.clock import Clock

_OPERATOR = Caller("operator", Role.OWNER)
_LIFE_DAYS = 7
_RENEW_EVERY_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class OperatorToken:
    """Keeps the file fresh."""

    paths: Paths
    accounts: AccountService
    clock: Clock

    async def renew(self) -> None:
        """Write a new token; those before it expire within a week."""
        secret, _ = await self.accounts.api_token(
            label="operator of this machine", role=Role.OWNER, days=_LIFE_DAYS, by=_OPERATOR
        )
        target = token_file(self.paths)
        fresh = target.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)

    async def keep_fresh(self) -> None:
        """Renew every day."""
        while True:
            await self.clock.sleep(_RENEW_EVERY_S)
            await self.renew()
