"""Who holds the public ports."""

import psutil

from gantry.engines.edge.render import Place
from gantry.kernel.errors import UserError


def check_free(place: Place) -> None:
    """Make sure that nobody listens on the public ports.

    Raises:
        UserError: `edge.port-taken` with the program's name, where it can be seen.
    """
    listening = {
        connection.laddr.port: connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.laddr and connection.status == psutil.CONN_LISTEN
    }
    for variable, port in (
        ("GANTRY_HTTP_PORT", place.http_port),
        ("GANTRY_HTTPS_PORT", place.https_port),
    ):
        if port in listening:
            raise UserError(
                "edge.port-taken",
                f"port {port} is taken by {_program(listening[port])}",
                hint=f"end it, or choose another: {variable}={port + 1000}",
                where=variable,
            )


def _program(pid: int | None) -> str:
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})" if pid else "another program"
    except psutil.Error:
        return "another program"
