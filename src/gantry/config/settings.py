"""Settings of the platform: their values. Where they come from: `settings_file.py`; what each means: `setting_table.py`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from gantry.config.paths import Paths

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
# Names below these are never on the internet (RFC 6761, RFC 8375, RFC 9476): only the platform's own authority signs for them.
PRIVATE_DOMAINS = ("localhost", "test", "internal", "home.arpa", "local", "invalid", "example")


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may set for one platform; `SETTINGS` has the meaning of each.

    Attributes:
        control_url, control_token, control_ca: the control plane that commands talk to; empty: this machine's own.
        file: the settings file that was read, or would be.
        origins: key -> where its value comes from, such as `GANTRY_DOMAIN` or `/etc/gantry/gantry.conf:3`; a key that
            is missing here has its default.
    """

    home: Path
    http_port: int = 8080
    https_port: int = 8443
    bind: tuple[str, ...] = ("127.0.0.1",)
    trusted_proxies: tuple[str, ...] = ()
    public_address: tuple[str, ...] = ()
    domain: str = "localhost"
    acme_directory: str = LETS_ENCRYPT
    acme_email: str = ""
    acme_ca: str = ""
    dns_provider: str = ""
    dns_credentials: Path | None = None
    dns_server: str = ""
    database_url: str = field(default="", repr=False)
    cache_bytes: int = 64_000_000
    control_url: str = ""
    control_token: str = field(default="", repr=False)
    control_ca: str = ""
    debug: bool = False
    clock_file: Path | None = None
    file: Path | None = field(default=None, compare=False)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def paths(self) -> Paths:
        return Paths(self.home)

    @property
    def console_host(self) -> str:
        """Host name of the console."""
        return f"gantry.{self.domain}"

    @property
    def own_address(self) -> str:
        """An address of the public ports that this machine can ask, as it stands in a URL: `127.0.0.1`, `[::1]`."""
        address = ip_address(self.bind[0])
        if address.is_unspecified:
            address = ip_address("127.0.0.1" if address.version == 4 else "::1")
        return str(address) if address.version == 4 else f"[{address}]"

    @property
    def is_public(self) -> bool:
        """Whether the ACME server signs for the platform's own domain too: a public one does not for private names."""
        if self.domain.split(".")[-1] == "localhost":
            return False
        return self.acme_directory != LETS_ENCRYPT or not any(
            f".{self.domain}".endswith(f".{name}") for name in PRIVATE_DOMAINS
        )

    def url(self, host: str) -> str:
        """Public URL of `host`."""
        return f"https://{host}" if self.https_port == 443 else f"https://{host}:{self.https_port}"


def whole_environment() -> dict[str, str]:
    """A copy of this process's environment, for builds, which learn from it how packages are found, and for
    commands, which learn what terminal they have."""
    return dict(os.environ)
