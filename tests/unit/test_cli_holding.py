"""A terminal that holds a program is raw meanwhile, and as it was whatever ends it."""

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest

_DEADLINE_S = 20.0


class Terminal:
    """A terminal with a program that holds another one."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.openpty()
        self.before = termios.tcgetattr(self.theirs)
        self.program = subprocess.Popen(
            (sys.executable, "-m", "tests.support.holding"),
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
        )
        self.seen = b""

    @property
    def is_raw(self) -> bool:
        """Every key goes to the program."""
        return not termios.tcgetattr(self.theirs)[3] & (
            termios.ICANON | termios.ISIG | termios.ECHO
        )

    def until(self, text: bytes) -> None:
        """Wait until something is shown, or the program has ended."""
        deadline_s = time.monotonic() + _DEADLINE_S
        while text not in self.seen and self.program.poll() is None:
            assert time.monotonic() < deadline_s, self.seen
            if select.select([self.ours], [], [], 0.1)[0]:
                self.seen += os.read(self.ours, 65_536)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    deadline_s = time.monotonic() + _DEADLINE_S
    while not terminal.is_raw:
        assert time.monotonic() < deadline_s
        assert terminal.program.poll() is None
        select.select([], [], [], 0.01)
    yield terminal
    if terminal.program.poll() is None:
        terminal.program.kill()
        terminal.program.wait()
    os.close(terminal.ours)
    os.close(terminal.theirs)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_terminal_is_as_it_was_after_a_signal(terminal: Terminal, number: signal.Signals) -> None:
    terminal.program.send_signal(number)
    if number is signal.SIGINT:
        # The first one asks the program to end; before it is asked anything, it ends the holder.
        terminal.until(b"stop")
        terminal.program.send_signal(number)
    terminal.program.wait(_DEADLINE_S)
    assert termios.tcgetattr(terminal.theirs) == terminal.before


def test_every_key_goes_to_the_program_ctrl_c_too(terminal: Terminal) -> None:
    os.write(terminal.ours, b"\x03")
    terminal.until(b"<b'\\x03'>")
    os.write(terminal.ours, b"\xc3\xa4\x04")
    terminal.until(b"\\xc3\\xa4\\x04")
    assert terminal.program.poll() is None


def test_another_size_of_the_window_is_passed_on(terminal: Terminal) -> None:
    fcntl.ioctl(terminal.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    terminal.program.send_signal(signal.SIGWINCH)
    terminal.until(b'"rows":33,"columns":77')
    assert terminal.program.poll() is None
