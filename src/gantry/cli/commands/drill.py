"""`gantry drill`: rehearsals of what goes wrong."""

import json
from dataclasses import asdict

import rich_click as click

from gantry.cli.command import Group, command, json_option, pass_session
from gantry.cli.session import Session
from gantry.cli.views import drills
from gantry.drill.judge import DrillResult

_MOST = 1_000


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
    type=click.IntRange(1, _MOST),
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
            for line in drills.story(result):
                session.err.print(line, soft_wrap=True)
    if session.as_json:
        session.json(json.dumps([asdict(result) for result in results]))
    else:
        session.out.print(drills.table(results))
        session.out.print(drills.summary(results), soft_wrap=True)
    if any(result.violations for result in results):
        session.exit(1)


COMMANDS = {"drill": drill}
