"""`gantry requests`: what visitors asked for, how it was answered, and why not."""

from collections.abc import Iterable

import rich_click as click
from rich.text import Text

from gantry.cli.command import (
    command,
    moment_of,
    within_environment,
)
from gantry.cli.folder import project_name
from gantry.cli.session import Session
from gantry.cli.terminal import json_array
from gantry.cli.transport import environment_path
from gantry.features.requests import RequestBody
from gantry.kernel.errors import UserError
from gantry.kernel.units import parse_duration

_BAD, _POOR, _FINE = "bold red", "yellow", "green"


@command(
    "requests",
    ("the last ones of production", "gantry requests"),
    ("new ones as they come, until Ctrl-C", "gantry requests -f"),
    ("what failed in the last half hour", "gantry requests --status 5xx --since 30m"),
    ("slow calls of the API", "gantry requests --path '/api/*' --slower 500ms -n 1000"),
    (
        "the paths that are missing most",
        "gantry requests --status 404 -n 1000 --json | jq -r '.[].path' | sort | uniq -c | sort -rn",
    ),
)
@click.option("--follow", "-f", is_flag=True, help="Keep printing new requests until Ctrl-C.")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    metavar="STATUS",
    help="Only this one: 404, 5xx; 0 is no answer. May be repeated.",
)
@click.option("--path", "asked", default="", help="Only this path; * is anything.")
@click.option("--method", default="", help="Only this method.")
@click.option(
    "--release", type=click.IntRange(min=1), metavar="NUMBER", help="Only of this release."
)
@click.option(
    "--slower", default="", metavar="DURATION", help="Only those that took longer: 500ms, 2s."
)
@click.option(
    "--since",
    default="",
    metavar="WHEN",
    help="Only from then on: 30m, 2h, 09:30, 2026-01-31T09:30.",
)
@click.option("--until", default="", metavar="WHEN", help="Only before then.")
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(1, 1_000),
    metavar="NUMBER",
    default=50,
    show_default=True,
    help="The last so many.",
)
@within_environment
def requests(
    session: Session,
    follow: bool,
    statuses: tuple[str, ...],
    asked: str,
    method: str,
    release: int | None,
    slower: str,
    since: str,
    until: str,
    limit: int,
    environment: str,
    project: str,
) -> None:
    """Show requests of an environment's visitors, as the edge has logged them.

    With each: when it began, what the visitor got, how long that took, the release that answered, and where the edge
    answered itself or the request was cut, why. Queries are left out of paths. A request is shown once it has ended. The edge keeps the last 20 MB
    of its log, some 50,000 requests of all environments.
    """
    query: dict[str, str | int | tuple[str, ...]] = {
        "status": statuses,
        "path": asked,
        "method": method,
        "release": release or "",
        "slower_ms": _milliseconds(slower),
        "limit": limit,
    }
    for name, given in (("since", since), ("until", until)):
        if given:
            query[name] = moment_of(given, session.clock.now(), option=name).isoformat()
    wanted = {name: value for name, value in query.items() if value not in ("", ())}
    within = project_name(session, project)
    if not follow:
        found = session.api.get(
            tuple[RequestBody, ...], environment_path(within, environment, "requests", **wanted)
        )
        _show(session, found, empty=f"no such requests to {environment} are in the log")
        return
    at = environment_path(within, environment, "requests", follow="true", **wanted)
    try:
        for body in session.api.stream(RequestBody, at):
            _print(session, body)
    except KeyboardInterrupt:
        session.exit(0)


def _milliseconds(duration: str) -> int | str:
    if not duration:
        return ""
    try:
        return int(parse_duration(duration) * 1000)
    except ValueError as error:
        raise UserError("requests.bad-duration", f"--slower: {error}") from error


def _show(session: Session, found: Iterable[RequestBody], *, empty: str) -> None:
    bodies = tuple(found)
    if session.as_json:
        session.json(json_array(bodies))
        return
    for body in bodies:
        _print(session, body)
    if not bodies:
        session.say(empty)


def _print(session: Session, body: RequestBody) -> None:
    if session.as_json:
        session.json(body.model_dump_json())
    else:
        session.out.print(line(body), soft_wrap=True)


def line(body: RequestBody) -> Text:
    """A request on one line."""
    style = (
        _BAD if body.status >= 500 or not body.status else _POOR if body.status >= 400 else _FINE
    )
    number = f"r{body.release_number}" if body.release_number else "edge"
    parts: list[str | tuple[str, str]] = [
        (f"{body.at.astimezone():%H:%M:%S} ", "dim"),
        (f"{body.status or '---'} ", style if body.status < 300 or body.status >= 400 else ""),
        f"{body.method:<4} {body.path}",
        (f"  {body.duration_ms:,} ms {number}", "dim"),
        (f" {body.cache}" if body.cache else "", "dim"),
        (f" ×{body.attempts}" if body.attempts > 1 else "", "yellow"),
        (f"  {body.reason}" if body.reason else "", "yellow"),
    ]
    return Text.assemble(*parts)
