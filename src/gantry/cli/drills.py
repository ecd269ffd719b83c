"""`gantry drill`: rehearsals of what goes wrong; a line for each, a table of all."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import rich_click as click
from rich.text import Text

from gantry.cli.command import Group, command, json_option, pass_session
from gantry.cli.listing import Listing
from gantry.cli.session import Session
from gantry.drill.judge import DrillResult
from gantry.drill.schedule import CandidateKind
from gantry.kernel.units import counted, format_duration

_MAX_SCHEDULES = 1_000
_LABELS = (
    "drills",
    "live",
    "taken back",
    "stopped",
    "stuck",
    "wrong verdicts",
    "requests",
    "failed",
    "most share at a stage",
    "longest edge outage",
    "slowest request",
)


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
    results: list[DrillResult] = []
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
        session.show(results_table(results))
        session.print(summary(results))
    if any(result.violations for result in results):
        session.exit(1)


def story(result: DrillResult) -> Iterator[Text]:
    """What was done in one drill and what became of it; everything when something did not hold."""
    held = not result.violations
    observed, schedule = result.observed, result.schedule
    mark = ("✓ ", "bold green") if held else ("✗ ", "bold red")
    yield Text.assemble(
        mark,
        (f"seed {schedule.seed:<4}", "bold"),
        f" {schedule.summary}: ",
        (
            f"{_ending(result)}, {result.failed} of {counted(observed.requests, 'request')} failed",
            "",
        ),
        (f"  {format_duration(observed.took_s)}", "dim"),
    )
    if held:
        return
    for violation in result.violations:
        yield Text(f"    {violation}", style="red")
    for injected in observed.injected:
        yield Text(f"    {injected.at_s:.1f} s: {injected.fault}: {injected.detail}", style="dim")
    if observed.reason:
        yield Text(f"    {observed.reason}", style="dim")
    yield Text.assemble(
        ("    again  ", "dim"), (f"gantry drill deploy --seed {schedule.seed}", "bold")
    )


def results_table(results: Sequence[DrillResult]) -> Listing:
    """A column for each kind of candidate that was drawn, and one for all."""
    kinds = [
        (str(kind), [result for result in results if result.schedule.candidate is kind])
        for kind in CandidateKind
    ]
    drawn = [(name, chosen) for name, chosen in (*kinds, ("all", list(results))) if chosen]
    names = tuple(name for name, _ in drawn)
    rows = Listing("outcome", *names, numbers=names)
    for row in zip(_LABELS, *(_column(chosen) for _, chosen in drawn), strict=True):
        rows.add_row(*row)
    return rows


def summary(results: Sequence[DrillResult]) -> Text:
    """One sentence."""
    bad = [str(result.schedule.seed) for result in results if result.violations]
    if not bad:
        return Text(f"Everything held in {counted(len(results), 'drill')}.", style="green")
    return Text(
        f"Something did not hold in {len(bad)} of {counted(len(results), 'drill')}: {'seed' if len(bad) == 1 else 'seeds'} {', '.join(bad)}",
        style="red",
    )


def _column(results: Sequence[DrillResult]) -> tuple[str, ...]:
    outages_s = [
        outage.to_s - outage.from_s for result in results for outage in result.observed.outages
    ]
    endings = [_ending(result) for result in results]
    return (
        str(len(results)),
        str(endings.count("live")),
        str(endings.count("taken back")),
        str(endings.count("stopped")),
        str(endings.count("stuck")),
        str(sum(result.wrong_verdict for result in results)),
        f"{sum(result.observed.requests for result in results):,}",
        str(sum(result.failed for result in results)),
        f"{max(result.share for result in results):.1f} %",
        format_duration(max(outages_s)) if outages_s else "–",
        format_duration(max(result.observed.slowest_s for result in results)),
    )


def _ending(result: DrillResult) -> str:
    if not result.observed.deploy_ended:
        return "stuck"
    if result.observed.deploy == "succeeded":
        return "live"
    return "taken back" if result.observed.rollout == "failed" else "stopped"
