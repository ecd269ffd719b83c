"""The platform's clock goes on evenly, whatever happens to the machine's."""

from dataclasses import dataclass

import pytest
from hypothesis import given, strategies as st

from gantry.kernel.steady import Anchor, SteadyClock

START_S = 1_800_000_000.0


@dataclass
class Machine:
    """A machine whose clock is set by hand."""

    wall_s: float = START_S
    since_boot_s: float = 100.0

    def passes(self, seconds: float) -> None:
        self.wall_s += seconds
        self.since_boot_s += seconds

    def clock(self, kept: Anchor | None = None, boot: str = "one") -> SteadyClock:
        return SteadyClock(lambda: self.wall_s, lambda: self.since_boot_s, boot, kept)


@given(st.lists(st.floats(min_value=0, max_value=1000), max_size=20))
def test_it_is_the_machines_clock_while_that_is_even(passed: list[float]) -> None:
    machine = Machine()
    clock = machine.clock()
    for seconds in passed:
        machine.passes(seconds)
        assert clock.now().timestamp() == pytest.approx(machine.wall_s, abs=1e-3)


@given(
    st.lists(
        st.tuples(
            st.floats(min_value=0, max_value=100), st.floats(min_value=-3600, max_value=3600)
        ),
        max_size=20,
    )
)
def test_a_jump_changes_no_length_by_more_than_a_tenth(story: list[tuple[float, float]]) -> None:
    machine = Machine()
    clock = machine.clock()
    for passed_s, jump_s in story:
        before_s = clock.now().timestamp()
        machine.wall_s += jump_s
        machine.passes(passed_s)
        grown_s = clock.now().timestamp() - before_s
        assert 0.9 * passed_s - 1e-3 <= grown_s <= 1.1 * passed_s + 1e-3


def test_it_comes_to_the_machines_clock_in_the_end() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall_s += 600
    for _ in range(7000):
        machine.passes(1)
        clock.now()
    assert clock.now().timestamp() == pytest.approx(machine.wall_s, abs=1e-3)


def test_a_restart_after_a_jump_changes_nothing() -> None:
    machine = Machine()
    kept = machine.clock().anchor()
    machine.passes(10)
    machine.wall_s += 3000
    machine.passes(10)
    after = machine.clock(kept).now().timestamp()
    assert after - START_S == pytest.approx(22, abs=0.1)


@pytest.mark.parametrize("kept", [Anchor("another boot", 50.0, 5.0), Anchor("one", 500.0, 5.0)])
def test_what_was_kept_of_another_boot_is_ignored(kept: Anchor) -> None:
    assert Machine().clock(kept).now().timestamp() == START_S


def test_a_machine_that_learns_the_date_is_followed_at_once() -> None:
    machine = Machine(wall_s=0.0)
    clock = machine.clock()
    machine.passes(5)
    machine.wall_s = START_S
    assert clock.now().timestamp() == pytest.approx(START_S, abs=1)
