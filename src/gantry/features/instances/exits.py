"""Why a process ended, in words that somebody can act on. Pure."""

import re
import signal
from dataclasses import dataclass, replace

from gantry.engines.runtime.protocol import ProcessState, ProcessStatus
from gantry.kernel.units import format_size

# Sent by people, systems and shells; every other signal is a fault of the program itself.
_FROM_OUTSIDE = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL})
_SHELL_WORDS = {
    126: "a program of its command cannot be executed",
    127: "its command names a program that does not exist",
}
# How the servers and languages of products say that somebody else listens there.
_PORT_TAKEN = re.compile(
    r"EADDRINUSE|address (is )?already in use|(port|connection) (\d+ )?(is |was )?(already )?in use",
    re.IGNORECASE,
)
_PORT = re.compile(r"(?:[:\s(]|, ?)([1-9]\d{1,4})(?!\d|\.\d)")


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended.

    Attributes:
        sentence: why, after the name of the instance.
        short: the same in two or three words, for a table.
        fault: it is the product's own: a restart that counts.
        hopeless: another start would end the same way.
        out_of_memory: it reached its limit.
    """

    sentence: str
    short: str
    fault: bool = True
    hopeless: bool = False
    out_of_memory: bool = False


def exit_of(process: ProcessStatus | None, *, killed_for: str, settled: bool) -> Exit:
    """How a process that does not run any more has ended.

    Parameters:
        process: `None` where the runtime does not know it.
        killed_for: why Gantry has killed it; empty where it has not.
        settled: it had been healthy.
    """
    if killed_for:
        return Exit(f"was killed by Gantry: {killed_for}", "killed by Gantry")
    if process is None or process.state is ProcessState.LOST:
        return Exit("vanished, as after a restart of the machine", "vanished", fault=False)
    if process.out_of_memory:
        return _out_of_memory(process)
    if process.told_to_end:
        return Exit("ended, as Gantry had told it to", "told to end", fault=False)
    return _by_code(process.exit_code or 0, settled=settled)


def no_program(message: str) -> Exit:
    """It could not be started at all.

    Parameters:
        message: what the runtime said of it.
    """
    return Exit(f"could not be started: {message}", "program missing", hopeless=True)


def explained(exit: Exit, output: str, port: int | None) -> Exit:
    """`exit`, with what the program's last output says of it.

    Parameters:
        port: where it should have listened.
    """
    if not exit.short.startswith("exit "):
        return exit
    line = next((line for line in reversed(output.splitlines()) if _PORT_TAKEN.search(line)), None)
    if line is None:
        return exit
    found = [number for text in _PORT.findall(line) if 0 < (number := int(text)) < 65_536]
    # The number of the error itself may stand there too: "[Errno 98]", "(98: Address already in use)".
    taken = next((number for number in reversed(found) if number not in (48, 98)), None)
    what = f"port {taken}" if taken is not None else "its port"
    advice = f"; it should listen on $PORT ({port})" if port not in (None, taken) else ""
    return replace(
        exit,
        sentence=f"{exit.sentence}: {what} is taken by another process (EADDRINUSE){advice}",
        short="port taken",
    )


def _out_of_memory(process: ProcessStatus) -> Exit:
    limit = process.memory_limit_bytes
    if limit is None:
        return Exit("ran out of memory", "memory", out_of_memory=True)
    size = format_size(limit).replace(".0 ", " ")
    sentence = f"ran out of memory: it may hold {size} (processes.*.memory in gantry.toml)"
    return Exit(sentence, f"memory {size}", out_of_memory=True)


def _by_code(code: int, *, settled: bool) -> Exit:
    if code in _SHELL_WORDS:
        sentence = f"exited with {code}: {_SHELL_WORDS[code]}"
        return Exit(
            sentence, "program missing" if code == 127 else f"exit {code}", hopeless=not settled
        )
    if code <= 128 or code - 128 not in set(signal.Signals):
        return Exit(f"exited with {code}", f"exit {code}")
    number = signal.Signals(code - 128)
    if number in _FROM_OUTSIDE:
        # Nothing restarts for ever: a program that ends itself so is started again after pauses, but for SIGKILL.
        fault = number is not signal.SIGKILL
        return Exit(
            f"was ended by {number.name}, which Gantry did not send", number.name, fault=fault
        )
    return Exit(f"crashed with {number.name}", number.name)
