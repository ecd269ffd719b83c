"""Input and output of a process that a fake runtime runs: what its script says, and what it echoes."""

import math
from collections import deque
from typing import TYPE_CHECKING

from gantry.engines.runtime.protocol import Attachment, Output, Window
from gantry.kernel.clock import wait_for
from tests.fakes.machine import Machine, Process


class FakeAttachment:
    """Held by a test or by the platform under test.

    Attributes:
        typed: everything that was sent.
        windows: the sizes that the terminal was given.
        closed: it was hung up.
    """

    def __init__(self, machine: Machine, process: Process, window: Window | None) -> None:
        self.typed = b""
        self.windows = [] if window is None else [window]
        self.closed = False
        self._machine, self._process = machine, process
        self._input_ended = False
        self._said: deque[bytes] = deque()
        if process.script.output:
            self._said.append(process.script.output.encode())
        process.log.clear()

    async def read(self) -> tuple[Output, bytes] | None:
        """See `Attachment.read`."""
        machine, process = self._machine, self._process
        while not self.closed:
            machine.changed.clear()
            if self._said:
                return Output.OUT, self._said.popleft()
            if not process.runs(machine.now_s):
                return None
            ends_s = math.inf if process.ends_s is None else process.ends_s
            await wait_for(machine.changed, min(ends_s - machine.now_s, 3600.0), machine.clock)
        return None

    async def write(self, data: bytes) -> None:
        """See `Attachment.write`."""
        if self._input_ended or not self._lives:
            return
        while not self._process.script.reads and self._lives:
            self._machine.changed.clear()
            await self._machine.changed.wait()
        self.typed += data
        if self._process.script.echoes:
            self._said.append(data)
        self._machine.changed.set()

    @property
    def _lives(self) -> bool:
        return not self.closed and self._process.runs(self._machine.now_s)

    def end_input(self) -> None:
        """See `Attachment.end_input`."""
        self._input_ended = True
        if self._process.script.echoes:
            self._machine.end(self._process, self._machine.now_s, 0, "exit")

    def resize(self, window: Window) -> None:
        """See `Attachment.resize`."""
        self.windows.append(window)

    def close(self) -> None:
        """See `Attachment.close`."""
        self.closed = True
        self._machine.changed.set()


if TYPE_CHECKING:

    def _guard(attachment: FakeAttachment) -> Attachment:
        return attachment
