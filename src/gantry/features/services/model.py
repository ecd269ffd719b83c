"""A managed dependency of an environment."""

from dataclasses import dataclass, field
from enum import StrEnum

from gantry.config.manifest import Services


class ServiceKind(StrEnum):
    """What Gantry can provide."""

    POSTGRES = "postgres"
    REDIS = "redis"


@dataclass(frozen=True, slots=True)
class Service:
    """One service of one environment.

    Attributes:
        name: of the database and its role, or of the cache; unique on the platform.
    """

    environment: str
    kind: ServiceKind
    name: str
    secret_sealed: bytes = field(repr=False)


def wanted_kinds(services: Services) -> tuple[ServiceKind, ...]:
    """The services that a manifest asks for."""
    wanted = {ServiceKind.POSTGRES: services.postgres, ServiceKind.REDIS: services.redis}
    return tuple(kind for kind, section in wanted.items() if section is not None)


def variables_of(kind: ServiceKind, services: Services) -> tuple[str, ...]:
    """Names of the variables that a service of this kind sets; none when the manifest does not ask for it."""
    section = services.postgres if kind is ServiceKind.POSTGRES else services.redis
    return section.variables if section is not None else ()


def service_name(kind: ServiceKind, project: str, environment: str, unique: str) -> str:
    """A name that says whose it is and that no other environment has.

    Postgres names take letters, digits and `_`, and are cut at 63 bytes; `unique` keeps them apart.
    """
    if kind is ServiceKind.REDIS:
        return f"{project}-{environment}-{unique}"[:79]
    # A project may begin with a digit, a Postgres name may not.
    prefix = "" if project[0].isalpha() else "p"
    stem = f"{prefix}{project}_{environment}".replace("-", "_")[: 62 - len(unique)]
    return f"{stem}_{unique}"
