"""What every runtime promises."""

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gantry.config.paths import Paths
from gantry.engines.runtime.process import ProcessRuntime
from gantry.engines.runtime.protocol import (
    Limits,
    Listener,
    ProcessSpec,
    ProcessState,
    ProcessStatus,
    Runtime,
)
from gantry.kernel.clock import ManualClock, SystemClock
from gantry.kernel.errors import UserError
from tests.fakes.machine import Machine
from tests.fakes.programs import Script
from tests.fakes.runtime import FakeRuntime
from tests.support.runtime import DEADLINE_S, ENV, ended, logged, shell

_SERVER = """
import socket, time
four = socket.create_server(("127.0.0.1", 0))
while True:
    six = socket.create_server(("::1", 0), family=socket.AF_INET6)
    if six.getsockname()[1] > four.getsockname()[1]:
        break
    four = socket.create_server(("127.0.0.1", 0))
unix = socket.socket(socket.AF_UNIX)
unix.bind("\\0gantry-contract")
unix.listen()
print("listening", flush=True)
time.sleep(60)
"""
# What the programs of this file do: as a shell script, and as a script of the fake.
PROGRAMS = {
    "sleep 60": Script(),
    "echo hello; exit 3": Script(exits_after_s=0.01, exit_code=3, output="hello\n"),
    "trap '' TERM; echo ready; while :; do sleep 0.05; done": Script(
        stops_after_s=None, output="ready\n"
    ),
    "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done": Script(
        stop_exit_code=0, output="ready\n"
    ),
    "seq 1 1000": Script(
        exits_after_s=0.0, output="".join(f"{number}\n" for number in range(1, 1001))
    ),
    "echo my-secret-value": Script(exits_after_s=0.0, output="my-secret-value\n"),
    "printf 'a\\0b\\n'": Script(exits_after_s=0.0, output="a\0b\n"),
    # Below a shell, IPv4 on the lower port, and a Unix socket in no folder.
    f"{sys.executable} -I -c {shlex.quote(_SERVER)}; true": Script(
        listens_at=(
            Listener("127.0.0.1", 3099),
            Listener("::1", 3100),
            Listener("@gantry-contract"),
        ),
        output="listening\n",
    ),
}
LIVES, FAILS, STUBBORN, POLITE, CHATTY, INDISCREET, BINARY, LISTENS = PROGRAMS


def _script(spec: ProcessSpec) -> Script:
    if spec.argv[0] != "sh":
        return Script(exists=False)
    return PROGRAMS[spec.argv[2]]


class PassingClock(ManualClock):
    """A clock whose time passes by itself, as it does for real processes."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return SystemClock().monotonic_s()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@pytest.fixture(params=["fake", pytest.param("process", marks=pytest.mark.real)])
async def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Runtime]:
    if request.param == "fake":
        yield FakeRuntime(Machine(PassingClock(), scripts=_script))
        return
    real = ProcessRuntime(Paths(tmp_path), SystemClock())
    yield real
    for process_id in await real.statuses():
        await real.remove(process_id)
    await real.aclose()


async def test_a_process_runs_until_it_is_told_to_stop(runtime: Runtime) -> None:
    status = await runtime.start(shell("web-1", LIVES))
    assert (status.id, status.state) == ("web-1", ProcessState.RUNNING)
    assert status.pid is not None
    async with asyncio.timeout(
        DEADLINE_S
    ):  # it has none in the moment in which it becomes another program
        while (await runtime.statuses())["web-1"].memory_bytes == 0:
            await runtime.wait_for_exit(0.05)
    await runtime.signal("web-1")
    after = await ended(runtime, "web-1")
    assert (after.state, after.exit_code, after.pid) == (ProcessState.EXITED, 143, None)
    assert after.ended_at is not None
    assert after.ended_at >= after.started_at
    assert not (after.out_of_memory or after.timed_out)
    assert after.told_to_end


async def test_starting_what_runs_changes_nothing(runtime: Runtime) -> None:
    first = await runtime.start(shell("web-1", LIVES))
    again = await runtime.start(shell("web-1", LIVES))
    assert (again.pid, again.started_at) == (first.pid, first.started_at)


async def test_the_exit_status_is_kept_until_the_process_is_removed(runtime: Runtime) -> None:
    await runtime.start(shell("task-1", FAILS))
    assert (await ended(runtime, "task-1")).exit_code == 3
    assert (await runtime.statuses())["task-1"].exit_code == 3
    await runtime.remove("task-1")
    assert await runtime.statuses() == {}
    assert (await runtime.read_log("task-1")).text == ""


async def test_what_ended_is_started_anew_and_its_log_goes_on(runtime: Runtime) -> None:
    for times in (1, 2):
        await runtime.start(shell("task-1", FAILS))
        await ended(runtime, "task-1")
        assert (await runtime.read_log("task-1")).text == "hello\n" * times


async def test_sigterm_lets_a_process_end_well_and_sigkill_always_ends_it(runtime: Runtime) -> None:
    await runtime.start(shell("polite", POLITE))
    await runtime.start(shell("stubborn", STUBBORN))
    await logged(runtime, "polite", "ready")
    await logged(runtime, "stubborn", "ready")
    await runtime.signal("stubborn")
    await runtime.signal("polite")
    assert (await ended(runtime, "polite")).exit_code == 0
    assert (await runtime.statuses())["stubborn"].state is ProcessState.RUNNING
    await runtime.signal("stubborn", kill=True)
    assert (await ended(runtime, "stubborn")).exit_code == 137


async def test_signals_and_removals_of_what_is_not_there_are_ignored(runtime: Runtime) -> None:
    await runtime.signal("nobody")
    await runtime.signal("nobody", kill=True)
    await runtime.remove("nobody")
    await runtime.start(shell("task-1", FAILS))
    await ended(runtime, "task-1")
    await runtime.signal("task-1")
    status = (await runtime.statuses())["task-1"]
    assert (status.exit_code, status.told_to_end) == (3, False)


async def test_a_task_that_is_over_its_time_is_told_to_end_then_killed(runtime: Runtime) -> None:
    for process_id, script in (("lives", LIVES), ("polite", POLITE), ("stubborn", STUBBORN)):
        spec = replace(shell(process_id, script), timeout_s=0.3, terminate_s=0.3)
        await runtime.start(spec)
    codes = {}
    for process_id in ("lives", "polite", "stubborn"):
        status = await ended(runtime, process_id)
        codes[process_id] = (status.exit_code, status.timed_out, status.told_to_end)
    assert codes == {
        "lives": (143, True, False),
        "polite": (0, False, False),
        "stubborn": (137, True, False),
    }


async def test_a_status_says_what_memory_the_process_may_hold(runtime: Runtime) -> None:
    spec = replace(shell("web-1", FAILS), limits=Limits(memory_bytes=100_000_000))
    assert (await runtime.start(spec)).memory_limit_bytes == 100_000_000
    assert (await ended(runtime, "web-1")).memory_limit_bytes == 100_000_000


async def test_it_is_known_where_a_tree_listens(runtime: Runtime) -> None:
    spec = ProcessSpec("web-1", ("sh", "-c", LISTENS), ENV, "/", whole_tree=True)
    await runtime.start(spec)
    await logged(runtime, "web-1", "listening")
    tcp, tcp6, unix = await runtime.listeners("web-1")
    assert (tcp.address, tcp6.address, tcp.port == tcp6.port) == ("127.0.0.1", "::1", False)
    assert unix == Listener("@gantry-contract")
    await runtime.signal("web-1", kill=True)
    await ended(runtime, "web-1")
    for process_id in ("web-1", "unknown"):
        assert await runtime.listeners(process_id) == ()


async def test_removing_what_runs_ends_it(runtime: Runtime) -> None:
    await runtime.start(shell("web-1", STUBBORN))
    await runtime.remove("web-1")
    assert await runtime.statuses() == {}


async def test_a_missing_program_is_refused_and_leaves_nothing(runtime: Runtime) -> None:
    with pytest.raises(UserError) as caught:
        await runtime.start(ProcessSpec("web-1", ("no-such-program",), {"PATH": "/usr/bin"}, "/"))
    assert caught.value.code == "runtime.no-program"
    assert await runtime.statuses() == {}


async def test_a_log_is_read_in_whole_lines_from_any_offset(runtime: Runtime) -> None:
    await runtime.start(shell("task-1", CHATTY))
    await ended(runtime, "task-1")
    text, offset = "", 0
    while (chunk := await runtime.read_log("task-1", offset=offset, limit_bytes=100)).text:
        assert chunk.text.endswith("\n")
        assert len(chunk.text) <= 100
        text, offset = text + chunk.text, chunk.next_offset
    assert text.split() == [str(number) for number in range(1, 1001)]
    tail = await runtime.read_log("task-1", offset=-11)
    assert (tail.text, tail.next_offset) == ("999\n1000\n", offset)
    assert (await runtime.read_log("task-1", offset=offset)).next_offset == offset


async def test_rotation_frees_the_oldest_lines_and_keeps_offsets(runtime: Runtime) -> None:
    for _ in range(4):  # the file system frees whole blocks of 4,096 bytes only
        await runtime.start(shell("task-1", CHATTY))
        await ended(runtime, "task-1")
    before = await runtime.read_log("task-1", offset=-50)
    await runtime.rotate_logs(keep_bytes=4000)
    start = before.next_offset - len(before.text)
    assert await runtime.read_log("task-1", offset=start) == before
    whole = await runtime.read_log("task-1", limit_bytes=100_000)
    assert whole.next_offset == before.next_offset
    assert 0 < len(whole.text) <= 4000 + 4096
    lines = whole.text.split("\n")
    assert lines[0].isdecimal()
    assert lines[-2] == "1000"


async def test_lines_have_the_times_at_which_the_log_was_marked(runtime: Runtime) -> None:
    await runtime.start(shell("task-1", CHATTY))
    await ended(runtime, "task-1")
    await runtime.mark_logs()
    first = await runtime.read_log("task-1", limit_bytes=100_000)
    lines = first.text.count("\n")
    assert lines == 1000
    assert len(first.times) == lines
    (marked_at,) = set(first.times)
    # The log of the same process goes on, and what was written before keeps its time.
    await runtime.start(shell("task-1", CHATTY))
    await ended(runtime, "task-1")
    await runtime.mark_logs()
    await runtime.mark_logs()
    second = await runtime.read_log("task-1", limit_bytes=100_000)
    assert second.times[:lines] == first.times
    assert len(second.times) == 2 * lines
    assert second.times[lines] >= marked_at
    assert await runtime.find_in_log("task-1", marked_at) == 0
    later = await runtime.find_in_log("task-1", second.times[-1] + timedelta(days=1))
    assert later == second.next_offset
    assert await runtime.find_in_log("nobody", marked_at) == 0


async def test_statuses_tell_what_a_process_was_started_with(runtime: Runtime) -> None:
    spec = replace(shell("task-1", CHATTY), labels={"project": "shop", "process": "web"})
    assert (await runtime.start(spec)).labels == spec.labels
    await ended(runtime, "task-1")
    assert (await runtime.statuses())["task-1"].labels == spec.labels


async def test_secrets_of_a_task_are_masked(runtime: Runtime) -> None:
    spec = ProcessSpec(
        "task-1", ("sh", "-c", INDISCREET), {"PATH": "/usr/bin:/bin"}, "/", redact=("secret-value",)
    )
    await runtime.start(spec)
    await ended(runtime, "task-1")
    assert (await runtime.read_log("task-1")).text == "my-[redacted]\n"


async def test_what_no_database_takes_is_replaced(runtime: Runtime) -> None:
    await runtime.start(shell("task-1", BINARY))
    await ended(runtime, "task-1")
    chunk = await runtime.read_log("task-1")
    assert chunk.text == "a\N{REPLACEMENT CHARACTER}b\n"
    assert chunk.next_offset == 4


async def test_waiting_ends_when_a_process_does(runtime: Runtime) -> None:
    await runtime.start(shell("web-1", LIVES))
    await runtime.wait_for_exit(0.05)
    await runtime.signal("web-1")
    await runtime.wait_for_exit(10.0)
    assert (await ended(runtime, "web-1")).exit_code == 143


async def test_what_is_killed_from_outside_is_run_again_where_that_is_wanted(
    runtime: Runtime,
) -> None:
    spec = shell("web-1", LIVES)
    first = await runtime.start(spec)
    await runtime.restart_when_killed("web-1", wanted=True)
    await asyncio.sleep(1.1)  # what dies in its first second is left to the control plane
    again = await killed_from_outside(runtime, first)
    assert (again.state, again.restarts) == (ProcessState.RUNNING, 1)
    assert again.pid != first.pid
    same = replace(await runtime.start(spec), memory_bytes=again.memory_bytes)
    assert same == again, "it runs: nothing is started beside it"
    await runtime.signal("web-1")
    assert (await ended(runtime, "web-1")).exit_code == 143, "it was told to end"


async def test_what_dies_at_once_or_ends_by_itself_is_not_run_again(runtime: Runtime) -> None:
    first = await runtime.start(shell("web-1", LIVES))
    await runtime.restart_when_killed("web-1", wanted=True)
    assert (await killed_from_outside(runtime, first)).state is ProcessState.EXITED
    await runtime.start(shell("web-2", FAILS))
    await runtime.restart_when_killed("web-2", wanted=True)
    assert (await ended(runtime, "web-2")).exit_code == 3


async def test_it_is_not_run_again_when_that_is_not_wanted_any_more(runtime: Runtime) -> None:
    first = await runtime.start(shell("web-1", LIVES))
    for wanted in (True, False):
        await runtime.restart_when_killed("web-1", wanted=wanted)
    await runtime.restart_when_killed("unknown", wanted=True)
    await asyncio.sleep(1.1)
    assert (await killed_from_outside(runtime, first)).state is ProcessState.EXITED


async def killed_from_outside(runtime: Runtime, running: ProcessStatus) -> ProcessStatus:
    """The status once `running` was killed by somebody else and has another process, or none."""
    if isinstance(runtime, FakeRuntime):
        runtime.machine.crash(running.id)
    else:
        assert running.pid is not None
        os.kill(running.pid, signal.SIGKILL)
    async with asyncio.timeout(DEADLINE_S):
        while True:
            status = (await runtime.statuses())[running.id]
            if status.state is not ProcessState.RUNNING or status.pid not in (None, running.pid):
                return status
            await asyncio.sleep(0.01)
