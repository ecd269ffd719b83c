"""Times are recorded by the machine's clock, and durations are right whatever happens to it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from gantry.kernel.clock import ManualClock, SteadyClock
from gantry.kernel.timeline import Epoch, with_even_times

START_S = 1_800_000_000.0
HOUR_S = 3600.0


@dataclass
class Machine:
    """A machine whose clock is set by hand."""

    wall_s: float = START_S
    since_boot_s: float = 100.0
    clocks: list[SteadyClock] = field(default_factory=list)

    def passes(self, seconds: float) -> None:
        self.wall_s += seconds
        self.since_boot_s += seconds

    def clock(self, kept: tuple[Epoch, ...] = ()) -> SteadyClock:
        return SteadyClock(lambda: self.wall_s, lambda: self.since_boot_s, kept)


@pytest.mark.parametrize("step_s", [-20 * HOUR_S, -HOUR_S, -5.0, 5.0, HOUR_S, 30 * HOUR_S])
def test_what_is_recorded_is_the_machines_time_at_once(step_s: float) -> None:
    machine = Machine()
    clock = machine.clock()
    clock.now()
    machine.passes(30)
    machine.wall_s += step_s
    assert clock.now() == datetime.fromtimestamp(START_S + 30 + step_s, UTC)


@given(
    before_s=st.floats(0.1, HOUR_S),
    step_s=st.floats(-10 * HOUR_S, 10 * HOUR_S),
    after_s=st.floats(0, 5 * HOUR_S),
)
def test_a_duration_is_right_across_a_step(before_s: float, step_s: float, after_s: float) -> None:
    machine = Machine()
    clock = machine.clock()
    recorded = clock.now()
    machine.passes(before_s)
    clock.now()
    machine.wall_s += step_s
    clock.now()
    machine.passes(after_s)
    elapsed_s = (clock.now() - clock.even(recorded)).total_seconds()
    if step_s < 0 and recorded <= clock.now() + timedelta(seconds=120):
        # Set back: once the clock shows a time again it cannot be told from the first; a wait is longer then, never shorter.
        assert elapsed_s <= before_s + after_s + 1.1
    else:
        assert elapsed_s == pytest.approx(before_s + after_s, abs=1.1)


def test_two_hours_slow_at_boot_and_set_after_half_a_minute() -> None:
    machine = Machine()
    clock = machine.clock()
    begun = clock.now()
    machine.passes(30)
    machine.wall_s += 2 * HOUR_S
    for hours in (0, 5, 10, 20):
        machine.passes(hours * HOUR_S)
        assert clock.now().timestamp() == machine.wall_s
    assert (clock.now() - clock.even(begun)).total_seconds() == pytest.approx(30 + 35 * HOUR_S)


def test_what_lies_ahead_stays_as_far_ahead() -> None:
    machine = Machine()
    clock = machine.clock()
    ends = clock.now() + timedelta(seconds=60)
    machine.passes(10)
    machine.wall_s += HOUR_S
    clock.now()
    assert (clock.even(ends) - clock.now()).total_seconds() == pytest.approx(50, abs=1.1)


def test_a_restart_of_the_control_plane_forgets_no_step() -> None:
    machine = Machine()
    first = machine.clock()
    recorded = first.now()
    machine.passes(10)
    machine.wall_s += 3000
    first.now()
    machine.passes(10)
    second = machine.clock(first.epochs)
    assert (second.now() - second.even(recorded)).total_seconds() == pytest.approx(20, abs=1.1)


def test_a_clock_that_drifts_costs_nothing() -> None:
    machine = Machine()
    clock = machine.clock()
    recorded = clock.now()
    for _ in range(100):
        machine.passes(60)
        machine.wall_s += 0.005
        clock.now()
    assert clock.even(recorded) is recorded
    assert len(clock.epochs) == 1


def test_a_clock_that_is_set_all_the_time_is_bounded() -> None:
    machine = Machine()
    clock = machine.clock()
    for _ in range(500):
        machine.passes(1)
        machine.wall_s += 10
        clock.now()
    assert len(clock.epochs) <= 32


@dataclass(frozen=True)
class Record:
    name: str
    began_at: datetime
    ended_at: datetime | None


def test_every_moment_of_a_record_is_evened() -> None:
    clock = ManualClock()
    record = Record("a", clock.now(), None)
    clock.advance(10)
    clock.jump(HOUR_S)
    evened = with_even_times(record, clock)
    assert evened == Record("a", clock.now() - timedelta(seconds=10), None)
