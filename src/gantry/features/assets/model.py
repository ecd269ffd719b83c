"""Which files the asset store has."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ServedAssets:
    """What the asset store serves.

    Attributes:
        builds: build -> paths that its files lie below (`/_next/static`).
        scopes: environment -> builds whose files are served there, the live one first.
    """

    builds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def prefixes(self, environment: str) -> tuple[str, ...]:
        """Paths below which an environment has files."""
        found = (
            prefix
            for build in self.scopes.get(environment, ())
            for prefix in self.builds.get(build, ())
        )
        return tuple(sorted(set(found)))
