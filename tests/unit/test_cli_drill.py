"""`gantry drill` against a fake platform: its words, its table, its exit code."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gantry.drill.judge import DrillResult, judge
from gantry.drill.observed import Failure
from gantry.drill.schedule import CandidateKind, Fault
from tests.support.cli import Bench
from tests.unit.test_drill_rules import GOOD, WRONG, gone_live, injected, taken_back


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.platform.drills = {1: judge(GOOD, gone_live()), 2: judge(WRONG, taken_back())}
    return bench


def broken() -> DrillResult:
    """A good candidate that went live, and a visitor who was not served meanwhile."""
    observed = gone_live(
        failures=(Failure(4.0, "status 503"),), injected=injected(Fault.CONTROL_KILLED, 2.0, 1.0)
    )
    return judge(replace(GOOD, seed=7), observed)


def test_a_line_for_each_and_a_table_of_all(bench: Bench) -> None:
    done = bench.run("drill", "deploy", "--schedules", "2")
    assert done.code == 0
    assert "✓ seed 1" in done.err
    assert "good candidate, control plane killed: live, 0 of 2,500 requests failed" in done.err
    assert "wrong candidate, control plane killed: taken back" in done.err
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[0] == ["outcome", "good", "wrong", "all"]
    assert [row[-1] for row in rows[1:9]] == ["2", "1", "1", "0", "0", "0", "5,000", "0"]
    assert "Everything held in 2 drills." in done.out


def test_what_did_not_hold_is_told_with_what_plays_it_again(bench: Bench) -> None:
    bench.platform.drills[7] = broken()
    done = bench.run("drill", "deploy", "--seed", "7", "--seed", "1")
    assert done.code == 1
    assert "✗ seed 7" in done.err
    assert "1 request failed although a healthy instance was there" in done.err
    assert "2.0 s: control plane killed: pid 7" in done.err
    assert "gantry drill deploy --seed 7" in done.err
    assert "Something did not hold in 1 of 2 drills: seed 7" in done.out


def test_programs_get_everything(bench: Bench) -> None:
    bench.platform.drills[7] = broken()
    done = bench.run("drill", "deploy", "--seed", "7", "--json")
    assert done.code == 1
    (drill,) = json.loads(done.out)
    assert drill["schedule"]["candidate"] == CandidateKind.GOOD
    assert drill["violations"]
    assert drill["observed"]["failures"][0]["reason"] == "status 503"


def test_the_table_fits_into_80_columns_with_every_number(bench: Bench) -> None:
    bench.width, bench.terminal = 80, True
    done = bench.run("drill", "deploy", "--schedules", "2")
    assert all(len(line) <= 80 for line in done.out.splitlines())
    assert [line.split()[-1] for line in done.out.splitlines()][1:9] == [
        "2", "1", "1", "0", "0", "0", "5,000", "0",
    ]  # fmt: skip
    bench.width = 24
    narrow = bench.run("drill", "deploy", "--schedules", "2").out
    assert "wrong verdicts\n  good 0  wrong 0  all 0\n" in narrow


@pytest.mark.parametrize("count", ["0", "100000", "many"])
def test_a_senseless_number_is_refused(bench: Bench, count: str) -> None:
    done = bench.run("drill", "deploy", "--schedules", count)
    assert done.code == 2
    assert not bench.platform.done
