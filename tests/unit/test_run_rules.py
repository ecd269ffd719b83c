"""What becomes of runs, and what is written of their commands."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gantry.engines.runtime.protocol import ProcessState, ProcessStatus
from gantry.features.runs import rules
from gantry.features.runs.model import Program, Run, RunState
from gantry.features.runs.rules import (
    ATTACH_TIMEOUT,
    LEFT,
    MAX_OPEN,
    MAX_OPEN_IN_ENVIRONMENT,
    START_TIMEOUT,
    TERMINATE_TIMEOUT,
    Action,
    End,
    Kill,
    Start,
    Terminate,
    shown_command,
)
from gantry.kernel.errors import ConflictError
from gantry.kernel.redact import Redactor
from tests.support.stories import T0

RUN = Run(
    id="run-1",
    environment="env-1",
    release="r-1",
    release_number=1,
    program=Program.COMMAND,
    command="ls",
    terminal=True,
    detached=False,
    read_only=False,
    timeout_s=3600.0,
    requested_by="ada",
    origin="local",
    state=RunState.RUNNING,
    created_at=T0,
    started_at=T0,
)
WAITING = replace(RUN, state=RunState.WAITING, started_at=None)
DETACHED = replace(WAITING, detached=True, terminal=False)
STOPPED = replace(RUN, stopping_since=T0, stop_reason="stopped by ben")
LATER = T0 + timedelta(hours=1)


def process(state: ProcessState = ProcessState.RUNNING, **changes: Any) -> ProcessStatus:
    return ProcessStatus(RUN.process_id, state, None, T0, **changes)


def exited(code: int, **changes: Any) -> ProcessStatus:
    return process(ProcessState.EXITED, exit_code=code, **changes)


@pytest.mark.parametrize(
    ("run", "seen", "held", "now", "expected"),
    [
        (WAITING, None, False, T0, None),
        (WAITING, None, True, LATER, None),
        (WAITING, None, False, T0 + ATTACH_TIMEOUT, End(WAITING, None, "nobody came to hold it")),
        (DETACHED, None, False, T0, Start(DETACHED)),
        (DETACHED, None, False, T0 + START_TIMEOUT, End(DETACHED, None, "could not be started within 10 min")),
        (RUN, process(), True, LATER, None),
        (RUN, process(), False, T0, Terminate(RUN, LEFT)),
        (replace(RUN, detached=True), process(), False, LATER, None),
        (STOPPED, process(), False, T0, None),
        (STOPPED, process(), True, T0 + TERMINATE_TIMEOUT, Kill(STOPPED)),
        (RUN, exited(0), True, LATER, None),  # who holds it records its end
        (RUN, exited(3), False, LATER, End(RUN, 3, "exited with 3")),
        (RUN, exited(129), False, LATER, End(RUN, 129, LEFT)),
        (STOPPED, exited(143), False, LATER, End(STOPPED, 143, "stopped by ben")),
        (RUN, None, False, T0, None),  # it is being started
        (RUN, None, False, LATER, End(RUN, None, "was lost, as when the machine is restarted")),
        (RUN, process(ProcessState.LOST), False, LATER, End(RUN, None, "was lost, as when the machine is restarted")),
    ],
)  # fmt: skip
def test_each_run_gets_the_step_that_it_needs(
    run: Run, seen: ProcessStatus | None, held: bool, now: Any, expected: Action | None
) -> None:
    processes = {run.process_id: seen} if seen is not None else {}
    steps = rules.decide([run], processes, {run.id} if held else set(), now)
    assert steps == ((expected,) if expected is not None else ())


@pytest.mark.parametrize(
    ("seen", "detail"),
    [
        (exited(0), "exited with 0"),
        (exited(137), "ended by signal 9"),
        (exited(137, timed_out=True), "had run for 1 h, its time limit"),
        (exited(137, out_of_memory=True), "used more memory than it may"),
    ],
)
def test_an_end_has_a_reason(seen: ProcessStatus, detail: str) -> None:
    assert rules.ending(RUN, seen).detail == detail


def test_only_so_many_run_at_once() -> None:
    here = [RUN] * (MAX_OPEN_IN_ENVIRONMENT - 1)
    rules.check_room(here, "env-1")
    with pytest.raises(ConflictError, match="in this environment"):
        rules.check_room([*here, RUN], "env-1")
    rules.check_room([*here, RUN], "env-2")
    with pytest.raises(ConflictError, match="on this platform"):
        rules.check_room([RUN] * MAX_OPEN, "env-2")


@pytest.mark.parametrize(
    ("argv", "program", "shown"),
    [
        ((), Program.COMMAND, "a shell"),
        (("ls -la | head",), Program.COMMAND, "ls -la | head"),
        (("node", "-e", "a b"), Program.COMMAND, "node -e 'a b'"),
        (("echo", "it's-secret-value"), Program.COMMAND, "echo '[redacted]'"),
        (("curl https://me:pa55@example.com/x",), Program.COMMAND, "curl https://me:[redacted]@example.com/x"),
        (("login", "--password", "hunter2"), Program.COMMAND, "login --password [redacted]"),
        (("API_TOKEN=abc ./run --api-key='a b'",), Program.COMMAND, "API_TOKEN=[redacted] ./run --api-key=[redacted]"),
        (("PGPASSWORD=x psql",), Program.COMMAND, "PGPASSWORD=[redacted] psql"),
        (("a\x1b[2Jb\nc",), Program.COMMAND, "a [2Jb c"),
        (("-c", "select 1"), Program.POSTGRES, "psql -c 'select 1'"),
        ((), Program.REDIS, "redis"),
        (("x" * 600,), Program.COMMAND, "x" * 499 + "…"),
    ],
)  # fmt: skip
def test_a_command_is_shown_without_its_secrets(
    argv: tuple[str, ...], program: Program, shown: str
) -> None:
    assert shown_command(argv, program, Redactor(["it's-secret-value"])) == shown
