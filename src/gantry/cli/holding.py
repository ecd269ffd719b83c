"""Holds a program that runs elsewhere: passes on what is typed or piped in, and what it prints.

On a terminal every key goes to the program, Ctrl-C too, and the terminal is as it was whatever happens.
"""

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

from gantry.cli.line import Line
from gantry.cli.session import Session
from gantry.features.runs.bodies import (
    MAX_MESSAGE_BYTES,
    MAX_UNTAKEN_BYTES,
    FromHolder,
    RunBody,
    ToHolder,
)
from gantry.kernel.errors import PermanentError, TransientError, from_dict

_STDIN: Final = 0
_RESIZED, _OVER = b"r", b"o"
_JOIN_TIMEOUT_S = 1.0
# What a full-screen program may have left on: its own screen, a hidden cursor, the mouse, pasting in brackets, colours.
_AS_BEFORE = "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[0m\r"


def window() -> tuple[int, int]:
    """Rows and columns of this terminal."""
    try:
        # Of the terminal itself: COLUMNS and LINES of the environment do not follow when it changes.
        size = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        size = os.terminal_size((80, 24))
    return max(1, size.lines), max(1, size.columns)


def hold(session: Session, line: Line, *, terminal: bool) -> RunBody:
    """Pass everything on until the program ends; how it ended.

    Raises:
        GantryError: it could not be started; `control.lost`, and then it is ended.
        BrokenPipeError: nobody reads what it prints.
    """
    with _Typing(line) as typing, _raw(typing) if terminal else contextlib.nullcontext():
        try:
            return _listen(session, line, typing)
        except TransientError:
            if terminal:
                sys.stdout.write(_AS_BEFORE)
                sys.stdout.flush()
            raise
        finally:
            line.close()


def _listen(session: Session, line: Line, typing: "_Typing") -> RunBody:
    stopping = False
    while True:
        try:
            message = line.receive()
        except KeyboardInterrupt:
            if stopping:
                raise
            stopping = True
            session.say("stopping it; Ctrl-C again leaves at once", style="dim")
            line.send(FromHolder(stop=True).model_dump_json(exclude_defaults=True))
            continue
        if message is None:
            raise PermanentError(
                "control.bad-answer",
                "the control plane closed the connection without saying how the program ended",
                hint="gantry runs",
            )
        if isinstance(message, bytes):
            _write(2 if message[:1] == b"\x02" else 1, message[1:])
            continue
        told = ToHolder.model_validate_json(message)
        if told.error is not None:
            raise from_dict(told.error.model_dump())
        if told.ended is not None:
            return told.ended
        typing.taken(told.taken)


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


@dataclass
class _Typing:
    """Sends what comes on standard input, in a thread of its own, as fast as the program takes it."""

    line: Line
    _free_bytes: int = MAX_UNTAKEN_BYTES
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _over: bool = False

    def __enter__(self) -> "_Typing":
        self._heard, self._tell = os.pipe()
        os.set_blocking(self._tell, False)
        # A daemon: a read that waits for a key must not keep the command from ending.
        self._thread = threading.Thread(target=self._run, daemon=True, name="typing")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._note(_OVER)
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join(_JOIN_TIMEOUT_S)
        if not self._thread.is_alive():
            os.close(self._heard)
            os.close(self._tell)

    def taken(self, size: int) -> None:
        """The program has taken so much more."""
        with self._changed:
            self._free_bytes += size
            self._changed.notify()

    def resized(self) -> None:
        """The terminal has another size. May be called by a signal's handler."""
        self._note(_RESIZED)

    def _note(self, what: bytes) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._tell, what)

    def _run(self) -> None:
        open_input = True
        with contextlib.suppress(TransientError):  # the thread that receives says so
            while True:
                heard, _, _ = select.select(
                    [self._heard, *([_STDIN] if open_input else [])], [], []
                )
                if self._heard in heard:
                    if _OVER in os.read(self._heard, 100):
                        return
                    rows, columns = window()
                    self._say(FromHolder(rows=rows, columns=columns))
                elif open_input:
                    open_input = self._pass_on()

    def _pass_on(self) -> bool:
        """Send some input; `False` at its end."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._free_bytes > 0)
            room = min(self._free_bytes, MAX_MESSAGE_BYTES)
        if self._over:
            return False
        try:
            data = os.read(_STDIN, room)
        except OSError:
            data = b""
        if not data:
            self._say(FromHolder(end=True))
            return False
        with self._changed:
            self._free_bytes -= len(data)
        self.line.send(data)
        return True

    def _say(self, message: FromHolder) -> None:
        self.line.send(message.model_dump_json(exclude_defaults=True))


@contextlib.contextmanager
def _raw(typing: _Typing) -> Iterator[None]:
    """Every key as it is; the terminal is as it was after any exception and any signal that can be caught."""
    before = termios.tcgetattr(_STDIN)
    handlers = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda *_: typing.resized())
    try:
        tty.setraw(_STDIN)
        yield
    finally:
        # What a terminal that is gone cannot do any more nobody misses.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(_STDIN, termios.TCSAFLUSH, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
