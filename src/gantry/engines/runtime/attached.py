"""Programs whose input and output somebody holds: a terminal of their own, or three pipes.

The descriptors travel through the chain of programs (`launch.py`) as 5, 6 and 7, because 0 is the script of the last link
and 1 and 2 are the log. They belong to this process alone: when it dies they close, and the program learns of it.
"""

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gantry.engines.runtime.procfs import Identity
from gantry.engines.runtime.protocol import Attachment, Output, Window

_READ_BYTES = 65_536
# What is still on its way when the program has ended, or comes from something that it left behind.
_LAST_WORDS_TIMEOUT_S = 0.5
_FIRST_FREE = 10  # the shell of the chain knows descriptors of one digit only
_END_OF_INPUT = b"\x04"
_IUTF8 = 0o40000  # <asm-generic/termbits.h>; the module termios does not name it


@dataclass(slots=True)
class Ends:
    """One side of what a program reads and writes; the terminal's three descriptors are one.

    Attributes:
        input: what the program reads; for our side, where it is written to.
    """

    input: int
    output: int
    error: int
    terminal: bool

    def hand_over(self, uid: int) -> None:
        """Let the program's user open the terminal by its name."""
        if self.terminal:
            os.fchown(self.input, uid, -1)

    def close(self) -> None:
        """Close what is open."""
        for handle in {self.input, self.output, self.error} - {-1}:
            os.close(handle)
        self.input = self.output = self.error = -1


def open_ends(window: Window | None) -> tuple[Ends, Ends]:
    """Our side and the program's.

    Raises:
        OSError: too many are open.
    """
    if window is not None:
        ours, theirs = os.openpty()
        _as_terminal(theirs, window)
        os.set_blocking(ours, False)
        return Ends(ours, ours, ours, terminal=True), Ends(theirs, theirs, theirs, terminal=True)
    handles: list[int] = []
    try:
        for _ in range(3):
            handles += os.pipe()
    except OSError:
        for handle in handles:
            os.close(handle)
        raise
    reads, writes, from_output, output, from_error, error = handles
    for handle in (writes, from_output, from_error):
        os.set_blocking(handle, False)
    ours_ = Ends(writes, from_output, from_error, terminal=False)
    return ours_, Ends(reads, output, error, terminal=False)


def _as_terminal(handle: int, window: Window) -> None:
    settings = termios.tcgetattr(handle)
    settings[0] |= _IUTF8  # one Backspace takes one letter, however many bytes it has
    termios.tcsetattr(handle, termios.TCSANOW, settings)
    _resize(handle, window)


def _resize(handle: int, window: Window) -> None:
    fcntl.ioctl(handle, termios.TIOCSWINSZ, struct.pack("HHHH", window.rows, window.columns, 0, 0))


def spawn(argv: tuple[str, ...], env: Mapping[str, str], script: int, log: int, ends: Ends) -> None:
    """Start the chain with its descriptors in place, and collect its first link, which ends at once.

    Raises:
        OSError: the machine refused.
    """
    sources = (script, log, log, ends.input, ends.output, ends.error)
    held: list[int] = []
    try:
        # Out of the way first: one that lies on another's place would be overwritten.
        for source in sources:
            held.append(fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE))
        places = zip(held, (0, 1, 2, 5, 6, 7), strict=True)
        actions = [(os.POSIX_SPAWN_DUP2, source, place) for source, place in places]
        pid = os.posix_spawn(argv[0], argv, env, file_actions=actions)
    finally:
        for handle in held:
            os.close(handle)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise OSError(f"{argv[0]} ended with {os.waitstatus_to_exitcode(status)}")


class Attached:
    """What this process holds of a program. Belongs to the event loop in which it is first used.

    Parameters:
        shim: whose end is the end of the program; `None` when it has ended already.
    """

    def __init__(self, ends: Ends, shim: Identity | None) -> None:
        self._ends = ends
        self._reads = {ends.output: Output.OUT}
        if not ends.terminal:
            self._reads[ends.error] = Output.ERR
        self._shim = _watch(shim)
        self._ended = self._shim is None
        self._listening = self._closed = False
        self._waiting: set[asyncio.Event] = set()

    async def read(self) -> tuple[Output, bytes] | None:
        """See `Attachment.read`."""
        while self._reads and not self._closed:
            for handle, output in tuple(self._reads.items()):
                data = _take(handle)
                if data:
                    return output, data
                if data == b"":
                    del self._reads[handle]
            if self._reads and not await self._readable():
                break
        while not self._ended and not self._closed:
            await self._ready()  # output may end before the program does
        return None

    async def write(self, data: bytes) -> None:
        """See `Attachment.write`."""
        while data and not self._ended and not self._closed and self._ends.input != -1:
            try:
                data = data[os.write(self._ends.input, data) :]
            except BlockingIOError:
                await self._ready(writes=self._ends.input)
            except OSError:
                return  # its side is closed

    def end_input(self) -> None:
        """See `Attachment.end_input`."""
        if self._closed or self._ends.input == -1:
            return
        if self._ends.terminal:
            with contextlib.suppress(OSError):
                os.write(self._ends.input, _END_OF_INPUT)
            return
        if self._waiting:
            asyncio.get_running_loop().remove_writer(self._ends.input)
            self._wake()
        os.close(self._ends.input)
        self._ends.input = -1

    def resize(self, window: Window) -> None:
        """See `Attachment.resize`."""
        if self._ends.terminal and not self._closed:
            _resize(self._ends.input, window)

    def close(self) -> None:
        """See `Attachment.close`."""
        if self._closed:
            return
        self._closed = True
        self._let_go_of_shim()
        if self._waiting:
            # Before they are closed: the loop knows them by number.
            loop = asyncio.get_running_loop()
            for handle in {*self._reads, self._ends.input} - {-1}:
                loop.remove_reader(handle)
                loop.remove_writer(handle)
            self._wake()
        self._ends.close()

    async def _readable(self) -> bool:
        """Wait until there is something to read; `False` when the program has ended and nothing more comes."""
        if not self._ended:
            await self._ready(reads=tuple(self._reads))
            return True
        try:
            async with asyncio.timeout(_LAST_WORDS_TIMEOUT_S):
                await self._ready(reads=tuple(self._reads))
        except TimeoutError:
            return False
        return True

    async def _ready(self, *, reads: tuple[int, ...] = (), writes: int | None = None) -> None:
        """Return when one of them can be read or written, when the program ends, or after `close`."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        if self._shim is not None and not self._listening:
            self._listening = True
            loop.add_reader(self._shim, self._on_end)
        self._waiting.add(woken)
        try:
            for handle in reads:
                loop.add_reader(handle, woken.set)
            if writes is not None:
                loop.add_writer(writes, woken.set)
            await woken.wait()
        finally:
            self._waiting.discard(woken)
            if not self._closed:
                for handle in reads:
                    loop.remove_reader(handle)
                if writes is not None and self._ends.input != -1:
                    loop.remove_writer(writes)

    def _on_end(self) -> None:
        self._ended = True
        self._let_go_of_shim()
        self._wake()

    def _wake(self) -> None:
        for woken in self._waiting:
            woken.set()

    def _let_go_of_shim(self) -> None:
        if self._shim is None:
            return
        if self._listening:
            asyncio.get_running_loop().remove_reader(self._shim)
        os.close(self._shim)
        self._shim = None


def _take(handle: int) -> bytes | None:
    """What there is; nothing at its end, `None` while nothing has come."""
    try:
        return os.read(handle, _READ_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""  # EIO: nobody has the terminal open any more


def _watch(shim: Identity | None) -> int | None:
    """Can be read once the shim has ended; `None` when it has."""
    if shim is None:
        return None
    try:
        handle = os.pidfd_open(shim.pid)
    except ProcessLookupError:
        return None
    if not shim.alive():
        os.close(handle)
        return None
    return handle


if TYPE_CHECKING:

    def _guard(attached: Attached) -> Attachment:
        return attached
