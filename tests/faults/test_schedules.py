"""Deploys under faults, for real: a few seeds that together draw every fault and every kind of candidate.

`gantry drill deploy --schedules 100` runs a hundred and prints the same table.
"""

import sys

import pytest
from rich.console import Console

from gantry.app.engines import make_runtime
from gantry.cli import drills
from gantry.drill.rehearsal import rehearse
from gantry.features.drills.draw import draw
from gantry.features.drills.model import Candidate, Fault

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SEEDS = (4, 20, 24, 35, 46, 47)


def test_the_seeds_draw_everything_there_is() -> None:
    schedules = [draw(seed, frozenset(Fault)) for seed in SEEDS]
    assert {schedule.candidate for schedule in schedules} == set(Candidate)
    assert {moment.fault for one in schedules for moment in one.moments} == set(Fault)
    good = {one.mirror for one in schedules if one.candidate is Candidate.GOOD}
    bad = {one.mirror for one in schedules if one.candidate.is_bad}
    assert good == bad == {True, False}


def test_everything_holds_under_every_fault() -> None:
    out = Console(file=sys.stdout, width=160)
    results = []
    for result in rehearse(SEEDS, make_runtime, out.print):
        results.append(result)
        for line in drills.story(result):
            out.print(line)
    out.print(drills.results_table(results))
    assert len(results) == len(SEEDS)
    assert not [result.violations for result in results if result.violations]
    assert all(result.seen.requests > 200 for result in results)
