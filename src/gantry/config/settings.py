"""Settings of the platform, from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gantry.config.paths import Paths
from gantry.kernel.errors import UserError

_MAX_MEGABYTES = 65_536


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may set for one platform.

    Attributes:
        home: `GANTRY_HOME`, default `~/.gantry`.
        http_port, https_port: `GANTRY_HTTP_PORT` (8080), `GANTRY_HTTPS_PORT` (8443).
        bind: `GANTRY_BIND`, the address of the public ports; default 127.0.0.1, `0.0.0.0` on a server.
        domain: `GANTRY_DOMAIN`, default `localhost`: sites are `<project>.<domain>`.
        acme_directory: `GANTRY_ACME_DIRECTORY`, URL of the ACME server for real domains.
        acme_email: `GANTRY_ACME_EMAIL`, for the authority's warnings; empty for none.
        acme_ca: `GANTRY_ACME_CA`, file with the CA of the ACME server itself, for test servers.
        database_url: `GANTRY_DATABASE_URL`, an external Postgres for the control state; empty: the embedded one.
        control_url, control_token: `GANTRY_URL` and `GANTRY_TOKEN`: the control plane that commands talk to;
            empty: this machine's own, over its socket.
        cache_bytes: `GANTRY_CACHE_MB`, memory of the edge's cache; default 64 MB.
        debug: `GANTRY_DEBUG`: commands show tracebacks.
        clock_file: `GANTRY_CLOCK_FILE`, for drills only: a file with the seconds that the wall clock is to go before.
    """

    home: Path
    http_port: int = 8080
    https_port: int = 8443
    bind: str = "127.0.0.1"
    domain: str = "localhost"
    acme_directory: str = "https://acme-v02.api.letsencrypt.org/directory"
    acme_email: str = ""
    acme_ca: str = ""
    database_url: str = ""
    control_url: str = ""
    control_token: str = field(default="", repr=False)
    cache_bytes: int = 64_000_000
    debug: bool = False
    clock_file: Path | None = None

    @property
    def paths(self) -> Paths:
        return Paths(self.home)

    @property
    def console_host(self) -> str:
        """Host name of the console."""
        return f"gantry.{self.domain}"

    def url(self, host: str) -> str:
        """Public URL of `host`."""
        return f"https://{host}" if self.https_port == 443 else f"https://{host}:{self.https_port}"


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Raises:
        UserError: `settings.invalid` naming the variable, `settings.no-home`.
    """
    defaults = Settings(home=_home(environ))
    return Settings(
        home=defaults.home,
        http_port=_port(environ, "GANTRY_HTTP_PORT", defaults.http_port),
        https_port=_port(environ, "GANTRY_HTTPS_PORT", defaults.https_port),
        bind=environ.get("GANTRY_BIND") or defaults.bind,
        domain=environ.get("GANTRY_DOMAIN") or defaults.domain,
        acme_directory=environ.get("GANTRY_ACME_DIRECTORY") or defaults.acme_directory,
        acme_email=environ.get("GANTRY_ACME_EMAIL", ""),
        acme_ca=environ.get("GANTRY_ACME_CA", ""),
        database_url=environ.get("GANTRY_DATABASE_URL", ""),
        control_url=environ.get("GANTRY_URL", "").rstrip("/"),
        control_token=environ.get("GANTRY_TOKEN", "").strip(),
        cache_bytes=_megabytes(environ, "GANTRY_CACHE_MB", defaults.cache_bytes),
        debug=environ.get("GANTRY_DEBUG", "") not in ("", "0"),
        clock_file=Path(clock_file) if (clock_file := environ.get("GANTRY_CLOCK_FILE")) else None,
    )


def _home(environ: Mapping[str, str]) -> Path:
    given = environ.get("GANTRY_HOME")
    try:
        # Without HOME, as under systemd or cron, the account's own folder.
        return Path(given or Path(environ.get("HOME") or "~") / ".gantry").expanduser().absolute()
    except RuntimeError:
        raise UserError(
            "settings.no-home",
            "there is neither GANTRY_HOME nor HOME, and this account has no folder of its own",
            hint="say where Gantry's data goes: export GANTRY_HOME=/var/lib/gantry",
            where="GANTRY_HOME",
        ) from None


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise UserError(
            "settings.invalid",
            f"{name} is {text!r}, which is not a port",
            hint=f"set it to a number from 1 to 65535, such as {name}={default}",
            where=name,
        )
    return int(text)


def _megabytes(environ: Mapping[str, str], name: str, default_bytes: int) -> int:
    text = environ.get(name, "")
    if not text:
        return default_bytes
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_MEGABYTES:
        raise UserError(
            "settings.invalid",
            f"{name} is {text!r}, which is not a number of megabytes",
            hint=f"set it to a number from 1 to {_MAX_MEGABYTES}, such as {name}={default_bytes // 1_000_000}",
            where=name,
        )
    return int(text) * 1_000_000


def whole_environment() -> dict[str, str]:
    """A copy of this process's environment, for builds, which learn from it how packages are found, and for
    commands, which learn what terminal they have."""
    return dict(os.environ)
