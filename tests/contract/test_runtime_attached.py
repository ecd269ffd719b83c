"""What every runtime promises of programs whose input and output somebody holds."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gantry.config.paths import Paths
from gantry.engines.runtime.process import ProcessRuntime
from gantry.engines.runtime.protocol import (
    Attachment,
    Output,
    ProcessSpec,
    ProcessState,
    Runtime,
    Window,
)
from gantry.kernel.clock import SystemClock
from gantry.kernel.errors import UserError
from tests.contract.test_runtime import PassingClock
from tests.fakes.machine import Machine
from tests.fakes.programs import Script
from tests.fakes.runtime import FakeRuntime
from tests.support.runtime import DEADLINE_S, boxed, ended, gone, shell, until

# What the programs do: as a shell script, and as a script of the fake, which echoes what it is sent.
PROGRAMS = {
    "echo hello; exit 3": Script(exits_after_s=0.01, exit_code=3, output="hello\n"),
    "cat": Script(echoes=True),
    "sleep 60": Script(),
}
FAILS, ECHO, LIVES = PROGRAMS


def _script(spec: ProcessSpec) -> Script:
    return PROGRAMS[spec.argv[2]] if spec.argv[0] == "sh" else Script(exists=False)


@pytest.fixture(params=["fake", pytest.param("process", marks=pytest.mark.real)])
async def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Runtime]:
    if request.param == "fake":
        yield FakeRuntime(Machine(PassingClock(), scripts=_script))
        return
    async for real in _real(tmp_path):
        yield real


@pytest.fixture
async def process_runtime(tmp_path: Path) -> AsyncIterator[ProcessRuntime]:
    async for real in _real(tmp_path):
        yield real


async def _real(home: Path) -> AsyncIterator[ProcessRuntime]:
    real = ProcessRuntime(Paths(home), SystemClock())
    yield real
    for process_id in await real.statuses():
        await real.remove(process_id)
    await real.aclose()


async def _rest(held: Attachment) -> dict[Output, bytes]:
    """Everything that a program still writes."""
    found = {Output.OUT: b"", Output.ERR: b""}
    async with asyncio.timeout(DEADLINE_S):
        while (piece := await held.read()) is not None:
            found[piece[0]] += piece[1]
    held.close()
    return found


async def _until(held: Attachment, pattern: bytes) -> bytes:
    found = b""
    async with asyncio.timeout(DEADLINE_S):
        while not re.search(pattern, found, re.DOTALL):
            piece = await held.read()
            assert piece is not None, found
            found += piece[1]
    return found


async def test_output_comes_whole_and_then_the_exit_code_is_known(runtime: Runtime) -> None:
    held = await runtime.start_attached(shell("run-1", FAILS), None)
    assert (await _rest(held))[Output.OUT] == b"hello\n"
    assert (await ended(runtime, "run-1")).exit_code == 3
    assert (await runtime.read_log("run-1")).text == ""


async def test_what_is_sent_arrives_and_the_end_of_input_is_seen(runtime: Runtime) -> None:
    held = await runtime.start_attached(shell("run-1", ECHO), None)
    await held.write(b"\x00\xff binary\n")
    held.end_input()
    await held.write(b"too late")
    assert (await _rest(held))[Output.OUT] == b"\x00\xff binary\n"
    assert (await ended(runtime, "run-1")).exit_code == 0


async def test_a_program_that_is_signalled_ends_the_reading(runtime: Runtime) -> None:
    held = await runtime.start_attached(shell("run-1", LIVES), Window())
    reading = asyncio.create_task(_rest(held))
    await runtime.signal("run-1")
    await reading
    assert (await ended(runtime, "run-1")).exit_code == 143


async def test_closing_ends_the_reading_and_leaves_the_program(runtime: Runtime) -> None:
    held = await runtime.start_attached(shell("run-1", LIVES), None)
    reading = asyncio.create_task(held.read())
    await asyncio.sleep(0)
    held.close()
    held.close()
    async with asyncio.timeout(DEADLINE_S):
        assert await reading is None
    assert (await runtime.statuses())["run-1"].state is ProcessState.RUNNING


async def test_what_runs_is_not_started_again(runtime: Runtime) -> None:
    held = await runtime.start_attached(shell("run-1", LIVES), None)
    with pytest.raises(UserError) as refused:
        await runtime.start_attached(shell("run-1", LIVES), None)
    assert refused.value.code == "runtime.already-runs"
    held.close()


async def test_a_program_that_does_not_exist_is_refused(runtime: Runtime) -> None:
    with pytest.raises(UserError) as refused:
        await runtime.start_attached(replace(shell("run-1", ""), argv=("nothing-here",)), None)
    assert refused.value.code == "runtime.no-program"
    assert "run-1" not in await runtime.statuses()


BOXES = pytest.mark.parametrize("make", [shell, boxed])


@pytest.mark.real
@BOXES
async def test_output_and_errors_are_apart_and_binary(
    process_runtime: ProcessRuntime, make: Callable[[str, str], ProcessSpec]
) -> None:
    script = "head -c 3000000 /dev/zero; printf 'b\\377d' >&2"
    held = await process_runtime.start_attached(make("run-1", script), None)
    found = await _rest(held)
    assert (len(found[Output.OUT]), set(found[Output.OUT])) == (3_000_000, {0})
    assert found[Output.ERR] == b"b\xffd"


@pytest.mark.real
@BOXES
async def test_a_terminal_has_its_size_and_its_own_session(
    process_runtime: ProcessRuntime, make: Callable[[str, str], ProcessSpec]
) -> None:
    script = "stty size; test -t 0 && test -t 1 && test -t 2 && echo terminal; echo >/dev/tty named; read x; stty size"
    held = await process_runtime.start_attached(make("run-1", script), Window(33, 101))
    first = await _until(held, b"named")
    assert b"33 101" in first
    assert b"terminal" in first
    held.resize(Window(20, 66))
    await held.write(b"x\r")
    assert b"20 66" in (await _rest(held))[Output.OUT]
    assert (await ended(process_runtime, "run-1")).exit_code == 0


@pytest.mark.real
@BOXES
async def test_ctrl_c_interrupts_what_runs_and_ctrl_d_ends_the_shell(
    process_runtime: ProcessRuntime, make: Callable[[str, str], ProcessSpec]
) -> None:
    held = await process_runtime.start_attached(
        replace(make("run-1", ""), argv=("bash", "--norc", "-i")), Window()
    )
    await held.write(b"sleep 60 || echo interrupted-$?\n")
    await _until(held, b"sleep 60")
    await _until_sleeps(process_runtime)
    await held.write(b"\x03")
    await held.write(b"echo status-$?\n")
    # A terminal forgets an end of input that comes before the shell asks for its next line.
    assert b"no job control" not in await _until(held, b"status-130.*bash-")
    held.end_input()
    await _rest(held)
    assert (await ended(process_runtime, "run-1")).exit_code == 0


async def _until_sleeps(runtime: ProcessRuntime) -> None:
    """The shell's command runs and has the terminal; a child that is not `sleep` yet may not have it."""
    shell_pid = (await runtime.statuses())["run-1"].pid
    assert shell_pid is not None

    def sleeps() -> bool:
        children = Path(f"/proc/{shell_pid}/task/{shell_pid}/children").read_text().split()
        return any(Path(f"/proc/{pid}/comm").read_text() == "sleep\n" for pid in children)

    await until(sleeps)


@pytest.mark.real
@BOXES
async def test_hanging_up_a_terminal_ends_what_runs_in_it(
    process_runtime: ProcessRuntime, make: Callable[[str, str], ProcessSpec]
) -> None:
    held = await process_runtime.start_attached(make("run-1", "sleep 60; true"), Window())
    held.close()
    # 1: it was hung up before the terminal had become its own.
    assert (await ended(process_runtime, "run-1")).exit_code in (128 + signal.SIGHUP, 1)


@pytest.mark.real
async def test_input_that_nobody_reads_waits_and_ends_with_the_program(
    process_runtime: ProcessRuntime,
) -> None:
    held = await process_runtime.start_attached(boxed("run-1", "sleep 60"), None)
    writing = asyncio.create_task(held.write(b"x" * 10_000_000))
    done, _ = await asyncio.wait({writing}, timeout=0.2)
    assert not done
    pid = (await process_runtime.statuses())["run-1"].pid
    await process_runtime.signal("run-1", kill=True)
    await _rest(held)
    async with asyncio.timeout(DEADLINE_S):
        await writing
    assert pid is not None
    await until(lambda: gone(pid))
