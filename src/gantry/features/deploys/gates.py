"""The gates on every way to production: what keeps a release from going live in an environment. Pure.

Each way of making a release live (deploy, promotion, rollback, redeploy, restart) asks all of them when it is asked for,
and again when a step acts. A new gate is one function and one line of `_GATES`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from gantry.config.manifest import Manifest
from gantry.features.builds.model import Build, BuildState
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment
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
    """Required variables that nobody has set and no service provides."""
    have = entry.variables | set(entry.manifest.services.variables)
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
    if entry.release is None:
        return UserError(
            "variable.missing",
            f"{entry.named} lacks required variables: {names}",
            hint=set_them,
            where=".env.example",
        )
    return UserError(
        "variable.missing",
        f"release {entry.release} of {entry.named} was made without variables that it requires: {names}",
        hint=f"{set_them}, then gantry deploy --to {environment}: a release keeps the variables that it was made with",
        where=".env.example",
    )


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
}
