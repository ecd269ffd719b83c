"""The gates on every way to production: what keeps a release from going live in an environment. Pure.

Each way of making a release live (deploy, promotion, rollback, redeploy, restart) asks all of them when it is asked for,
and again when a step acts. A new gate is one function and one line of `_GATES`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gantry.config.evidence.service_names import service_of
from gantry.config.manifest import Manifest
from gantry.features.builds.model import Build, BuildState
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment
from gantry.features.services.extensions import refused_beforehand
from gantry.features.services.model import ServiceKind
from gantry.features.variables.model import RESERVED
from gantry.kernel.errors import ConflictError, GantryError, UserError

MANIFEST = "gantry.toml"


class Gate(StrEnum):
    """What may keep a release from going live."""

    ENVIRONMENT = "environment"
    BRANCH = "branch"
    ARTIFACT = "artifact"
    TESTS = "tests"
    VARIABLES = "variables"
    DOMAINS = "domains"
    SERVICES = "services"
    EXTENSIONS = "extensions"


@dataclass(frozen=True, slots=True)
class Holder:
    """The environment that a domain leads to now."""

    domain: str
    project: str
    environment: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to go live where, with all that the gates ask.

    Attributes:
        manifest: resolved for the environment.
        branch: of the commit; empty where it is not known.
        build: `None` while it is not made: it is built and tested on the way.
        release: number of the release, where it is made already: its variables cannot be changed any more.
        variables: names that it runs with, apart from the manifest's own.
        services: that it asks for.
        unavailable: service -> why this machine cannot provide it.
        creatable: extensions that a database here may have, name -> whether a product may create it.
        holder: another environment that has one of its domains.
    """

    environment: Environment
    manifest: Manifest
    host_names: HostNames
    branch: str = ""
    build: Build | None = None
    release: int | None = None
    variables: frozenset[str] = frozenset()
    services: tuple[ServiceKind, ...] = ()
    unavailable: Mapping[ServiceKind, GantryError] | None = None
    creatable: Mapping[str, bool] = field(default_factory=dict)
    holder: Holder | None = None

    @property
    def named(self) -> str:
        """`production of shop`."""
        return f"{self.environment.name} of {self.environment.project}"


def closed(entry: Entry) -> Mapping[Gate, GantryError]:
    """Every gate that is closed, and why; nothing where the release may go live."""
    found = ((gate, rule(entry)) for gate, rule in _GATES.items())
    return {gate: error for gate, error in found if error is not None}


def missing_variables(entry: Entry) -> tuple[str, ...]:
    """Required variables that nobody has set, that no service provides and that no committed file has."""
    have = entry.variables | set(entry.manifest.services.variables) | set(entry.manifest.committed)
    have |= set(entry.manifest.variables.plain) | RESERVED
    return tuple(
        name
        for name in entry.manifest.variables.required
        if name not in have and not name.startswith("GANTRY_")
    )


def being_removed(environment: Environment) -> GantryError | None:
    """Why nothing goes live in an environment that is to end."""
    if not environment.removing:
        return None
    return ConflictError(
        "environment.removing",
        f"{environment.name} of {environment.project} is being destroyed",
        hint="deploy again when gantry status does not show it any more",
    )


def _environment(entry: Entry) -> GantryError | None:
    return being_removed(entry.environment)


def _branch(entry: Entry) -> GantryError | None:
    """A tree without a known branch (no git, a detached checkout in CI) is not held back."""
    wanted, given, name = entry.manifest.branch, entry.branch, entry.environment.name
    if not wanted or not given or wanted == given:
        return None
    return UserError(
        "deploy.other-branch",
        f"{name} takes commits of {wanted}; this one is of {given}",
        hint=f"git switch {wanted}, or change [environments.{name}] branch",
        where=MANIFEST,
    )


def _artifact(entry: Entry) -> GantryError | None:
    build = entry.build
    if build is None or build.state not in (BuildState.GONE, BuildState.FAILED):
        return None
    return UserError(
        "rollback.gone",
        f"the artifact of {_release(entry)} is no longer kept",
        hint="check its commit out and run gantry deploy",
    )


def _tests(entry: Entry) -> GantryError | None:
    build = entry.build
    if build is None or build.state not in (BuildState.BUILDING, BuildState.BUILT):
        return None
    return UserError(
        "test.not-passed",
        f"the project's tests have not passed on the build of {_release(entry)}",
        hint=f"gantry deploy --to {entry.environment.name}",
    )


def _variables(entry: Entry) -> GantryError | None:
    missing = missing_variables(entry)
    if not missing:
        return None
    names, environment = ", ".join(missing), entry.environment.name
    set_them = f"gantry env set {' '.join(missing)} -e {environment}"
    provided = _by_a_service(missing, entry.manifest)
    if entry.release is None:
        return UserError(
            "variable.missing",
            f"{entry.named} lacks required variables: {names}",
            hint=f"{provided}, or {set_them}" if provided else set_them,
            where=".env.example",
        )
    return UserError(
        "variable.missing",
        f"release {entry.release} of {entry.named} was made without variables that it requires: {names}",
        hint=f"{set_them}, then gantry deploy --to {environment}: a release keeps the variables that it was made with",
        where=".env.example",
    )


def _by_a_service(missing: tuple[str, ...], manifest: Manifest) -> str:
    """What gantry.toml would say so that a service sets all that is missing; empty where none would."""
    services = {service_of(name) for name in missing}
    if len(services) != 1 or (service := services.pop()) is None:
        return ""
    section = manifest.services.postgres if service == "postgres" else manifest.services.redis
    own = {"postgres": "DATABASE_URL", "redis": "REDIS_URL"}[service]
    names = [*(section.aliases if section is not None else ()), *missing]
    named = ", ".join(f'"{name}"' for name in names if name != own)
    value = f"{{ as = [{named}] }}" if named else "true"
    return f"write {service} = {value} below [services] in {MANIFEST}"


def _domains(entry: Entry) -> GantryError | None:
    environment, host_names = entry.environment, entry.host_names
    where = f"{MANIFEST}: environments.{environment.name}.domains"
    own = [domain for domain in entry.manifest.domains if host_names.is_own(domain)]
    if own:
        return UserError(
            "domain.reserved",
            f"{own[0]} lies below {host_names.domain}, where only Gantry gives names",
            hint=f"without it the site is at {host_names.environment_host(environment)}",
            where=where,
        )
    if entry.holder is None:
        return None
    return UserError(
        "domain.taken",
        f"{entry.holder.domain} leads to {entry.holder.environment} of {entry.holder.project} now",
        hint=f"take it out of that project's {MANIFEST} and deploy it, then deploy this again",
        where=where,
    )


def _services(entry: Entry) -> GantryError | None:
    unavailable = entry.unavailable or {}
    return next((unavailable[kind] for kind in entry.services if kind in unavailable), None)


def _extensions(entry: Entry) -> GantryError | None:
    """A release that is made has been through its migrations."""
    if entry.release is not None or not asks_for_extensions(entry.manifest, entry.variables):
        return None
    for name, place in entry.manifest.extensions.items():
        refused = refused_beforehand(name, entry.creatable)
        if refused is not None:
            return UserError(
                "database.no-extension",
                f"a migration of {entry.named} creates the extension {name}: {refused.reason}",
                hint=f"{refused.hint} -e {entry.environment.name}"
                if refused.hint.endswith("DATABASE_URL")
                else refused.hint,
                where=place,
            )
    return None


def asks_for_extensions(manifest: Manifest, variables: Collection[str]) -> bool:
    """Whether migrations will create extensions in a database that Gantry provides.

    Parameters:
        variables: names that the team has set: an address of its own leads to another server.
    """
    provided = manifest.services.postgres is not None and "DATABASE_URL" not in variables
    return provided and bool(manifest.extensions)


def _release(entry: Entry) -> str:
    return f"release {entry.release}" if entry.release is not None else f"{entry.named}"


# In the order in which they are said.
_GATES: Mapping[Gate, Callable[[Entry], GantryError | None]] = {
    Gate.ENVIRONMENT: _environment,
    Gate.BRANCH: _branch,
    Gate.ARTIFACT: _artifact,
    Gate.TESTS: _tests,
    Gate.DOMAINS: _domains,
    Gate.VARIABLES: _variables,
    Gate.SERVICES: _services,
    Gate.EXTENSIONS: _extensions,
}
