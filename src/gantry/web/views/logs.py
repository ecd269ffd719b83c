"""Logs on their way out: read on from where one was, with every known secret masked."""

from collections.abc import Iterable

from gantry.features.instances.bodies import LogBody
from gantry.features.instances.masking import secrets_of
from gantry.features.projects.model import Environment
from gantry.features.releases.model import Release
from gantry.features.services import store as services_of
from gantry.features.variables import store as variables
from gantry.kernel.redact import Redactor
from gantry.web.services import Services
from gantry.web.views.reader import Reader

# What one look may read of one log; more comes with the next look.
CHUNK_BYTES = 65_536
# How far back a reader that joins late is taken.
BACKLOG_BYTES = 262_144


class Masks:
    """Makes redactors for environments, and again only when a value may have changed."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._made: dict[str, tuple[object, Redactor]] = {}

    async def of(
        self, reader: Reader, environment: Environment, kept: Iterable[Release]
    ) -> Redactor:
        """Masks the environment's variables as they are, those that the releases in `kept` still run with, and
        the passwords of its services."""
        listed = await variables.list_variables(reader.session, environment.id)
        provided = await services_of.list_for_environment(reader.session, environment.id)
        release_ids = sorted({release.id for release in kept})
        version = (listed, provided, release_ids)
        known = self._made.get(environment.id)
        if known is not None and known[0] == version:
            return known[1]
        redactor = Redactor(
            await secrets_of(reader.session, self._services.variables, environment.id, release_ids)
        )
        self._made[environment.id] = (version, redactor)
        return redactor


class Follower:
    """Reads several logs on from where it was. Offsets are kept here, not by the runtime."""

    def __init__(self, services: Services) -> None:
        self._runtime = services.runtime
        self._offsets: dict[str, int] = {}

    async def read(self, source: str, redact: Redactor, *, at_most_bytes: int = 262_144) -> LogBody:
        """What a log has got since the last call, at most about `at_most_bytes`."""
        texts: list[str] = []
        size = 0
        while size < at_most_bytes:
            offset = self._offsets.get(source, -BACKLOG_BYTES)
            chunk = await self._runtime.read_log(source, offset=offset, limit_bytes=CHUNK_BYTES)
            if not chunk.text:
                # An empty log read from its end says where it starts; keep asking from the end until it does.
                if offset >= 0:
                    self._offsets[source] = max(offset, chunk.next_offset)
                break
            self._offsets[source] = chunk.next_offset
            texts.append(chunk.text)
            size += len(chunk.text)
        return LogBody(
            source=source,
            text=redact("".join(texts)),
            next_offset=max(0, self._offsets.get(source, 0)),
        )

    async def first(self, source: str, redact: Redactor, *, lines: int) -> LogBody:
        """The last `lines` of a log, at most the last 256 KiB of it."""
        body = await self.read(source, redact, at_most_bytes=BACKLOG_BYTES + CHUNK_BYTES)
        text = "".join(body.text.splitlines(keepends=True)[-lines:]) if lines else ""
        return body.model_copy(update={"text": text})
