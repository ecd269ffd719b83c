"""The fake runtime: scripts on a clock, and faults that are the same for the same seed."""

import random

import pytest

from gantry.engines.runtime.fake import FakeRuntime, Script
from gantry.engines.runtime.protocol import ProcessSpec, ProcessState
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import TransientError


def _spec(process_id: str, timeout_s: float | None = None) -> ProcessSpec:
    return ProcessSpec(process_id, ("program",), {}, "/", timeout_s=timeout_s)


async def test_a_script_runs_on_the_clock() -> None:
    clock = ManualClock()
    runtime = FakeRuntime(clock, scripts=lambda _: Script(exits_after_s=5.0, exit_code=2))
    await runtime.start(_spec("a"))
    clock.advance(4.9)
    assert (await runtime.statuses())["a"].state is ProcessState.RUNNING
    await runtime.wait_for_exit(60.0)
    assert clock.monotonic_s() == pytest.approx(5.0)
    status = (await runtime.statuses())["a"]
    assert (status.state, status.exit_code) == (ProcessState.EXITED, 2)


async def test_memory_deadlines_and_reboots_are_told_apart() -> None:
    clock = ManualClock()
    hungry = Script(exits_after_s=1.0, out_of_memory=True)
    runtime = FakeRuntime(clock, scripts=lambda spec: hungry if spec.id == "oom" else Script())
    for spec in (_spec("oom"), _spec("slow", timeout_s=2.0), _spec("web")):
        await runtime.start(spec)
    clock.advance(3.0)
    runtime.kill_all()
    seen = await runtime.statuses()
    assert (seen["oom"].exit_code, seen["oom"].out_of_memory) == (137, True)
    assert (seen["slow"].exit_code, seen["slow"].timed_out) == (137, True)
    assert (seen["web"].state, seen["web"].exit_code) == (ProcessState.LOST, None)


async def test_a_program_listens_when_its_script_says() -> None:
    clock = ManualClock()
    scripts = {"slow": Script(listens_after_s=2.0), "never": Script(listens_after_s=None)}
    runtime = FakeRuntime(clock, scripts=lambda spec: scripts[spec.id])
    await runtime.start(_spec("slow"))
    await runtime.start(_spec("never"))
    assert not runtime.listens("slow")
    clock.advance(2.0)
    assert runtime.listens("slow")
    assert not runtime.listens("never")
    runtime.crash("slow")
    assert not runtime.listens("slow")


async def _story(seed: int) -> list[str]:
    clock = ManualClock()
    runtime = FakeRuntime(clock, random.Random(seed), scripts=lambda _: Script(dies_per_hour=20.0))
    runtime.faults.lose_reply = 0.3
    told = []
    for number in range(20):
        try:
            await runtime.start(_spec(f"p{number}"))
            told.append("started")
        except TransientError:
            told.append("no reply")
        clock.advance(60.0)
        told.append(",".join(s.state for s in (await runtime.statuses()).values()))
    return told


async def test_the_same_seed_tells_the_same_story() -> None:
    assert await _story(7) == await _story(7)
    assert await _story(7) != await _story(8)
    assert "no reply" in await _story(7)


async def test_a_lost_reply_is_no_lost_effect() -> None:
    runtime = FakeRuntime(ManualClock())
    runtime.faults.lose_reply = 1.0
    with pytest.raises(TransientError):
        await runtime.start(_spec("a"))
    assert set(await runtime.statuses()) == {"a"}
