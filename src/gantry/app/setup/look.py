"""Looks at a machine that is to be a server; changes nothing."""

import asyncio
import ctypes
import os
import pwd
import shutil
import subprocess  # noqa: TID251 -- asks systemd
import sys
from collections.abc import Iterator
from pathlib import Path

from gantry.app import doctor
from gantry.app.network import machine_of
from gantry.app.setup.files import PORTS_KEY, SERVICE, SYSCTL_FILE, UNIT_FILE
from gantry.app.setup.rules import HINT_DOMAIN, Observed, Wanted
from gantry.cli.platform import Finding
from gantry.config.settings import Settings
from gantry.engines.dns.protocol import Records
from gantry.engines.dns.resolver import DnsResolver
from gantry.engines.runtime.sandbox import remedy
from gantry.features.domains.model import DnsState, Look, Name, NameKind
from gantry.features.domains.rules import Machine, dns_state, record
from gantry.kernel.clock import SystemClock
from gantry.web.assets import has_assets

_TIMEOUT_S = 30
_UNSYNCHRONISED = 5
_TIMEX_BYTES = 512


def observe(wanted: Wanted, root: Path) -> Observed:
    """What is there of what is wanted.

    Parameters:
        root: `/`; another folder in tests.
    """
    service = wanted.service
    runs = root == Path("/") and Path("/run/systemd/system").is_dir() and service is not None
    return Observed(
        settings_text=_text(wanted.settings_file),
        unit_text=_text(root / UNIT_FILE),
        sysctl_text=_text(root / SYSCTL_FILE),
        first_port=int(_text(root / PORTS_KEY) or 1024),
        user_exists=service is not None and _has_user(service.user),
        home_exists=service is not None and service.home.is_dir(),
        enabled=_asks("is-enabled") if runs else None,
        active=_asks("is-active") if runs else None,
        has_console=has_assets(),
    )


def findings(settings: Settings, wanted: Wanted) -> tuple[Finding, ...]:
    """What is to be known before: the machine as `gantry doctor` sees it, its clock, its addresses and its DNS."""
    return tuple(_findings(settings, wanted))


def _findings(settings: Settings, wanted: Wanted) -> Iterator[Finding]:
    yield from (
        finding
        for finding in doctor.examine(settings)
        if finding.name not in ("control plane", "home")
    )
    yield _clock()
    machine = machine_of(settings)
    yield _addresses(machine)
    if not machine.is_local:
        yield from asyncio.run(_dns(settings, machine))
        yield _certificates(settings)
    if wanted.service is not None:
        yield _program(wanted.service.user)
        yield from _namespaces(wanted.service.user)
        yield _systemd()


def _clock() -> Finding:
    """Whether NTP keeps the clock: certificates and tokens go by it."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state == _UNSYNCHRONISED:
        return Finding(
            "clock",
            "warn",
            "nothing keeps it right (NTP)",
            "apt-get install systemd-timesyncd, or chrony; a container has its host's",
        )
    return Finding("clock", "ok", "kept right by NTP")


def _addresses(machine: Machine) -> Finding:
    if machine.public:
        return Finding("addresses", "ok", ", ".join(machine.public))
    own = ", ".join(sorted(machine.addresses)) or "none"
    return Finding(
        "addresses",
        "warn",
        f"none that the internet knows ({own})",
        "behind a router: forward ports 80 and 443, then gantry settings set public_address ADDRESS",
    )


async def _dns(settings: Settings, machine: Machine) -> tuple[Finding, ...]:
    resolver = DnsResolver(settings.dns_server)
    console, any_site = settings.console_host, f"any-site.{settings.domain}"
    found = await asyncio.gather(resolver.look(console), resolver.look(any_site))
    return tuple(
        _of_name(host, records, machine)
        for host, records in zip((console, any_site), found, strict=True)
    )


def _of_name(host: str, records: Records, machine: Machine) -> Finding:
    name = Name(host, NameKind.CONSOLE)
    state = dns_state(name, Look(records, SystemClock().now()), machine)
    title = f"DNS of {host}"
    leads = ", ".join(records.addresses)
    fix = f"make this record: {record(name, machine)}"
    match state:
        case DnsState.HERE:
            return Finding(title, "ok", f"leads here ({leads})")
        case DnsState.MISSING:
            return Finding(title, "warn", "there is no record", fix)
        case DnsState.UNKNOWN:
            return Finding(title, "warn", records.error, "gantry setup --check looks again")
        case _:
            return Finding(title, "warn", f"leads to {leads}, not to this machine", fix)


def _certificates(settings: Settings) -> Finding:
    if settings.dns_provider:
        detail = f"one for *.{settings.domain}, proven over DNS at {settings.dns_provider}"
        return Finding("certificates", "ok", detail)
    if settings.domain.endswith(f".{HINT_DOMAIN}"):
        return Finding(
            "certificates",
            "warn",
            f"the authority counts all users of {HINT_DOMAIN} together and may refuse for a week",
            "for a first look only: use a domain of your own for visitors",
        )
    return Finding("certificates", "ok", "one for each site, proven over port 80")


def _program(user: str) -> Finding:
    """Whether the service's user may run the program that this is."""
    if user == "root":
        return Finding("program", "ok", sys.prefix)
    for folder in (Path(sys.prefix), *Path(sys.prefix).parents, Path(sys.base_prefix)):
        if not folder.stat().st_mode & 0o001:
            return Finding(
                "program",
                "bad",
                f"the user {user} cannot run it: {folder} is closed to others",
                "install it where everybody may read: python3 -m venv /opt/gantry, then /opt/gantry/bin/pip install …",
            )
    return Finding("program", "ok", sys.prefix)


def _namespaces(user: str) -> Iterator[Finding]:
    if user != "root" and (fix := remedy()):
        yield Finding("user namespaces", "bad", f"the user {user} may make none: no sandbox", fix)


def _systemd() -> Finding:
    if Path("/run/systemd/system").is_dir():
        return Finding("systemd", "ok", "starts Gantry with the machine, and after a crash")
    return Finding(
        "systemd",
        "warn",
        "does not run here: nothing starts Gantry with the machine",
        "let your own init run: gantry up --foreground",
    )


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def owner_of(path: Path) -> str:
    """Name of the user whose folder it is; empty where there is none."""
    try:
        return pwd.getpwuid(path.stat().st_uid).pw_name
    except (OSError, KeyError):
        return ""


def _asks(question: str) -> bool:
    done = subprocess.run(
        (systemctl(), question, "--quiet", SERVICE), check=False, timeout=_TIMEOUT_S
    )
    return done.returncode == 0


def systemctl() -> str:
    """The program."""
    return shutil.which("systemctl", path=os.defpath + ":/usr/sbin:/sbin") or "systemctl"


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
