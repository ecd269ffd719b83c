"""What there is to do on a machine that is to be a server. Pure."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gantry.app.setup.files import Service, sysctl_text, unit_text
from gantry.cli.platform import SetupChange
from gantry.config.settings_file import with_values

HINT_DOMAIN = "sslip.io"
_LOWEST_FREE_PORT = 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the machine is to be.

    Attributes:
        values: of the settings file.
        service: `None`: nothing is started by systemd.
        port: the lowest public one.
    """

    settings_file: Path
    values: dict[str, str | int]
    service: Service | None
    port: int


@dataclass(frozen=True, slots=True)
class Observed:
    """What the machine is.

    Attributes:
        settings_text, unit_text, sysctl_text: of the files; empty where there is none.
        first_port: that every user may listen on.
        user_exists, home_exists: of the service.
        enabled, active: of the unit; `None` where systemd does not run.
        has_console: the console's icons and fonts were fetched.
    """

    settings_text: str
    unit_text: str
    sysctl_text: str
    first_port: int
    user_exists: bool
    home_exists: bool
    enabled: bool | None
    active: bool | None
    has_console: bool


def decide(wanted: Wanted, observed: Observed) -> tuple[SetupChange, ...]:
    """The changes that are missing, in their order."""
    return tuple(_changes(wanted, observed))


def _changes(wanted: Wanted, observed: Observed) -> Iterator[SetupChange]:
    service = wanted.service
    if service is not None and not observed.user_exists:
        yield SetupChange("user", f"make the system user {service.user}, who runs Gantry")
    if service is not None and not observed.home_exists:
        yield SetupChange("home", f"make {service.home} for {service.user} alone")
    if with_values(observed.settings_text, wanted.values) != observed.settings_text:
        yield SetupChange("settings", f"write {wanted.settings_file}: {_listed(wanted.values)}")
    if service is not None:
        yield from _service_changes(service, wanted, observed)


def _service_changes(service: Service, wanted: Wanted, observed: Observed) -> Iterator[SetupChange]:
    if wanted.port < _LOWEST_FREE_PORT and service.user != "root":
        written = observed.sysctl_text == sysctl_text(wanted.port)
        if not written or observed.first_port > wanted.port:
            yield SetupChange(
                "ports",
                f"let users listen from port {wanted.port} on (/etc/sysctl.d/60-gantry.conf): Gantry need not be root",
            )
    if not observed.has_console:
        yield SetupChange("console", "fetch the console's icons and fonts from npm")
    if observed.unit_text != unit_text(service):
        yield SetupChange("unit", "write /etc/systemd/system/gantry.service")
    if observed.enabled is False:
        yield SetupChange("enable", "start Gantry whenever the machine starts")
    if observed.active is False:
        yield SetupChange("start", "start Gantry now")


def _listed(values: dict[str, str | int]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def first_look_domain(addresses: tuple[str, ...]) -> str:
    """A domain that leads to this machine without a record of one's own: `203-0-113-7.sslip.io`; empty for none."""
    for address in addresses:
        if ipaddress.ip_address(address).version == 4:
            return f"{address.replace('.', '-')}.{HINT_DOMAIN}"
    return ""
