"""What may be asked of variables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from gantry.engines.database.protocol import Database, Session
from gantry.engines.secrets.protocol import SecretBox
from gantry.features.audit import store as audit
from gantry.features.projects.service import ProjectService
from gantry.features.variables import store
from gantry.features.variables.model import MAX_VARIABLES, Variable, check
from gantry.kernel.clock import Clock
from gantry.kernel.errors import UserError


@dataclass(frozen=True, slots=True)
class VariableService:
    """Sets variables. They take effect with the next release, never in a running one."""

    database: Database
    projects: ProjectService
    box: SecretBox
    clock: Clock

    async def change(
        self,
        project: str,
        environment: str,
        *,
        put: Mapping[str, str],
        remove: tuple[str, ...],
        by: str,
    ) -> tuple[Variable, ...]:
        """Set and remove variables, all or none; the variables afterwards.

        Raises:
            UserError: `variable.*` for what cannot be set, `variable.unknown`, `variable.too-many`; `project.bad-name`,
                `environment.bad-name`.
        """
        for name, value in put.items():
            check(name, value)
        async with self.database.transaction() as session:
            target = await self.projects.ensure(session, project, environment, by=by)
            now = self.clock.now()
            for name, value in put.items():
                await store.put(session, target.id, name, self.box.seal(value), at=now, by=by)
            for name in remove:
                if not await store.delete(session, target.id, name):
                    raise UserError(
                        "variable.unknown",
                        f"{environment} of {project} has no variable {name!r}",
                        hint="gantry env list shows them",
                    )
            left = await store.list_variables(session, target.id)
            if len(left) > MAX_VARIABLES:
                raise UserError(
                    "variable.too-many",
                    f"{len(left)} variables; the limit is {MAX_VARIABLES}",
                    hint="remove some with gantry env unset",
                )
            await audit.record(
                session,
                at=now,
                actor=by,
                action="variables.change",
                target=f"{project}/{environment}",
                details={"set": sorted(put), "unset": sorted(remove)},
            )
            return left

    async def reveal(self, session: Session, environment_id: str) -> dict[str, str]:
        """Name -> value, decrypted; for an instance's environment only."""
        sealed = await store.sealed_values(session, environment_id)
        return {name: self.box.open(value) for name, value in sealed.items()}

    def seal_all(self, values: Mapping[str, str]) -> bytes:
        """All values as one sealed text: what a release keeps."""
        return self.box.seal(json.dumps(dict(values), sort_keys=True))

    def open_all(self, sealed: bytes) -> dict[str, str]:
        """The values that a release kept."""
        values: dict[str, str] = json.loads(self.box.open(sealed))
        return values
