"""How often the verdict errs, and how soon it speaks: `python -m benchmarks.verdict [--rollouts N] [--seed N] [--write]`.

Synthetic rollouts of four stages of 60 s (5, 10, 25 and 50 % of the traffic), each judged every second as the platform
does it, until one fails. A stage that ends inconclusively is followed by the next, so that nothing hides behind
waiting. `--write` puts the tables into docs/verdict.md.
"""

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.verdict_rivals import rivals
from benchmarks.verdict_traffic import SHARES, STAGE_S, Pools, Scenario, Traffic
from gantry.config.sections import VerdictRules
from gantry.features.rollouts.rules import policy_of
from gantry.features.rollouts.verdict.judge import fails, judge
from gantry.features.rollouts.verdict.model import Analysis, Numbers, Outcome
from gantry.features.rollouts.verdict.statistics import upper_limit

PAGE = Path(__file__).parents[1] / "docs" / "verdict.md"
_BEGIN, _END = "<!-- measured -->\n", "<!-- /measured -->\n"
POLICY = policy_of(VerdictRules())
_SOON_S = (12, 13, 15)


def _times(factor: float) -> Scenario:
    return Scenario(f"latency × {factor:g}", slowness=lambda _random, _second: factor)


SAME = (
    Scenario("0.1 % errors"),
    Scenario("0.1 % errors, 20 requests/s", requests_s=20.0),
    Scenario("0.1 % errors, 1,000 requests/s", requests_s=1000.0),
    Scenario("0.5 % errors", current_errors=0.005, candidate_errors=0.005),
    Scenario("2 % errors", current_errors=0.02, candidate_errors=0.02),
    Scenario("20 % errors", current_errors=0.2, candidate_errors=0.2),
    Scenario("0.1 % errors, both fail half for 3 s a minute", bursts=True),
)
TOLERATED = (
    Scenario("0.5 % errors against 0.1 %", candidate_errors=0.005),
    Scenario("1 % errors against 0.1 %", candidate_errors=0.01),
    _times(1.1),
)
WORSE = (
    Scenario("2 % errors against 0.1 %", candidate_errors=0.02),
    Scenario("5 % errors against 0.1 %", candidate_errors=0.05),
    Scenario("5 % errors against 0.1 %, 20 requests/s", candidate_errors=0.05, requests_s=20.0),
    Scenario("5 % errors against 0.1 %, 2 requests/s", candidate_errors=0.05, requests_s=2.0),
    Scenario("5 % errors against 2 %", current_errors=0.02, candidate_errors=0.05),
    Scenario("20 % errors against 0.1 %", candidate_errors=0.2),
    Scenario("100 % errors against 0.1 %", candidate_errors=1.0),
    Scenario("never answers", answers=False),
    _times(1.5),
    _times(2.0),
    Scenario(
        "2 % of requests × 10: p99 only",
        slowness=lambda source, _second: 10.0 if source.random() < 0.02 else 1.0,
    ),
    Scenario(
        "leaks: latency + 1 % a second",
        slowness=lambda _random, second: 1.0 + 0.01 * second,
        slowness_every_s=5,
    ),
)


@dataclass(frozen=True, slots=True)
class Course:
    """How one rollout went.

    Parameters:
        failed_after_s: seconds from the start; `None` when it never failed.
        candidate_requests: until it failed, of the stage in which it did.
        first: what was said at the end of the first stage.
        passed: every stage ended in a pass.
    """

    failed_after_s: int | None
    candidate_requests: int
    first: Outcome
    passed: bool


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rollouts", type=int, default=2000, help="of each row")
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/verdict.md")
    options = parser.parse_args()
    began_s = time.perf_counter()
    rollouts, seed, pools = options.rollouts, options.seed, Pools()
    tables = [
        _table("No worse: failing is a false alarm", SAME, rollouts, seed, pools),
        _table("Worse, within the tolerances", TOLERATED, rollouts, seed, pools),
        _table("Worse: not failing is a miss", WORSE, rollouts, seed, pools),
        rivals(rollouts, seed),
    ]
    took_s = time.perf_counter() - began_s
    console = Console(width=150)
    for table in tables:
        console.print(table)
    console.print(f"seed {seed}, {rollouts:,} rollouts a row, {took_s:.0f} s on one core")
    if options.write:
        _write(tables, rollouts, seed)


def _table(
    title: str, scenarios: Sequence[Scenario], rollouts: int, seed: int, pools: Pools
) -> Table:
    columns = (
        "candidate",
        "failed",
        "95 % limits",
        *(f"in {limit_s} s" for limit_s in _SOON_S),
        "median time",
        "median requests",
        "stage 1: passed / open",
        "passed every stage",
    )
    table = Table(*columns, title=title)
    for scenario in scenarios:
        source = random.Random(f"{seed} {scenario.name}")
        traffic = Traffic(scenario, source, pools)
        table.add_row(scenario.name, *_row([_roll_out(traffic) for _ in range(rollouts)]))
    return table


def _row(courses: Sequence[Course]) -> tuple[str, ...]:
    number = len(courses)
    failed = [course for course in courses if course.failed_after_s is not None]
    times = sorted(course.failed_after_s or 0 for course in failed)
    soon = (sum(after <= limit_s for after in times) / number for limit_s in _SOON_S)
    requests = [course.candidate_requests for course in failed]
    passes = sum(course.first is Outcome.PASS for course in courses)
    open_ = sum(course.first is Outcome.INCONCLUSIVE for course in courses)
    least = 1.0 - upper_limit(number - len(failed), number, 0.025)
    most = upper_limit(len(failed), number, 0.025)
    return (
        _percent(len(failed) / number),
        f"{100 * least:.2f} – {100 * most:.2f}",
        *map(_percent, soon),
        f"{statistics.median(times):.0f} s" if times else "–",
        f"{statistics.median(requests):,.0f}" if requests else "–",
        f"{_percent(passes / number)} / {_percent(open_ / number)}",
        _percent(sum(course.passed for course in courses) / number),
    )


def _roll_out(traffic: Traffic) -> Course:
    ends: list[Outcome] = []
    for stage in range(len(SHARES)):
        candidate = current = Numbers()
        for number, (candidate, current) in enumerate(traffic.stage(stage), start=1):
            analysis = Analysis(stage + 1, number, at_end=number == STAGE_S)
            if fails(candidate, current, POLICY, analysis):
                first = ends[0] if ends else Outcome.FAIL
                seen = candidate.requests + candidate.waiting
                return Course(stage * STAGE_S + number, seen, first, passed=False)
        ends.append(judge(candidate, current, POLICY, Analysis(stage + 1, STAGE_S)).outcome)
    return Course(None, 0, ends[0], passed=set(ends) == {Outcome.PASS})


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share < 0.9995 else f"{100 * share:.4g} %"


def _write(tables: Sequence[Table], rollouts: int, seed: int) -> None:
    """Put the tables between the marks of the page, as Markdown."""
    head, rest = PAGE.read_text(encoding="utf-8").split(_BEGIN)
    tail = rest.split(_END)[1]
    command = f"python -m benchmarks.verdict --rollouts {rollouts} --seed {seed} --write"
    body = "\n".join([f"{rollouts:,} rollouts a row: `{command}`\n", *map(_markdown, tables)])
    PAGE.write_text(f"{head}{_BEGIN}{body}{_END}{tail}", encoding="utf-8")


def _markdown(table: Table) -> str:
    rows = [
        [str(column.header) for column in table.columns],
        ["---"] * len(table.columns),
        *zip(*(map(str, column.cells) for column in table.columns), strict=True),
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return f"**{table.title}**\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
