"""Drills in a terminal: a line for each, a table of all."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from gantry.drill.judge import DrillResult
from gantry.drill.schedule import CandidateKind
from gantry.kernel.units import format_duration


def story(result: DrillResult) -> Iterator[Text]:
    """What was done in one drill and what became of it; everything when something did not hold."""
    held = not result.violations
    observed, schedule = result.observed, result.schedule
    mark = ("✓ ", "bold green") if held else ("✗ ", "bold red")
    yield Text.assemble(
        mark,
        (f"seed {schedule.seed:<4}", "bold"),
        f" {schedule.summary}: ",
        (f"{_ending(result)}, {result.failed} of {observed.requests:,} requests failed", ""),
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


def table(results: Sequence[DrillResult]) -> Table:
    """A row for each kind of candidate."""
    rows = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    rows.add_column("candidate")
    for name in ("drills", "live", "taken back", "stopped", "stuck", "wrong verdicts"):
        rows.add_column(name, justify="right")
    for name in ("requests", "failed", "most share at a stage", "edge outage", "slowest"):
        rows.add_column(name, justify="right")
    for candidate in CandidateKind:
        chosen = [result for result in results if result.schedule.candidate is candidate]
        if chosen:
            rows.add_row(str(candidate), *_row(chosen))
    if results:
        rows.add_row("all", *_row(results), style="bold")
    return rows


def summary(results: Sequence[DrillResult]) -> Text:
    """One sentence."""
    bad = [str(result.schedule.seed) for result in results if result.violations]
    if not bad:
        return Text(f"Everything held in {len(results)} drills.", style="green")
    return Text(
        f"Something did not hold in {len(bad)} of {len(results)} drills: seeds {', '.join(bad)}",
        style="red",
    )


def _row(results: Sequence[DrillResult]) -> tuple[str, ...]:
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
