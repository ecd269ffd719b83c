"""What may be asked of projects and environments."""

import base64
from dataclasses import dataclass

from gantry.engines.database.protocol import Session
from gantry.engines.secrets.protocol import SecretBox
from gantry.features.audit import store as audit
from gantry.features.projects import store
from gantry.features.projects.model import Environment, check_environment, check_project
from gantry.kernel.clock import Clock
from gantry.kernel.ids import IdSource


@dataclass(frozen=True, slots=True)
class ProjectService:
    """Makes projects and environments when they are first deployed to."""

    box: SecretBox
    clock: Clock
    ids: IdSource

    async def ensure(
        self, session: Session, project: str, environment: str, *, by: str
    ) -> Environment:
        """The environment, made together with its project when it is new.

        Raises:
            UserError: `project.bad-name`, `environment.bad-name`.
        """
        check_project(project)
        check_environment(environment)
        found = await store.find_environment(session, project, environment)
        if found is not None:
            return found
        now = self.clock.now()
        await store.insert_project(
            session, project, action_key_sealed=self._new_action_key(), at=now
        )
        await store.insert_environment(
            session, environment_id=self.ids.new("env"), project=project, name=environment, at=now
        )
        await audit.record(
            session,
            at=now,
            actor=by,
            action="environment.create",
            target=f"{project}/{environment}",
        )
        return await store.get_environment(session, project, environment)

    async def find_or_plan(self, session: Session, project: str, environment: str) -> Environment:
        """The environment, or what it would be if it were made now; nothing is made. Only one that exists has an `id`.

        Raises:
            UserError: `project.bad-name`, `environment.bad-name`.
        """
        check_project(project)
        check_environment(environment)
        found = await store.find_environment(session, project, environment)
        return found or Environment("", project, environment, None, 0, self.clock.now())

    def _new_action_key(self) -> bytes:
        # Next.js wants an AES key of 16, 24 or 32 bytes, base64.
        key = self.ids.secret().encode().ljust(32, b"0")[:32]
        return self.box.seal(base64.b64encode(key).decode())
