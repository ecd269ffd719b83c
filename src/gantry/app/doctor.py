"""`gantry doctor`: checks everything that Gantry needs of this machine, and says how to fix what is missing."""

import errno
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from gantry.app.lock import HomeLock
from gantry.cli.platform import Finding
from gantry.config.settings import Settings
from gantry.engines.runtime.sandbox import fix, refusal
from gantry.kernel.errors import GantryError, UserError
from gantry.kernel.units import format_size

_DISK_BAD_BYTES, _DISK_WARN_BYTES = 2_000_000_000, 10_000_000_000
_MEMORY_BAD_BYTES, _MEMORY_WARN_BYTES = 500_000_000, 2_500_000_000


def examine(settings: Settings) -> tuple[Finding, ...]:
    """Check everything; change nothing."""
    return tuple(_examine(settings))


def check_before_start(settings: Settings, *, engines_run: bool) -> tuple[Finding, ...]:
    """Look before anything is started; what does not keep the platform from running.

    Parameters:
        engines_run: an edge of this platform holds the ports already.

    Raises:
        UserError: `edge.port-taken`, `edge.port-forbidden`.
    """
    for name, port, address in _public(settings):
        finding = _port(name, port, address, ours=engines_run)
        if finding.state == "bad":
            forbidden = "may not" in finding.detail
            raise UserError(
                "edge.port-forbidden" if forbidden else "edge.port-taken",
                f"{finding.name}: {finding.detail}",
                hint=finding.fix,
                where=name,
            )
    sandbox = _sandbox()
    return (sandbox,) if sandbox.state != "ok" else ()


def _public(settings: Settings) -> Iterator[tuple[str, int, str]]:
    """Every address of the public ports: variable of the port, port, address."""
    for name, port in (
        ("GANTRY_HTTP_PORT", settings.http_port),
        ("GANTRY_HTTPS_PORT", settings.https_port),
    ):
        for address in settings.bind:
            yield name, port, address


def _examine(settings: Settings) -> Iterator[Finding]:
    runs = HomeLock(settings.paths.lock).is_held()
    yield _python()
    yield _home(settings)
    yield _disk(settings)
    yield _memory()
    yield _sandbox()
    yield from _engines()
    for name, port, address in _public(settings):
        yield _port(name, port, address, ours=runs)
    yield _control(settings, runs=runs)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", "ok", f"Python {version}")


def _home(settings: Settings) -> Finding:
    directory = _existing(settings.home)
    if not os.access(directory, os.W_OK | os.X_OK):
        return Finding(
            "home",
            "bad",
            f"{settings.home} cannot be written",
            "set GANTRY_HOME to a folder that you own",
        )
    return Finding("home", "ok", str(settings.home))


def _existing(path: Path) -> Path:
    """The nearest directory above that exists, or the path itself."""
    while not path.exists():
        path = path.parent
    return path


def _disk(settings: Settings) -> Finding:
    directory = _existing(settings.home)
    free_bytes = shutil.disk_usage(directory).free
    detail = f"{format_size(free_bytes)} free"
    fix = "Gantry deletes what is no longer needed by itself; beyond that, enlarge the disk"
    if free_bytes < _DISK_BAD_BYTES:
        return Finding("disk", "bad", f"{detail}; builds need 2 GB", fix)
    if free_bytes < _DISK_WARN_BYTES:
        return Finding("disk", "warn", detail, fix)
    return Finding("disk", "ok", detail)


def _memory() -> Finding:
    free_bytes = psutil.virtual_memory().available
    detail = f"{format_size(free_bytes)} available"
    fix = "a Next.js build takes about 1 GB, each instance 100 to 200 MB: add memory or swap"
    if free_bytes < _MEMORY_BAD_BYTES:
        return Finding("memory", "bad", detail, fix)
    if free_bytes < _MEMORY_WARN_BYTES:
        return Finding("memory", "warn", detail, fix)
    return Finding("memory", "ok", detail)


def _sandbox() -> Finding:
    if refused := refusal():
        return Finding("sandbox", "bad", refused, fix())
    return Finding("sandbox", "ok", "bubblewrap works")


def _engines() -> Iterator[Finding]:
    from gantry.app.engines import engine_versions  # noqa: PLC0415 -- slow to import

    for name, find in engine_versions():
        try:
            yield Finding(name, "ok", find())
        except (GantryError, OSError) as error:
            yield Finding(name, "bad", str(error), "pip install --force-reinstall gantry")


def _port(name: str, port: int, bind: str, *, ours: bool) -> Finding:
    title = f"port {port}" if bind == "127.0.0.1" else f"port {port} of {bind}"
    with socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except PermissionError:
            return Finding(
                title,
                "bad",
                "this user may not listen on it",
                f"{name}={port + 8000} gantry up, or on a server: sudo gantry setup",
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return Finding(
                    title,
                    "bad",
                    f"this machine cannot listen there: {error.strerror}",
                    "set GANTRY_BIND to addresses of this machine, or to 0.0.0.0 for all of IPv4",
                )
            if ours and _accepts(bind, port):
                return Finding(title, "ok", "held by Gantry's edge")
            holder = _holder(port)
            return Finding(title, "bad", f"taken by {holder}", f"stop it, or set {name} to another")
    return Finding(title, "ok", "free")


def _accepts(bind: str, port: int) -> bool:
    """Whether somebody takes a connection there."""
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- compared, not bound
    try:
        socket.create_connection((loopback.get(bind, bind), port), timeout=1).close()
    except OSError:
        return False
    return True


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        return "another program"
    return "another program"


def _control(settings: Settings, *, runs: bool) -> Finding:
    if runs:
        pid = HomeLock(settings.paths.lock).holder()
        return Finding("control plane", "ok", f"running (pid {pid})")
    if Path(settings.paths.api_socket).exists():
        return Finding("control plane", "warn", "no longer running", "gantry up")
    return Finding("control plane", "warn", "not running", "gantry up")
