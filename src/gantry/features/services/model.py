"""A managed dependency of an environment."""

from dataclasses import dataclass, field
from enum import StrEnum


class ServiceKind(StrEnum):
    """What Gantry can provide."""

    POSTGRES = "postgres"
    REDIS = "redis"

    @property
    def variable(self) -> str:
        """The variable by which the product finds it."""
        return {"postgres": "DATABASE_URL", "redis": "REDIS_URL"}[self.value]


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
