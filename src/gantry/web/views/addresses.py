"""Public addresses of environments and releases, as the edge serves them."""

from gantry.config.settings import Settings
from gantry.features.projects.model import Environment
from gantry.features.projects.naming import Naming
from gantry.features.releases.model import Release


def environment_url(settings: Settings, environment: Environment) -> str:
    """Public URL of an environment."""
    naming = _naming(settings)
    return naming.url(naming.environment_host(environment))


def release_url(settings: Settings, environment: Environment, release: Release) -> str:
    """Immutable URL of a release."""
    naming = _naming(settings)
    return naming.url(naming.release_host(environment.project, release.id))


def domains_of(release: Release | None) -> tuple[str, ...]:
    """The environment's own domains, as its live release declares them."""
    declared = release.manifest.get("domains") if release is not None else None
    return tuple(str(name) for name in declared) if isinstance(declared, list) else ()


def _naming(settings: Settings) -> Naming:
    return Naming(settings.domain, settings.https_port)
