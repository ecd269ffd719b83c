"""A WebSocket to the control plane. Here alone the exceptions of websockets become Gantry's."""

import ssl
from typing import Protocol

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect, unix_connect

from gantry import __version__
from gantry.cli.transport import refusal
from gantry.kernel.errors import GantryError, TransientError

_CONNECT_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 2.0
_MAX_MESSAGE_BYTES = 1_000_000


class Line(Protocol):
    """Messages in both directions. One thread receives; any may send."""

    def send(self, message: bytes | str) -> None:
        """Send a message; waits while the other side does not take any.

        Raises:
            TransientError: `control.lost`.
        """
        ...

    def receive(self) -> bytes | str | None:
        """The next message; `None` after the other side has closed.

        Raises:
            TransientError: `control.lost` the connection broke off.
        """
        ...

    def close(self) -> None:
        """Close; what waits for a message or to send one ends."""
        ...


class SocketLine:
    """A line over a real connection."""

    def __init__(self, connection: ClientConnection, where: str) -> None:
        self._connection, self._where = connection, where

    def send(self, message: bytes | str) -> None:
        """See `Line.send`."""
        try:
            self._connection.send(message)
        except ConnectionClosed as error:
            raise _lost(self._where, error) from error

    def receive(self) -> bytes | str | None:
        """See `Line.receive`."""
        try:
            return self._connection.recv()
        except ConnectionClosed as error:
            if error.rcvd is not None and error.rcvd.code == 1000:
                return None
            raise _lost(self._where, error) from error

    def close(self) -> None:
        """See `Line.close`."""
        self._connection.close()


def _context(verify: ssl.SSLContext | bool) -> ssl.SSLContext:
    return verify if isinstance(verify, ssl.SSLContext) else httpx.create_ssl_context(verify=verify)


def open_line(
    base_url: str,
    path: str,
    authorization: str,
    *,
    socket: str | None,
    verify: ssl.SSLContext | bool = True,
) -> SocketLine:
    """Open a WebSocket.

    Parameters:
        base_url: of the control plane.
        socket: the control plane's own on this machine, in place of its address.
        verify: what certificates are held against; true: the system's authorities.

    Raises:
        GantryError: what the control plane answered with; `control.down`, `control.lost`.
    """
    where = socket or base_url
    uri = "ws" + base_url.removeprefix("http").rstrip("/") + path
    headers = {"Authorization": authorization}
    try:
        if socket is not None:
            connection = unix_connect(
                socket,
                uri,
                additional_headers=headers,
                user_agent_header=f"gantry/{__version__}",
                compression=None,
                max_size=_MAX_MESSAGE_BYTES,
                open_timeout=_CONNECT_TIMEOUT_S,
                close_timeout=_CLOSE_TIMEOUT_S,
            )
        else:
            connection = connect(
                uri,
                # The same trust as every other request.
                ssl=_context(verify) if uri.startswith("wss:") else None,
                additional_headers=headers,
                user_agent_header=f"gantry/{__version__}",
                compression=None,
                max_size=_MAX_MESSAGE_BYTES,
                open_timeout=_CONNECT_TIMEOUT_S,
                close_timeout=_CLOSE_TIMEOUT_S,
            )
    except InvalidStatus as error:
        raise refusal(error.response.status_code, bytes(error.response.body or b"")) from None
    except (OSError, TimeoutError) as error:
        raise TransientError(
            "control.down", "the control plane is not answering", hint="gantry up", where=where
        ) from error
    except InvalidHandshake as error:
        raise _lost(where, error) from error
    return SocketLine(connection, where)


def _lost(where: str, error: Exception) -> GantryError:
    return TransientError(
        "control.lost",
        f"the connection to the control plane was lost ({type(error).__name__})",
        hint="gantry runs says what became of it; try again",
        where=where,
    )
