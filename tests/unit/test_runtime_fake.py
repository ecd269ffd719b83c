"""The fake runtime: scripts on a clock, and faults that are the same for the same seed."""

import random

import pytest

from gantry.engines.runtime.protocol import ProcessSpec, ProcessState
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import TransientError
from tests.fakes.machine import Faults, Machine
from tests.fakes.programs import Script
from tests.fakes.runtime import FakeRuntime


def _spec(process_id: str, timeout_s: float | None = None) -> ProcessSpec:
    return ProcessSpec(process_id, ("program",), {}, "/", timeout_s=timeout_s)


async def test_a_script_runs_on_the_clock() -> None:
    clock = ManualClock()
    exits = Script(exits_after_s=5.0, exit_code=2)
    runtime = FakeRuntime(Machine(clock, scripts=lambda _: exits))
    await runtime.start(_spec("a"))
    clock.advance(4.9)
    assert (await runtime.statuses())["a"].state is ProcessState.RUNNING
    await runtime.wait_for_exit(60.0)
    assert clock.monotonic_s() == pytest.approx(5.0)
    status = (await runtime.statuses())["a"]
    assert (status.state, status.exit_code) == (ProcessState.EXITED, 2)


async def test_memory_deadlines_and_reboots_are_told_apart() -> None:
    hungry = Script(exits_after_s=1.0, out_of_memory=True)
    machine = Machine(ManualClock(), scripts=lambda spec: hungry if spec.id == "oom" else Script())
    runtime = FakeRuntime(machine)
    for spec in (_spec("oom"), _spec("slow", timeout_s=2.0), _spec("web")):
        await runtime.start(spec)
    machine.pass_time(3.0)
    machine.reboot()
    seen = await runtime.statuses()
    assert (seen["oom"].exit_code, seen["oom"].out_of_memory) == (137, True)
    assert (seen["slow"].exit_code, seen["slow"].timed_out) == (143, True)
    assert (seen["web"].state, seen["web"].exit_code) == (ProcessState.LOST, None)


async def test_a_program_listens_when_its_script_says() -> None:
    scripts = {"slow": Script(listens_after_s=2.0), "never": Script(listens_after_s=None)}
    machine = Machine(ManualClock(), scripts=lambda spec: scripts[spec.id])
    runtime = FakeRuntime(machine)
    await runtime.start(_spec("slow"))
    await runtime.start(_spec("never"))
    assert not machine.listens("slow")
    machine.pass_time(2.0)
    assert machine.listens("slow")
    assert not machine.listens("never")
    machine.crash("slow")
    assert not machine.listens("slow")


async def _story(seed: int) -> list[str]:
    machine = Machine(
        ManualClock(),
        random.Random(seed),
        scripts=lambda _: Script(dies_per_hour=20.0),
        faults=Faults(lose_reply=0.3),
    )
    runtime = FakeRuntime(machine)
    told = []
    for number in range(20):
        try:
            await runtime.start(_spec(f"p{number}"))
            told.append("started")
        except TransientError:
            told.append("no reply")
        machine.pass_time(60.0)
        told.append(",".join(s.state for s in (await runtime.statuses()).values()))
    return told


async def test_the_same_seed_tells_the_same_story() -> None:
    assert await _story(7) == await _story(7)
    assert await _story(7) != await _story(8)
    assert "no reply" in await _story(7)


async def test_a_lost_reply_is_no_lost_effect() -> None:
    runtime = FakeRuntime(Machine(ManualClock(), faults=Faults(lose_reply=1.0)))
    with pytest.raises(TransientError):
        await runtime.start(_spec("a"))
    assert set(await runtime.statuses()) == {"a"}
