"""Every setting of the platform, once: its key, how its value is read and shown, and what it means.

The settings file, the environment, `gantry settings`, the console and docs/settings.md follow this table.
"""

import functools
import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from gantry.config.settings import Settings

_KNOWN_PROXIES = Path(__file__).with_name("known_proxies.toml")
_MAX_MEGABYTES = 65_536
_MAX_ADDRESSES = 16
_MAX_NETWORKS = 256
_MAX_TEXT = 2_000
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_PROVIDER = re.compile(r"[a-z0-9]{1,40}")


class Scope(StrEnum):
    """Who reads a setting, and so where it may stand."""

    PLATFORM = "platform"  # in the file or in the environment
    COMMANDS = "commands"  # in the environment only
    DRILLS = "drills"  # in the environment only, and not for people


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        key: in the file; `GANTRY_` and the key in capitals is its variable.
        meaning: one sentence for people.
        parse: its value from a text; raises `ValueError` with what is wrong, such as `is not a port; use …`.
        default: as people write it; empty for none.
        attribute: of `Settings`, where it is not the key.
        show: its value as people write it.
        hidden: the value may hold a password and is never shown.
    """

    key: str
    meaning: str
    parse: Callable[[str], object]
    default: str = ""
    attribute: str = ""
    scope: Scope = Scope.PLATFORM
    show: Callable[[object], str] = str
    hidden: bool = False

    @property
    def variable(self) -> str:
        """The variable of the environment that wins over the file."""
        return f"GANTRY_{self.key.upper()}"

    @property
    def field(self) -> str:
        """The attribute of `Settings`."""
        return self.attribute or self.key

    def shown(self, settings: Settings) -> str:
        """Its present value for people; empty where there is none."""
        value = getattr(settings, self.field)
        if value in ("", None, ()):
            return ""
        return "(set, not shown)" if self.hidden else self.show(value)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise ValueError("is not a port; use a number from 1 to 65535")
    return int(text)


def _bytes_of_megabytes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_MEGABYTES:
        raise ValueError(f"is not a number of megabytes; use a number from 1 to {_MAX_MEGABYTES}")
    return int(text) * 1_000_000


def _megabytes(value: object) -> str:
    assert isinstance(value, int)
    return str(value // 1_000_000)


def _address(text: str) -> str:
    try:
        # Not of one network card, which the edge could not take.
        address = ipaddress.ip_address(text) if "%" not in text else None
    except ValueError:
        address = None
    if address is None:
        raise ValueError("is not an address; use one such as 0.0.0.0, 127.0.0.1 or ::")
    return str(address)


def _parts(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def _addresses(text: str) -> tuple[str, ...]:
    parts = _parts(text)
    if not 1 <= len(parts) <= _MAX_ADDRESSES:
        raise ValueError(
            f"is not a list of 1 to {_MAX_ADDRESSES} addresses, with commas between them"
        )
    return tuple(_address(part) for part in parts)


def _networks(text: str) -> tuple[str, ...]:
    parts = _parts(text)
    try:
        good = 1 <= len(parts) <= _MAX_NETWORKS and "%" not in text
        found = tuple(str(ipaddress.ip_network(part)) for part in parts) if good else ()
    except ValueError:
        found = ()
    if not found:
        raise ValueError(
            f"is not a list of 1 to {_MAX_NETWORKS} networks; use some such as 10.0.0.0/8,192.0.2.7"
        )
    return found


def _proxies(text: str) -> tuple[str, ...]:
    """Networks, some of them by the name of whose they are."""
    known = _known_proxies()
    whole = [network for part in _parts(text) for network in known.get(part.lower(), (part,))]
    try:
        return tuple(dict.fromkeys(_networks(" ".join(whole))))
    except ValueError as error:
        raise ValueError(f"{error}, or a name: {', '.join(known)}") from error


@functools.cache
def _known_proxies() -> Mapping[str, tuple[str, ...]]:
    table = tomllib.loads(_KNOWN_PROXIES.read_text())
    return {name: tuple(entry["networks"]) for name, entry in table.items()}


def _shown_proxies(value: object) -> str:
    """As people write them: a whole list by its name."""
    assert isinstance(value, tuple)
    left, names = list(value), []
    for name, networks in _known_proxies().items():
        if set(networks) <= set(left):
            names.append(name)
            left = [network for network in left if network not in networks]
    return ", ".join((*names, *left))


def _listed(value: object) -> str:
    assert isinstance(value, tuple)
    return ", ".join(map(str, value))


def parse_domain(text: str) -> str:
    """A domain name in lower case, without the dot at its end.

    Raises:
        ValueError: it is none.
    """
    name = text.strip().lower().removesuffix(".")
    if not 0 < len(name) <= 200 or not all(_LABEL.fullmatch(part) for part in name.split(".")):
        raise ValueError("is not a domain name; use one such as apps.example.com, without https://")
    return name


def parse_email(text: str) -> str:
    """A mail address.

    Raises:
        ValueError: it is none.
    """
    if not _EMAIL.fullmatch(text) or len(text) > 254:
        raise ValueError("is not a mail address; use one such as ops@example.com")
    return text


def parse_url(text: str) -> str:
    """The address of a control plane; `https://` is put before a bare host.

    Raises:
        ValueError: it is none, or carries a password.
    """
    address = text.strip().rstrip("/")
    if "://" not in address:
        address = f"https://{address}"
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("https", "http") and parts.hostname and parts.port != 0
        named = "@" in parts.netloc
    except ValueError:
        usable = named = False
    if not usable or len(address) > _MAX_TEXT or any(char.isspace() for char in address):
        raise ValueError("is not an address; use one such as https://gantry.example.com")
    if named:
        raise ValueError("has a user or password in it; gantry login asks for a token instead")
    return address


def _https(text: str) -> str:
    if urlsplit(text).scheme != "https" or not urlsplit(text).hostname:
        raise ValueError("is not an https:// address")
    return text


def _postgres(text: str) -> str:
    if not text.startswith(("postgres://", "postgresql://")) and "=" not in text:
        raise ValueError(
            "is neither an address that begins with postgresql:// nor a list such as host=… dbname=…"
        )
    return text


def _provider(text: str) -> str:
    if not _PROVIDER.fullmatch(text):
        raise ValueError("is not the name of a DNS provider; use one such as cloudflare")
    return text


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError("begins with ~, but this account has no folder of its own") from None


def _server(text: str) -> str:
    host, _, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "53")
    _address(host), _port(port)
    return text


def _flag(text: str) -> bool:
    return text not in ("0", "false")


SETTINGS: tuple[Setting, ...] = (
    Setting("home", "The folder where everything lies.", _path, "~/.gantry"),
    Setting(
        "domain",
        "The platform's own domain: sites are `<project>.<domain>`, the console is `gantry.<domain>`.",
        parse_domain,
        "localhost",
    ),
    Setting(
        "bind",
        "Addresses of the public ports, with commas between them. On a server `::`: all addresses of both families, "
        "unless addresses of IPv4 stand beside it; `0.0.0.0` is all of IPv4.",
        _addresses,
        "127.0.0.1",
        show=_listed,
    ),
    Setting(
        "trusted_proxies",
        "Networks whose `x-forwarded-for` is believed: those of a load balancer or CDN in front of this machine. `cloudflare` "
        "stands for all of Cloudflare's.",
        _proxies,
        show=_shown_proxies,
    ),
    Setting(
        "public_address",
        "This machine's address on the internet, where a router in front of it has it: one, or two with a comma.",
        _addresses,
        show=_listed,
    ),
    Setting("http_port", "Public port for HTTP; 80 on a server.", _port, "8080"),
    Setting("https_port", "Public port for HTTPS; 443 on a server.", _port, "8443"),
    Setting(
        "acme_email",
        "Mail address for warnings of the certificate authority.",
        parse_email,
    ),
    Setting(
        "acme_directory",
        "The ACME server that signs certificates for names on the internet.",
        _https,
        "https://acme-v02.api.letsencrypt.org/directory",
    ),
    Setting(
        "acme_ca",
        "File with the CA of the ACME server itself, for test servers.",
        str,
    ),
    Setting(
        "dns_provider",
        "Who hosts the domain's DNS, for one wildcard certificate proven over DNS-01: `cloudflare`, or another that "
        "dns-lexicon knows. Without one each name gets a certificate of its own.",
        _provider,
    ),
    Setting(
        "dns_credentials",
        "File, readable by its owner only, with what the DNS provider asks for: `auth_token = …`.",
        _path,
    ),
    Setting(
        "dns_server",
        "The DNS server that `gantry domains` asks, such as `1.1.1.1` or `127.0.0.1:5353`; the machine's own without it.",
        _server,
    ),
    Setting(
        "database_url",
        "A Postgres for the control plane's records; the embedded one without it.",
        _postgres,
        hidden=True,
    ),
    Setting(
        "cache_mb",
        "Memory of the edge's cache, in megabytes.",
        _bytes_of_megabytes,
        "64",
        attribute="cache_bytes",
        show=_megabytes,
    ),
    Setting(
        "url",
        "Another machine's control plane that commands talk to; see `gantry login`.",
        parse_url,
        attribute="control_url",
        scope=Scope.COMMANDS,
    ),
    Setting(
        "token",
        "The token for it.",
        str.strip,
        attribute="control_token",
        scope=Scope.COMMANDS,
        hidden=True,
    ),
    Setting(
        "ca_file",
        "File with the certificate authority to trust for it, beside the system's.",
        str,
        attribute="control_ca",
        scope=Scope.COMMANDS,
    ),
    Setting(
        "debug",
        "Commands show tracebacks.",
        _flag,
        "0",
        scope=Scope.COMMANDS,
        show=lambda value: "1" if value else "0",
    ),
    Setting(
        "clock_file",
        "A file with the seconds that the wall clock is to go before.",
        _path,
        scope=Scope.DRILLS,
    ),
)

BY_KEY = {setting.key: setting for setting in SETTINGS}
FILE_KEYS = tuple(setting.key for setting in SETTINGS if setting.scope is Scope.PLATFORM)

assert {setting.field for setting in SETTINGS} <= {item.name for item in fields(Settings)}
