"""What may be asked of accounts: login links, sessions and tokens."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from gantry.engines.database.protocol import Database
from gantry.features.accounts import store
from gantry.features.accounts.model import Caller, Role, Token, TokenKind
from gantry.features.audit import store as audit
from gantry.kernel.clock import Clock
from gantry.kernel.errors import AccessError, NotFoundError, UserError
from gantry.kernel.ids import IdSource

LOGIN_LINK_LIFE = timedelta(minutes=15)
SESSION_LIFE = timedelta(days=14)
TOKEN_LIFE = timedelta(days=90)
OPERATOR = Caller("operator", Role.OWNER)
_OPERATOR_LABEL = "operator of this machine"
_OPERATOR_LIFE = timedelta(days=7)
_OPERATOR_TOKENS = 2
# Under these the platform itself and its operator act: nobody else may look like them in the audit log.
_RESERVED = frozenset({OPERATOR.account, _OPERATOR_LABEL, "gantry"})


def _check_label(label: str) -> None:
    if label.strip().casefold() in _RESERVED:
        raise UserError(
            "token.reserved-label",
            f"a token cannot be called {label!r}: what it does is recorded under that name",
            hint="gantry token create ci",
        )


def token_hash(secret: str) -> str:
    """What is stored of a token. It has 256 random bits, so that a plain hash needs no salt."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AccountService:
    """Makes and checks tokens."""

    database: Database
    clock: Clock
    ids: IdSource

    async def login_link(self, *, by: Caller) -> tuple[str, Token]:
        """A secret that logs one browser in, once, within 15 minutes."""
        return await self._make(TokenKind.LOGIN, by.account, by.role, "login link", LOGIN_LINK_LIFE)

    async def redeem(self, secret: str) -> tuple[str, Token]:
        """Change a login link's secret for a session's.

        Raises:
            AccessError: `access.link-used` it was used, has expired, or never was.
        """
        link = await self._take(secret)
        return await self._make(TokenKind.SESSION, link.account, link.role, "browser", SESSION_LIFE)

    async def redeem_for_token(self, secret: str, *, label: str) -> tuple[str, Token]:
        """Change a login link's secret for a program's token with the same rights, which acts as its label.

        Raises:
            AccessError: `access.link-used`.
            UserError: `token.reserved-label`; the link can still be used.
        """
        _check_label(label)
        link = await self._take(secret)
        return await self._make(TokenKind.API, label, link.role, label, TOKEN_LIFE, by=link.account)

    async def _take(self, secret: str) -> Token:
        async with self.database.transaction() as session:
            link = await store.take(session, token_hash(secret), at=self.clock.now())
        if link is None or link.kind is not TokenKind.LOGIN:
            raise AccessError(
                "access.link-used",
                "this login link was used already, or has expired",
                hint="gantry open --console makes a new one",
            )
        return link

    async def api_token(
        self, *, label: str, role: Role, days: int, by: Caller
    ) -> tuple[str, Token]:
        """A token for a program. It always expires, may not do more than its maker, and acts under its label.

        Raises:
            AccessError: `access.role`.
            UserError: `token.reserved-label`.
        """
        if not by.role.covers(role):
            raise AccessError("access.role", f"a {by.role} cannot make a token for a {role}")
        _check_label(label)
        life = timedelta(days=days)
        return await self._make(TokenKind.API, label, role, label, life, by=by.account)

    async def operator_token(self) -> str:
        """A new token for whoever may read the operator's file. Of those before it the newest stays: a command may use it."""
        secret, _ = await self._make(
            TokenKind.API, OPERATOR.account, OPERATOR.role, _OPERATOR_LABEL, _OPERATOR_LIFE
        )
        async with self.database.transaction() as session:
            mine = [
                token
                for token in await store.list_api_tokens(session)
                if (token.account, token.label) == (OPERATOR.account, _OPERATOR_LABEL)
            ]
            for token in mine[_OPERATOR_TOKENS:]:
                await store.take(session, token.hash, at=self.clock.now())
        return secret

    async def caller(self, secret: str, kind: TokenKind) -> Caller | None:
        """Who presents this secret; `None` when nobody known does."""
        async with self.database.transaction() as session:
            token = await store.find(session, token_hash(secret), at=self.clock.now())
        return Caller(token.account, token.role) if token and token.kind is kind else None

    async def revoke(self, hash_prefix: str, *, by: Caller) -> None:
        """End an API token, named by the first 12 or more characters of its hash.

        Raises:
            NotFoundError: `token.unknown`.
        """
        async with self.database.transaction() as session:
            for token in await store.list_api_tokens(session):
                if len(hash_prefix) >= 12 and token.hash.startswith(hash_prefix):
                    await store.take(session, token.hash, at=self.clock.now())
                    await audit.record(
                        session,
                        at=self.clock.now(),
                        actor=by.account,
                        action="token.revoke",
                        target=token.label,
                    )
                    return
        raise NotFoundError("token.unknown", f"no token {hash_prefix!r}")

    async def log_out(self, secret: str) -> None:
        """End a session."""
        async with self.database.transaction() as session:
            await store.take(session, token_hash(secret), at=self.clock.now())

    async def _make(
        self,
        kind: TokenKind,
        account: str,
        role: Role,
        label: str,
        life: timedelta,
        *,
        by: str = "",
    ) -> tuple[str, Token]:
        """A new token of an account, made by another one where `by` says so."""
        secret, now = self.ids.secret(), self.clock.now()
        token = Token(token_hash(secret), kind, account, role, label, now, now + life)
        async with self.database.transaction() as session:
            await store.insert(session, token)
            await audit.record(
                session,
                at=now,
                actor=by or account,
                action=f"token.{kind}",
                target=label,
                details={"role": role, "expires_at": token.expires_at.isoformat()},
            )
        return secret, token
