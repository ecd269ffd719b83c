"""Where the processes of a tree listen, as /proc says of their own network.

Not by psutil: it reads the sockets of the network that Gantry itself is in, and a product may have one of its own.
"""

import contextlib
import ipaddress
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from gantry.engines.runtime.protocol import Listener

_LISTENS = "0A"
# `__SO_ACCEPTCON` in the flags of /proc/net/unix.
_ACCEPTS = 0x10000


def listeners(pids: Iterable[int]) -> tuple[Listener, ...]:
    """The sockets on which some of the processes wait for connections; what cannot be read is left out."""
    found: dict[Listener, None] = {}
    known: dict[str, dict[int, Listener]] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            network = str(Path(f"/proc/{pid}/ns/net").readlink())
            if network not in known:
                known[network] = dict(_of_network(pid))
            for inode in _sockets(pid):
                if inode in known[network]:
                    found[known[network][inode]] = None
    return tuple(sorted(found, key=lambda item: (item.port is None, item.port or 0, item.address)))


def _sockets(pid: int) -> Iterator[int]:
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(handle.readlink())
            if target.startswith("socket:["):
                yield int(target[len("socket:[") : -1])


def _of_network(pid: int) -> Iterator[tuple[int, Listener]]:
    for name in ("tcp", "tcp6"):
        for line in _lines(pid, name):
            fields = line.split()
            if fields[3] == _LISTENS:
                address, _, port = fields[1].partition(":")
                yield int(fields[9]), Listener(_address(address), int(port, 16))
    for line in _lines(pid, "unix"):
        fields = line.split(maxsplit=7)
        if int(fields[3], 16) & _ACCEPTS and len(fields) == 8:
            yield int(fields[6]), Listener(fields[7].strip())


def _lines(pid: int, name: str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/net/{name}").read_text(errors="replace").splitlines()[1:]
    except OSError:
        return []


def _address(text: str) -> str:
    """`0100007F` is 127.0.0.1: words of four bytes in the machine's own order."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    return str(ipaddress.ip_address(b"".join(struct.pack("=I", word) for word in words)))
