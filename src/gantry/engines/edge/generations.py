"""Which Envoy processes there are: one serves, and during an upgrade the one before it ends.

Everything that a new control plane must know of them is in the names of their processes.
"""

import hashlib
import json
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gantry.engines.runtime.protocol import Limits, ProcessSpec

PREFIX = "edge-"
_NAME = re.compile(r"edge-(\d{1,9})-([0-9a-f]{8})")
# Envoy multiplies it by ten and adds the epoch, within 32 bits.
_BASE_IDS = 400_000_000


@dataclass(frozen=True, slots=True)
class Handing:
    """How long a predecessor goes on. New connections go to its successor at once.

    Attributes:
        drain_s: within this time its connections are told, with their next response, to come anew.
        end_s: then it ends, and cuts what still lasts: a stream, a WebSocket.
    """

    drain_s: int = 10
    end_s: int = 60


@dataclass(frozen=True, slots=True, order=True)
class Generation:
    """One Envoy process.

    Attributes:
        epoch: 0 for one that was started where none ran; a successor's is one more than its predecessor's.
        made_from: digest of the program, its arguments and its bootstrap: where it differs, it is another edge.
    """

    epoch: int
    made_from: str

    @property
    def id(self) -> str:
        """Name of its process."""
        return f"{PREFIX}{self.epoch}-{self.made_from}"

    def successor(self, made_from: str) -> "Generation":
        """The one that takes its sockets over."""
        return Generation(self.epoch + 1, made_from)


def generations(process_ids: Iterable[str]) -> tuple[Generation, ...]:
    """Those among many processes, the newest last."""
    found = (_NAME.fullmatch(each) for each in process_ids)
    return tuple(sorted(Generation(int(one[1]), one[2]) for one in found if one))


@dataclass(frozen=True, slots=True)
class Program:
    """What is run as the edge.

    Attributes:
        path: Envoy.
        folder: where its configuration lies.
        workers: threads that serve.
        hot: successors take sockets over; it needs shared memory.
    """

    path: Path
    folder: str
    workers: int
    hot: bool
    handing: Handing

    def made_from(self, bootstrap: object) -> str:
        """Digest of all that a successor would be made for. A program that was replaced in its place counts."""
        status = self.path.stat()
        parts = [self._argv(), status.st_size, status.st_mtime_ns, bootstrap]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]

    def spec(self, generation: Generation) -> ProcessSpec:
        """The process of a generation."""
        return ProcessSpec(
            id=generation.id,
            argv=(*self._argv(), *self._epoch(generation.epoch)),
            env={"PATH": "/usr/bin:/bin"},
            cwd=self.folder,
            limits=Limits(processes=None),
            labels={"part": "edge"},
        )

    def check_spec(self, process_id: str, timeout_s: float) -> ProcessSpec:
        """A task that tries whether the program takes the bootstrap, without touching anything that serves."""
        return ProcessSpec(
            id=process_id,
            argv=(*self._argv(), "--disable-hot-restart", "--mode", "validate"),
            env={"PATH": "/usr/bin:/bin"},
            cwd=self.folder,
            limits=Limits(processes=None),
            timeout_s=timeout_s,
            labels={"part": "edge"},
        )

    def _argv(self) -> tuple[str, ...]:
        return (
            str(self.path),
            *("--config-path", f"{self.folder}/bootstrap.json"),
            *("--concurrency", str(self.workers)),
            *("--log-level", "warning"),
            *("--drain-time-s", str(self.handing.drain_s), "--file-flush-interval-msec", "1000"),
        )

    def _epoch(self, epoch: int) -> tuple[str, ...]:
        if not self.hot:
            return ("--disable-hot-restart",)
        # One for each platform on a machine, and the same for all its generations.
        base_id = zlib.crc32(self.folder.encode()) % _BASE_IDS
        return (
            *("--base-id", str(base_id), "--restart-epoch", str(epoch)),
            *("--parent-shutdown-time-s", str(self.handing.end_s)),
            # A successor that its shim runs again after its predecessor has ended.
            "--skip-hot-restart-on-no-parent",
        )
