"""Loopback ports for instances."""

import random
import socket
from typing import Protocol

# Below the range from which the kernel takes ports for outgoing connections (32768 and up).
FIRST_PORT, LAST_PORT = 20_000, 32_000


class PortPicker(Protocol):
    """Proposes ports; the database refuses one that another instance has."""

    def pick(self) -> int:
        """A port that nobody seems to use."""
        ...


class RandomPorts:
    """Picks at random and asks the kernel whether the port is free."""

    def __init__(self, source: random.Random) -> None:
        self._random = source

    def pick(self) -> int:
        """A port that nobody listens on now."""
        while True:
            port = self._random.randrange(FIRST_PORT, LAST_PORT)
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port
