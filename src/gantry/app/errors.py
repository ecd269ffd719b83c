"""What this machine refused, as one error for people: whatever command met it."""

import subprocess  # noqa: TID251 -- only the names of its errors

from gantry.kernel.errors import PermanentError

MachineFault = (OSError, subprocess.SubprocessError)
"""What the machine raises: no room, no right, a program that hangs."""

_MAX_OUTPUT = 500


class MachineError(PermanentError):
    """A command could not do its work on this machine.

    Parameters:
        attempt: what was tried, such as `could not write /etc/gantry/gantry.conf`.
        fault: what the machine said; the file that it names becomes `where`.
    """

    def __init__(self, code: str, attempt: str, fault: Exception, *, hint: str) -> None:
        where = str(fault.filename or "") if isinstance(fault, OSError) else ""
        super().__init__(code, f"{attempt}: {_said(fault)}", hint=hint, where=where)


def _said(fault: Exception) -> str:
    if isinstance(fault, subprocess.TimeoutExpired):
        return f"{_program(fault.cmd)} did not end within {fault.timeout:.0f} s"
    if isinstance(fault, subprocess.CalledProcessError):
        output = str(fault.stderr or fault.stdout or "").strip()[-_MAX_OUTPUT:]
        return f"{_program(fault.cmd)} ended with {fault.returncode}: {output or 'it said nothing'}"
    return str(getattr(fault, "strerror", None) or fault)


def _program(command: object) -> str:
    """The program's name alone: its arguments may hold a secret."""
    return str(command[0] if isinstance(command, list | tuple) else command).rpartition("/")[2]
