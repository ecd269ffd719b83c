"""Runs a task and masks secrets in its output, line by line. Outlives the control plane, as the task does.

    python -m gantry.engines.runtime.pump SECRETS_FD PROGRAM [ARGUMENT...]

The secrets are a JSON list in the file open at SECRETS_FD. The exit status is the task's; 128 + n after signal n.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Final

from gantry.kernel.redact import Redactor

_READ_BYTES: Final = 65_536
_MAX_LINE_BYTES: Final = 1_000_000


class LineMasker:
    """Masks whole lines, so that a secret that arrives in two pieces is seen.

    Parameters:
        write: takes masked output.
    """

    def __init__(self, mask: Callable[[str], str], write: Callable[[bytes], object]) -> None:
        self._mask = mask
        self._write = write
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> None:
        """Take some output and write the lines that it completes."""
        if self._skipping:
            _, newline, data = data.partition(b"\n")
            self._skipping = not newline
        lines, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if newline:
            self._emit(lines + newline)
        if len(self._rest) > _MAX_LINE_BYTES:
            # No such line is worth reading, and a cut through it might go through a secret.
            self._rest = b""
            self._skipping = True
            self._write(b"[a line of more than 1 MB was left out]\n")

    def close(self) -> None:
        """Write what has no line end."""
        self._emit(self._rest)
        self._rest = b""

    def _emit(self, data: bytes) -> None:
        if data:
            text = data.decode("utf-8", "surrogateescape")
            self._write(self._mask(text).encode("utf-8", "surrogateescape"))


def run(argv: list[str], masker: LineMasker) -> int:
    """Run `argv` until it ends; its exit status."""
    # stdin is the task's own (its environment is in it), descriptors 3 and 4 are its report to the shim.
    task = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=(3, 4))
    assert task.stdout is not None, "opened as a pipe"
    handle = task.stdout.fileno()
    os.set_blocking(handle, False)
    exited = os.pidfd_open(task.pid)
    with selectors.DefaultSelector() as selector:
        selector.register(handle, selectors.EVENT_READ)
        selector.register(exited, selectors.EVENT_READ)
        # A process that the task left behind may hold the pipe for ever: the task's end is the end.
        while task.poll() is None:
            if any(key.fd == handle for key, _ in selector.select()) and not _drain(handle, masker):
                selector.unregister(handle)
    _drain(handle, masker)
    masker.close()
    return task.returncode if task.returncode >= 0 else 128 - task.returncode


def _drain(handle: int, masker: LineMasker) -> bool:
    """Take what there is; whether there may be more."""
    try:
        while data := os.read(handle, _READ_BYTES):
            masker.feed(data)
    except BlockingIOError:
        return True
    return False


def _write_all(data: bytes) -> None:
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError:
        # The disk is full. The task goes on without its log, as one that writes to its log directly does.
        return


def main() -> int:
    """Entry point."""
    # Signals are meant for the task; the pump stays until it has the last line.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    with os.fdopen(int(sys.argv[1])) as file:
        secrets = json.load(file)
    return run(sys.argv[2:], LineMasker(Redactor(secrets), _write_all))


if __name__ == "__main__":
    sys.exit(main())
