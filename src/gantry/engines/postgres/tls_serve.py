"""TLS in front of a Postgres that was built without it: a process of its own, which survives the control plane.

A driver asks for TLS with eight bytes before anything else, and is answered with one; what follows is the protocol of
Postgres, inside TLS or not. So this answers, ends TLS, and passes everything on to the server's unix socket. Drivers that do
not ask are passed on as they are. It knows nothing else of the protocol, and no password.
"""

import asyncio
import ssl
import sys
from pathlib import Path
from typing import cast

import uvloop

from gantry.kernel.tasks import TaskSet

_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
_GSS_REQUEST = bytes.fromhex("0000000804d21630")
_OPENING_TIMEOUT_S = 15.0
# The server takes 200; more of them wait for its refusal, which says why.
_MAX_CLIENTS = 1000


class Keys:
    """The certificate as it is on the disk now.

    Parameters:
        file: key and certificate, PEM. Replaced in one step when it grows old.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._version = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def context(self) -> ssl.SSLContext:
        """What new sessions are made with.

        Raises:
            OSError: the file is gone or cannot be read.
        """
        version = self._file.stat().st_mtime_ns
        if version != self._version:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(self._file)
            self._context, self._version = context, version
        return self._context


class _Side(asyncio.Protocol):
    """One side of a connection. What it reads is written to the other, which says when that is too fast."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can be written to."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        """This side does not take more for now."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """What is on its way to the other side still gets there."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class Client(_Side):
    """A driver, from its first bytes on."""

    def __init__(self, server: "Server") -> None:
        super().__init__()
        self._server = server
        self._opening = b""
        self._encrypted = False
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Whoever says nothing for long is not waited for."""
        super().connection_made(transport)
        if not self._server.admit(self):
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `_Side`."""
        if (deadline := self._server.clients.pop(self, None)) is not None:
            deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Until it is known what the driver wants, its bytes are kept."""
        if self.other is not None:
            super().data_received(data)
            return
        self._opening += data
        if not self._is_busy:
            self._open()

    def give_up(self) -> None:
        """The driver took too long to say what it wants."""
        if self.other is None and self.transport is not None:
            self.transport.abort()

    def _open(self) -> None:
        assert self.transport is not None, "it has sent something"
        if len(self._opening) < len(_SSL_REQUEST):
            return
        if self._opening == _GSS_REQUEST:
            self._opening = b""
            self.transport.write(b"N")
            return
        self._is_busy = True
        if not self._opening.startswith(_SSL_REQUEST):
            self.transport.pause_reading()
            self._server.tasks.spawn(self._connect(), name="connect")
        elif self._opening == _SSL_REQUEST and not self._encrypted:
            self._opening = b""
            self._server.tasks.spawn(self._encrypt(), name="encrypt")
        else:
            # Asked twice; or somebody on the way sent something ahead, which must not count as said inside of TLS.
            self.transport.abort()

    async def _encrypt(self) -> None:
        assert self.transport is not None, "it has sent something"
        self._encrypted = True
        plain = self.transport
        try:
            context = self._server.keys.context()
            plain.write(b"S")
            # Nothing is read between the two: the transport changes hands before this waits.
            self.transport = await asyncio.get_running_loop().start_tls(
                plain, self, context, server_side=True
            )
        except (
            OSError,
            ssl.SSLError,
        ):  # a driver that does not like the certificate says so and goes
            plain.abort()
            return
        self._is_busy = False
        if self._opening:
            self._open()

    async def _connect(self) -> None:
        assert self.transport is not None, "it has sent something"
        try:
            transport, upstream = await asyncio.get_running_loop().create_unix_connection(
                _Side, self._server.socket
            )
        except OSError as error:
            self.transport.write(_refusal(f"the database server does not run: {error.strerror}"))
            self.transport.close()
            return
        upstream.other, self.other = self, upstream
        if self.transport.is_closing():  # it went meanwhile
            transport.close()
            return
        transport.write(self._opening)
        self._opening = b""
        self.transport.resume_reading()


class Server:
    """What all connections share.

    Parameters:
        socket: the server's unix socket.
    """

    def __init__(self, socket: str, keys: Keys) -> None:
        self.socket = socket
        self.keys = keys
        self.tasks = TaskSet()
        self.clients: dict[Client, asyncio.TimerHandle] = {}

    def admit(self, client: Client) -> bool:
        """Whether there is room for one more."""
        if len(self.clients) >= _MAX_CLIENTS:
            return False
        loop = asyncio.get_running_loop()
        self.clients[client] = loop.call_later(_OPENING_TIMEOUT_S, client.give_up)
        return True


def _refusal(message: str) -> bytes:
    """An error as Postgres sends it, with the code for "not now": drivers show it, and try again."""
    fields = (b"SFATAL", b"VFATAL", b"C57P03", b"M" + message.encode())
    body = b"\0".join((*fields, b"\0"))
    return b"E" + (len(body) + 4).to_bytes(4, "big") + body


async def serve(port: int, socket: str, keys: Keys) -> None:
    """Listen on 127.0.0.1 until the process is ended.

    Raises:
        OSError: the port is taken.
    """
    keys.context()
    server = Server(socket, keys)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Client(server), "127.0.0.1", port, backlog=256)
    await listener.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2], Keys(Path(sys.argv[3]))))
