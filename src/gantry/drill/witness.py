"""Hears what the instances of the drill's product say of themselves, each in a datagram of JSON."""

import asyncio
import json
import socket
import time
from collections import Counter
from dataclasses import dataclass, field

_LONGEST = 2_000


def witness_socket() -> socket.socket:
    """On a free port of this machine; it stays open over all drills, because releases live longer than one."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    made.settimeout(0.0)
    return made


@dataclass(slots=True)
class Witness(asyncio.DatagramProtocol):
    """What was said.

    Attributes:
        lives: run of a process -> release, port, first and last monotonic second, when it was told to end.
        orders: number, monotonic second, run.
        copies: release and method -> how many.
    """

    lives: dict[str, list[str | int | float | None]] = field(default_factory=dict)
    orders: list[tuple[str, float, str]] = field(default_factory=list)
    copies: Counter[tuple[str, str]] = field(default_factory=Counter)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """One datagram."""
        self.heard(json.loads(data), time.monotonic())

    def heard(self, said: dict[str, object], at_s: float) -> None:
        """What one datagram says."""
        life, release = str(said["life"]), str(said["release"])
        port = int(str(said["port"]))
        known = self.lives.setdefault(life, [release, port, at_s, at_s, None])
        known[3] = at_s
        if said.get("told") and known[4] is None:
            known[4] = at_s
        if "order" in said:
            self.orders.append((str(said["order"]), at_s, life))
        if "copy" in said:
            self.copies[release, str(said["copy"])] += 1

    def summary(self) -> dict[str, object]:
        """As JSON takes it."""
        return {
            "lives": [[life, *facts] for life, facts in self.lives.items()],
            "orders": self.orders,
            "copies": [[*which, count] for which, count in self.copies.items()],
        }


def discard_waiting(made: socket.socket) -> None:
    """Forget what was said while nobody heard it: the time of it is not known."""
    while True:
        try:
            made.recv(_LONGEST)
        except BlockingIOError:
            return
