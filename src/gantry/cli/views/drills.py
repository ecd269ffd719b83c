"""Drills in a terminal: a line for each, a table of all."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from gantry.features.drills.model import Candidate
from gantry.features.drills.result import Result
from gantry.kernel.units import format_duration


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


def table(results: Sequence[Result]) -> Table:
    """A row for each kind of candidate."""
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    made.add_column("candidate")
    for name in ("drills", "live", "taken back", "stopped", "stuck", "wrong verdicts"):
        made.add_column(name, justify="right")
    for name in ("requests", "failed", "most share at a step", "edge away", "slowest"):
        made.add_column(name, justify="right")
    for candidate in Candidate:
        chosen = [one for one in results if one.schedule.candidate is candidate]
        if chosen:
            made.add_row(str(candidate), *_row(chosen))
    if results:
        made.add_row("all", *_row(results), style="bold")
    return made


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
