"""`gantry drill`: rehearsals of what goes wrong; a line for each, a table of all."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import rich_click as click
from rich.table import Table
from rich.text import Text

from gantry.cli.command import Group, command, json_option, pass_session
from gantry.cli.session import Session
from gantry.cli.terminal import table
from gantry.features.drills.model import Candidate
from gantry.features.drills.result import Result
from gantry.kernel.units import format_duration

_MAX_SCHEDULES = 1_000


@click.group("drill", cls=Group)
def drill() -> None:
    """Inject faults and check what still works."""


@command(
    "deploy",
    ("ten schedules, some four minutes", "gantry drill deploy"),
    ("a hundred", "gantry drill deploy --schedules 100"),
    ("one again, as its seed drew it", "gantry drill deploy --seed 17"),
    ("for a program", "gantry drill deploy --json | jq '.[] | select(.violations != [])'"),
    group=drill,
)
@click.option(
    "--schedules",
    type=click.IntRange(1, _MAX_SCHEDULES),
    default=10,
    show_default=True,
    help="How many; seeds count from 1.",
)
@click.option(
    "--seed", "seeds", type=int, multiple=True, help="Only this schedule; may be repeated."
)
@json_option
@pass_session
def deploy(session: Session, schedules: int, seeds: tuple[int, ...]) -> None:
    """Rehearse canary deploys while processes are killed, disks fill up and clocks jump.

    Everything happens on a platform of the drill's own that is deleted afterwards: what runs on this machine is not
    touched. Each seed draws a candidate (good, wrong, slow, leaking or never healthy) and up to three faults; a
    client that forgives nothing asks 200 times a second. Ends with exit code 1 when something did not hold.
    """
    results: list[Result] = []
    chosen = seeds or tuple(range(1, schedules + 1))
    with session.err.status("Starting") as status:

        def progress(sentence: str) -> None:
            status.update(f"{len(results)} of {len(chosen)}  {sentence}")

        for result in session.platform.drill(chosen, progress):
            results.append(result)
            for line in story(result):
                session.say(line)
    if session.as_json:
        session.json(json.dumps([asdict(result) for result in results]))
    else:
        session.out.print(results_table(results))
        session.print(summary(results))
    if any(result.violations for result in results):
        session.exit(1)


def story(result: Result) -> Iterator[Text]:
    """What was done in one drill and what became of it; everything when something did not hold."""
    held = not result.violations
    seen, schedule = result.seen, result.schedule
    mark = ("✓ ", "bold green") if held else ("✗ ", "bold red")
    yield Text.assemble(
        mark,
        (f"seed {schedule.seed:<4}", "bold"),
        f" {schedule.words}: ",
        (f"{_ending(result)}, {result.failed} of {seen.requests:,} requests failed", ""),
        (f"  {format_duration(seen.took_s)}", "dim"),
    )
    if held:
        return
    for violation in result.violations:
        yield Text(f"    {violation}", style="red")
    for deed in seen.done:
        yield Text(f"    {deed.at_s:.1f} s: {deed.fault}: {deed.detail}", style="dim")
    if seen.reason:
        yield Text(f"    {seen.reason}", style="dim")
    yield Text.assemble(
        ("    again  ", "dim"), (f"gantry drill deploy --seed {schedule.seed}", "bold")
    )


def results_table(results: Sequence[Result]) -> Table:
    """A row for each kind of candidate."""
    endings = ("drills", "live", "taken back", "stopped", "stuck", "wrong verdicts")
    measures = ("requests", "failed", "most share at a step", "edge away", "slowest")
    rows = table("candidate", *endings, *measures, numbers=(*endings, *measures))
    for candidate in Candidate:
        chosen = [result for result in results if result.schedule.candidate is candidate]
        if chosen:
            rows.add_row(str(candidate), *_row(chosen))
    if results:
        rows.add_row("all", *_row(results), style="bold")
    return rows


def summary(results: Sequence[Result]) -> Text:
    """One sentence."""
    bad = [str(one.schedule.seed) for one in results if one.violations]
    if not bad:
        return Text(f"Everything held in {len(results)} drills.", style="green")
    return Text(
        f"Something did not hold in {len(bad)} of {len(results)} drills: seeds {', '.join(bad)}",
        style="red",
    )


def _row(results: Sequence[Result]) -> tuple[str, ...]:
    away = [one.to_s - one.from_s for result in results for one in result.seen.away]
    return (
        str(len(results)),
        str(sum(_ending(one) == "live" for one in results)),
        str(sum(_ending(one) == "taken back" for one in results)),
        str(sum(_ending(one) == "stopped" for one in results)),
        str(sum(not one.seen.deploy_ended for one in results)),
        str(sum(one.wrong_verdict for one in results)),
        f"{sum(one.seen.requests for one in results):,}",
        str(sum(one.failed for one in results)),
        f"{max(one.share for one in results):.1f} %",
        format_duration(max(away)) if away else "–",
        format_duration(max(one.seen.slowest_s for one in results)),
    )


def _ending(result: Result) -> str:
    if not result.seen.deploy_ended:
        return "stuck"
    if result.seen.deploy == "succeeded":
        return "live"
    return "taken back" if result.seen.rollout == "failed" else "stopped"
