"""Waiting until a program of Gantry's own answers: the wait ends with the program, and says what it said."""

import pytest

from gantry.engines.runtime.protocol import ProcessSpec
from gantry.engines.runtime.starting import StartError, start_and_wait
from gantry.kernel.clock import ManualClock
from tests.fakes.machine import Machine
from tests.fakes.programs import Script
from tests.fakes.runtime import FakeRuntime

_SPEC = ProcessSpec(id="engine", argv=("/bin/engine",), env={}, cwd="/")
_TIMEOUT_S = 60.0


def _runtime(clock: ManualClock, script: Script) -> FakeRuntime:
    return FakeRuntime(Machine(clock, scripts=lambda _: script))


async def _never() -> bool:
    return False


async def test_a_program_that_answers_is_not_waited_for() -> None:
    clock = ManualClock()

    async def soon() -> bool:
        return clock.monotonic_s() >= 1.0

    await start_and_wait(_runtime(clock, Script()), clock, _SPEC, soon, _TIMEOUT_S)
    assert 1.0 <= clock.monotonic_s() < 1.2


@pytest.mark.parametrize("exits_after_s", [0.0, 0.5, 7.0])
async def test_a_program_that_ends_is_not_waited_for(exits_after_s: float) -> None:
    clock = ManualClock()
    script = Script(exits_after_s=exits_after_s, exit_code=3, output="reading\n\nport 1 is taken\n")
    runtime = _runtime(clock, script)
    with pytest.raises(StartError) as caught:
        await start_and_wait(runtime, clock, _SPEC, _never, _TIMEOUT_S)
    assert str(caught.value) == "it ended with exit code 3: reading / port 1 is taken"
    assert caught.value.ended
    assert exits_after_s <= clock.monotonic_s() < exits_after_s + 0.2
    assert len(runtime.machine.processes) == 1


async def test_what_an_earlier_start_wrote_is_not_this_ones_reason() -> None:
    clock = ManualClock()
    runtime = _runtime(clock, Script(exits_after_s=0.0, exit_code=1, output="the first reason\n"))
    with pytest.raises(StartError, match="the first reason"):
        await start_and_wait(runtime, clock, _SPEC, _never, _TIMEOUT_S)
    runtime.machine.scripts = lambda _: Script(exits_after_s=0.0, exit_code=1)
    with pytest.raises(StartError) as caught:
        await start_and_wait(runtime, clock, _SPEC, _never, _TIMEOUT_S)
    assert str(caught.value) == "it ended with exit code 1: it wrote nothing"


async def test_a_program_that_never_answers_has_its_time() -> None:
    clock = ManualClock()
    runtime = _runtime(clock, Script(output="\n".join(f"line {n}" for n in range(2_000)) + "\n"))
    with pytest.raises(StartError) as caught:
        await start_and_wait(runtime, clock, _SPEC, _never, _TIMEOUT_S)
    assert not caught.value.ended
    assert str(caught.value).startswith("it does not answer after 1 min")
    assert caught.value.output.endswith("line 1998 / line 1999")
    assert len(caught.value.output) < 100
    assert _TIMEOUT_S <= clock.monotonic_s() < _TIMEOUT_S + 1


async def test_a_program_that_is_removed_while_it_starts_has_ended() -> None:
    clock = ManualClock()
    runtime = _runtime(clock, Script())

    async def removed() -> bool:
        await runtime.remove(_SPEC.id)
        return False

    with pytest.raises(StartError, match="it ended at once: it wrote nothing"):
        await start_and_wait(runtime, clock, _SPEC, removed, _TIMEOUT_S)


@pytest.mark.parametrize("next_lives", [True, False])
async def test_a_program_that_is_found_at_its_end_is_run_anew(next_lives: bool) -> None:
    clock = ManualClock()
    runtime = _runtime(clock, Script(exits_after_s=0.5, exit_code=137))
    await runtime.start(_SPEC)
    end = None if next_lives else 0.5
    runtime.machine.scripts = lambda _: Script(exits_after_s=end, exit_code=1, output="no disk\n")

    async def later() -> bool:
        return clock.monotonic_s() >= 5.0

    if next_lives:
        await start_and_wait(runtime, clock, _SPEC, later, _TIMEOUT_S)
        assert clock.monotonic_s() < 5.2
    else:
        with pytest.raises(StartError, match="it ended with exit code 1: no disk"):
            await start_and_wait(runtime, clock, _SPEC, later, _TIMEOUT_S)
        assert clock.monotonic_s() < 1.5
