"""Deploys under faults, for real: a few seeds that together draw every fault and every kind of candidate.

`gantry drill deploy --schedules 100` runs a hundred.
"""

import sys
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console

from gantry.app.engines import make_runtime
from gantry.cli import drills
from gantry.drill.judge import DrillResult
from gantry.drill.rehearsal import rehearsing
from gantry.drill.schedule import CandidateKind, Fault, draw
from tests.support.suite import slow_teardown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# A good candidate and a bad one; the control plane, its database, the edge and an instance are hit.
SAMPLE = (24, 47)
SEEDS = (4, 20, 24, 35, 46, 47)


@pytest.fixture(scope="module")
@slow_teardown("ends a platform in order")
def run_drill() -> Iterator[Callable[[int], DrillResult]]:
    """One platform for all drills of this module."""
    with rehearsing(make_runtime, Console(file=sys.stdout, width=160).print) as run:
        yield run


def test_the_seeds_draw_everything_there_is() -> None:
    schedules = [draw(seed, frozenset(Fault)) for seed in SEEDS]
    assert {schedule.candidate for schedule in schedules} == set(CandidateKind)
    assert {scheduled.fault for schedule in schedules for scheduled in schedule.faults} == set(
        Fault
    )
    good = {schedule.mirror for schedule in schedules if not schedule.candidate.is_bad}
    bad = {schedule.mirror for schedule in schedules if schedule.candidate.is_bad}
    assert good == bad == {True, False}


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, marks=() if seed in SAMPLE else (pytest.mark.exhaustive,))
        for seed in SEEDS
    ],
)
def test_everything_holds_under_the_faults_of(
    seed: int, run_drill: Callable[[int], DrillResult]
) -> None:
    result = run_drill(seed)
    out = Console(file=sys.stdout, width=160)
    for line in drills.story(result):
        out.print(line)
    assert not result.violations
    assert result.observed.requests > 200
