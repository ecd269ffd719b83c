"""Why an instance does not answer as it should, in words that somebody can act on. Pure."""

from ipaddress import ip_address

from gantry.engines.runtime.protocol import Listener

# Answers of products that take some hosts only: Django says 400, others 403, 404 or 421.
_MAY_BE_THE_HOST = frozenset({400, 403, 404, 421})
_MAX_SHOWN = 3


def bad_status(path: str, status: int, host: str) -> str:
    """An answer came, and it is no good one.

    Parameters:
        host: that was asked for.
    """
    said = f"{path}: status {status}"
    if not 400 <= status < 500:
        return said
    asked = f", asked for the host {host}" if status in _MAY_BE_THE_HOST else ""
    keys = "health.path and health.host" if asked else "health.path"
    return f"{said}{asked}: set {keys} of processes.web in gantry.toml"


def no_answer(path: str, error: str, port: int, listeners: tuple[Listener, ...] | None) -> str:
    """No answer came.

    Parameters:
        error: why, as the probe has it.
        port: where it should listen.
        listeners: where it does; `None` where nobody has looked yet.
    """
    if listeners is None:
        return f"{path}: {error}"
    tcp = [item for item in listeners if item.port is not None]
    if any(item.port == port and _is_asked(item.address) for item in tcp):
        return f"{path}: {error}"
    if tcp:
        return _elsewhere(tcp, port)
    if listeners:
        return f"it listens on the Unix socket {listeners[0].address}, not on $PORT ({port})"
    return f"nothing of it listens yet; it should on $PORT ({port})"


def _elsewhere(tcp: list[Listener], port: int) -> str:
    at_port = [item for item in tcp if item.port == port]
    shown = ", ".join(_written(item) for item in (at_port or tcp)[:_MAX_SHOWN])
    if not at_port:
        return f"it listens on {shown}, not on $PORT ({port})"
    if all(ip_address(item.address).version == 6 for item in at_port):
        return f"it listens on {shown} for IPv6 only; it is asked at 127.0.0.1:{port}"
    return f"it listens on {shown} only; it is asked at 127.0.0.1:{port}"


def _is_asked(address: str) -> bool:
    """Whether a connection to 127.0.0.1 arrives there. One that listens on all of IPv6 alone was asked, and refused."""
    return address in ("127.0.0.1", "0.0.0.0")  # noqa: S104 -- of a product


def _written(item: Listener) -> str:
    return f"[{item.address}]:{item.port}" if ":" in item.address else f"{item.address}:{item.port}"
