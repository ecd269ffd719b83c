"""The names under which things are found."""

from dataclasses import dataclass

from gantry.config.fields import MAX_HOST_LENGTH, MAX_LABEL_LENGTH, label_fault
from gantry.features.projects.model import Environment


@dataclass(frozen=True, slots=True)
class HostNames:
    """How host names and URLs are formed on this platform.

    Attributes:
        domain: `localhost`, or a domain of the team's own.
        https_port: public port, part of every URL unless it is 443.
    """

    domain: str
    https_port: int

    @property
    def console_host(self) -> str:
        return f"gantry.{self.domain}"

    def environment_host(self, environment: Environment) -> str:
        """`smart-sign.localhost`, `staging--smart-sign.localhost`."""
        return f"{environment.label}.{self.domain}"

    def public_url(self, environment: Environment, domains: tuple[str, ...]) -> str:
        """URL by which visitors know an environment."""
        return self.url(self.public_host(environment, domains))

    def public_host(self, environment: Environment, domains: tuple[str, ...]) -> str:
        """The host name by which visitors know an environment: its first own domain, else its name below the platform's."""
        return domains[0] if domains else self.environment_host(environment)

    def release_host(self, project: str, release_id: str) -> str:
        """The release's own address: always this release, as long as it runs."""
        return f"{release_id}--{project}.{self.domain}"

    def build_host(self, project: str, build_id: str) -> str:
        """The build's address: the newest running release made of it, production's before others'."""
        return f"{build_id}--{project}.{self.domain}"

    def can_answer(self, host: str) -> bool:
        """Whether `host` is a name that can be looked up and certified, which one made of a bad name may not be."""
        labels = host.split(".")
        return len(host) <= MAX_HOST_LENGTH and all(
            len(label) <= MAX_LABEL_LENGTH and label_fault(label) is None for label in labels
        )

    def is_own(self, host: str) -> bool:
        """Whether `host` is the platform's own domain or lies below it, where only the platform gives names."""
        return host == self.domain or host.endswith(f".{self.domain}")

    def url(self, host: str) -> str:
        """Public URL of `host`, without a trailing slash."""
        return f"https://{host}" if self.https_port == 443 else f"https://{host}:{self.https_port}"
