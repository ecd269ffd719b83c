"""Makes the services of an environment exist, and says how a product reaches them."""

from collections.abc import Mapping
from dataclasses import dataclass

from gantry.config.manifest import Services
from gantry.engines.database.protocol import Database
from gantry.engines.postgres.protocol import DatabaseGrant, DatabaseServer
from gantry.engines.redis.protocol import CacheGrant, CacheServers
from gantry.engines.secrets.protocol import SecretBox
from gantry.features.projects.model import Environment
from gantry.features.services import store
from gantry.features.services.model import Service, ServiceKind, service_name, wanted_kinds
from gantry.features.services.variables import postgres_variables, redis_variables
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError, UserError
from gantry.kernel.ids import IdSource


@dataclass(frozen=True, slots=True)
class ServiceProvider:
    """Provides databases and caches."""

    database: Database
    databases: DatabaseServer
    caches: CacheServers
    box: SecretBox
    clock: Clock
    ids: IdSource

    async def provide(self, environment: Environment, wanted: Services) -> dict[str, str]:
        """Make sure that the services exist and run; the variables by which a process finds them.

        A service that was provided once keeps its name and secret for good, also while no release asks for it.
        """
        kinds = wanted_kinds(wanted)
        variables: dict[str, str] = {}
        for service in await self._record(environment, kinds) if kinds else ():
            variables |= await self._ensure(service, wanted)
        return variables

    def unavailable(self, kinds: tuple[ServiceKind, ...]) -> Mapping[ServiceKind, GantryError]:
        """Those of `kinds` that this machine cannot provide at all, and why. What is down for a moment is not among them."""
        if ServiceKind.REDIS not in kinds:
            return {}
        try:
            self.caches.check()
        except UserError as error:
            return {ServiceKind.REDIS: error}
        return {}

    async def extensions(self) -> Mapping[str, bool]:
        """The extensions of Postgres that databases here may have, see `DatabaseServer.extensions`."""
        return await self.databases.extensions()

    async def drop(self, services: tuple[Service, ...]) -> None:
        """Delete services with their data."""
        for service in services:
            if service.kind is ServiceKind.POSTGRES:
                await self.databases.drop(service.name, service.name)
            else:
                await self.caches.drop(service.name)

    async def _record(
        self, environment: Environment, kinds: tuple[ServiceKind, ...]
    ) -> tuple[Service, ...]:
        async with self.database.transaction() as session:
            have = await store.list_for_environment(session, environment.id)
            for kind in kinds:
                if kind not in {service.kind for service in have}:
                    unique = self.ids.new("s").removeprefix("s-")[:6]
                    service = Service(
                        environment=environment.id,
                        kind=kind,
                        name=service_name(kind, environment.project, environment.name, unique),
                        secret_sealed=self.box.seal(self.ids.secret()),
                    )
                    await store.insert(session, service, at=self.clock.now())
            have = await store.list_for_environment(session, environment.id)
        return tuple(service for service in have if service.kind in kinds)

    async def _ensure(self, service: Service, wanted: Services) -> dict[str, str]:
        secret = self.box.open(service.secret_sealed)
        if service.kind is ServiceKind.POSTGRES:
            assert wanted.postgres is not None, "it is wanted"
            await self.databases.start()
            url = await self.databases.ensure(DatabaseGrant(service.name, service.name, secret))
            return postgres_variables(url, wanted.postgres.aliases)
        assert wanted.redis is not None, "it is wanted"
        grant = CacheGrant(service.name, secret, wanted.redis.memory_bytes)
        return redis_variables(await self.caches.ensure(grant), wanted.redis.aliases)
