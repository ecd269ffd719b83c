"""The logs of an environment's instances."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from gantry.features.instances.bodies import LogBody
from gantry.features.projects import store as projects
from gantry.kernel.errors import NotFoundError
from gantry.kernel.redact import Redactor
from gantry.web.services import Services
from gantry.web.streams import LOOK_EVERY_S, Event
from gantry.web.views.logs import Follower, Masks
from gantry.web.views.reader import Reader

MOST_LINES = 5_000


@dataclass(frozen=True, slots=True)
class EnvironmentLogs:
    """Reads what the instances of one environment print.

    Attributes:
        instance: only this one; empty for all.
    """

    services: Services
    masks: Masks
    project: str
    environment: str
    instance: str = ""

    async def check(self) -> None:
        """Refuse what does not exist.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`, `instance.unknown`.
        """
        sources, _ = await self._look()
        if self.instance and not sources:
            raise NotFoundError(
                "instance.unknown",
                f"{self.environment} of {self.project} has no instance {self.instance!r}",
                hint="gantry status lists the instances",
            )

    async def tail(self, lines: int) -> tuple[LogBody, ...]:
        """The last lines of each instance."""
        sources, redact = await self._look()
        follower = Follower(self.services)
        return tuple([await follower.first(source, redact, lines=lines) for source in sources])

    async def follow(self, lines: int) -> AsyncIterator[Event | None]:
        """The last lines, then new ones as they come; `None` after each look that showed nothing new."""
        follower = Follower(self.services)
        begun: set[str] = set()
        lines_now = lines
        while not self.services.closing():
            sources, redact = await self._look()
            for source in sources:
                if source in begun:
                    body = await follower.read(source, redact)
                else:
                    # An instance that starts while we look is shown from its first line.
                    body = await follower.first(source, redact, lines=lines_now)
                if body.text:
                    yield "log", body
            begun.update(sources)
            lines_now = MOST_LINES
            yield None
            await self.services.clock.sleep(LOOK_EVERY_S)

    async def _look(self) -> tuple[tuple[str, ...], Redactor]:
        async with self.services.state.transaction() as session:
            reader = Reader(self.services, session)
            found = await projects.get_environment(session, self.project, self.environment)
            pairs = await reader.instances(found)
            wanted = tuple(
                instance.id
                for instance, _ in pairs
                if not self.instance or instance.id == self.instance
            )
            redact = await self.masks.of(reader, found, (release for _, release in pairs))
        return wanted, redact
