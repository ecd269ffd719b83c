"""The manifest: `gantry.toml` as typed, frozen values.

One model serves two states: as the file says it, with its `environments`; and resolved for one environment, which is
what a release stores and runs by.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from gantry.config.fields import Section
from gantry.config.processes import Cron, Drain, Health, LongRunning, Processes
from gantry.config.routes import HeaderRule, Redirect, Rewrite, Routes
from gantry.config.sections import (
    ENVIRONMENTS,
    Build,
    Deploy,
    Environment,
    PostgresService,
    Project,
    RedisService,
    ReleaseCommand,
    Services,
    Test,
    Variables,
)

__all__ = [
    "ENVIRONMENTS",
    "Build",
    "Cron",
    "Deploy",
    "Drain",
    "Environment",
    "HeaderRule",
    "Health",
    "LongRunning",
    "Manifest",
    "PostgresService",
    "Processes",
    "Project",
    "Redirect",
    "RedisService",
    "ReleaseCommand",
    "Rewrite",
    "Routes",
    "Services",
    "Test",
    "Variables",
    "merge",
]

OF_THE_TREE = ("committed", "extensions")
RESOLVED_ONLY = ("environment", "domains", "branch", *OF_THE_TREE)
"""Keys that a manifest has only once it is resolved; in a file they belong below `[environments.NAME]`."""


class Manifest(Section):
    """What a project is, how it is built, and what runs.

    Attributes:
        environment: the environment that this manifest is resolved for; empty as the file says it.
        domains, branch: of that environment.
        committed, extensions: what the tree says besides its gantry.toml, see `gantry.config.evidence.tree`.
    """

    project: Project = Field(description="What the project is called and where its product lies.")
    build: Build = Field(default_factory=Build, description="How the artifact is made.")
    test: Test = Field(default_factory=Test, description="The project's own tests.")
    release: ReleaseCommand = Field(
        default_factory=ReleaseCommand, description="What runs before a release gets traffic."
    )
    processes: Processes = Field(default_factory=Processes, description="What runs.")
    services: Services = Field(default_factory=Services, description="Managed dependencies.")
    deploy: Deploy = Field(default_factory=Deploy, description="How a new release takes over.")
    routes: Routes = Field(default_factory=Routes, description="Rules for paths, at the edge.")
    variables: Variables = Field(
        default_factory=Variables,
        description="Variables that are not secret, and which are required.",
    )
    environments: Mapping[str, Environment] = Field(
        default_factory=dict,
        description="What differs by environment: `development`, `staging`, `production`, `preview`.",
    )
    environment: Annotated[str, SkipJsonSchema()] = ""
    domains: Annotated[tuple[str, ...], SkipJsonSchema()] = ()
    branch: Annotated[str | None, SkipJsonSchema()] = None
    committed: Annotated[tuple[str, ...], SkipJsonSchema()] = ()
    extensions: Annotated[Mapping[str, str], SkipJsonSchema()] = Field(default_factory=dict)

    @property
    def web(self) -> LongRunning | None:
        """The process that answers visitors; `None` when the project has none."""
        return self.processes.web

    @property
    def long_running(self) -> Mapping[str, LongRunning]:
        """`web` and every `worker.NAME`."""
        web = {"web": self.processes.web} if self.processes.web is not None else {}
        return {**web, **{f"worker.{name}": item for name, item in self.processes.worker.items()}}

    @property
    def crons(self) -> Mapping[str, Cron]:
        """Scheduled commands by their bare name."""
        return self.processes.cron

    @property
    def drain(self) -> Drain:
        """How the web process ends."""
        return self.web.drain if self.web is not None else Drain()

    def for_environment(self, name: str) -> "Manifest":
        """This manifest as it is in environment `name`; a branch's own environment gets that of `preview`.

        Resolving a resolved manifest again gives it unchanged.
        """
        if self.environment:
            return self
        found = self.environments.get(name if name in ENVIRONMENTS else "preview", Environment())
        resolved = merge(self.model_dump(by_alias=True, exclude={"environments"}), found.overrides)
        return Manifest.model_validate(
            {
                **resolved,
                "environment": name,
                "domains": found.domains,
                "branch": found.branch,
            }
        )

    def canonical_json(self) -> str:
        """The one text of this manifest: equal manifests have equal texts, and `model_validate_json` reads it back."""
        return json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, hex."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self.canonical_json())


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` changed by `over`: tables are merged key by key, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged
