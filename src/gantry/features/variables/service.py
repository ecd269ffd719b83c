"""What may be asked of variables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from gantry.engines.database.protocol import Database, Session
from gantry.engines.secrets.protocol import SecretBox
from gantry.features.audit import store as audit
from gantry.features.projects import store as projects
from gantry.features.projects.service import ProjectService
from gantry.features.variables import store
from gantry.features.variables.model import MAX_VARIABLES, DifferenceState, Variable, check
from gantry.kernel.clock import Clock
from gantry.kernel.errors import UserError
from gantry.kernel.units import counted


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
                    raise _unknown(project, environment, name)
            left = await store.list_variables(session, target.id)
            if len(left) > MAX_VARIABLES:
                raise UserError(
                    "variable.too-many",
                    f"{counted(len(left), 'variable')}; the limit is {MAX_VARIABLES}",
                    hint="remove some: gantry env unset NAME",
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

    async def copy(
        self,
        project: str,
        environment: str,
        *,
        from_environment: str,
        names: tuple[str, ...],
        by: str,
    ) -> tuple[Variable, ...]:
        """Set variables to what they are in another environment of the project; the variables afterwards.

        Parameters:
            names: which; empty for all of them.

        Raises:
            UserError: `variable.same-environment`; `variable.unknown` the other one has none of a name; as `change`.
            NotFoundError: `environment.unknown`.
        """
        if environment == from_environment:
            raise UserError(
                "variable.same-environment",
                f"{environment} has its own variables already",
                hint="gantry env copy staging production",
            )
        async with self.database.transaction() as session:
            origin = await projects.get_environment(session, project, from_environment)
            values = await self.reveal(session, origin.id)
        for name in names:
            if name not in values:
                raise _unknown(project, from_environment, name)
        put = {name: values[name] for name in names or values}
        return await self.change(project, environment, put=put, remove=(), by=by)

    async def differences(
        self, project: str, environment: str, other: str
    ) -> Mapping[str, DifferenceState]:
        """Name -> how a variable of an environment stands to that of another; no value leaves this room.

        Raises:
            NotFoundError: `environment.unknown`.
        """
        async with self.database.transaction() as session:
            here = await projects.get_environment(session, project, environment)
            there = await projects.get_environment(session, project, other)
            ours = await self.reveal(session, here.id)
            theirs = await self.reveal(session, there.id)
        return {name: _state(name, ours, theirs) for name in sorted(ours.keys() | theirs.keys())}

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


def _unknown(project: str, environment: str, name: str) -> UserError:
    return UserError(
        "variable.unknown",
        f"{environment} of {project} has no variable {name!r}",
        hint=f"gantry env list -e {environment} shows them",
    )


def _state(name: str, ours: Mapping[str, str], theirs: Mapping[str, str]) -> DifferenceState:
    if name not in theirs:
        return "only-here"
    if name not in ours:
        return "only-there"
    return "equal" if ours[name] == theirs[name] else "differs"
