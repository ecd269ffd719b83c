"""`gantry releases`."""

from collections.abc import Iterable
from datetime import datetime

from rich.text import Text

from gantry.cli.command import (
    command,
    within_environment,
)
from gantry.cli.folder import project_name
from gantry.cli.listing import Listing
from gantry.cli.session import Session
from gantry.cli.terminal import commit, json_array, url
from gantry.cli.transport import environment_path
from gantry.features.releases.bodies import ReleaseBody
from gantry.kernel.units import format_ago, format_size


@command(
    "releases",
    ("of production", "gantry releases"),
    (
        "the number that a rollback goes to",
        "gantry releases --json | jq '.[] | select(.rollback_target).number'",
    ),
)
@within_environment
def releases(session: Session, environment: str, project: str) -> None:
    """List an environment's releases, newest first.

    Shows which of them a rollback can return to, and the address that each keeps for as long as it runs.
    """
    at = environment_path(project_name(session, project), environment, "releases")
    found = session.api.get(tuple[ReleaseBody, ...], at)
    if session.as_json:
        session.json(json_array(found))
    elif found:
        session.show(releases_table(found, session.clock.now()))
    else:
        session.say(f"no releases in {environment} yet: gantry deploy --to {environment}")


def releases_table(releases: Iterable[ReleaseBody], now: datetime) -> Listing:
    """Releases as they come."""
    columns = ("release", "state", "commit", "size", "went live", "address")
    rows = Listing(*columns, numbers=("release", "size"), flexible=("commit",))
    for release in releases:
        rows.add_row(
            str(release.number),
            _state(release),
            commit(release.commit),
            format_size(release.size_bytes),
            format_ago(release.live_at, now) if release.live_at else "never",
            url(release.url),
        )
    return rows


def _state(release: ReleaseBody) -> Text:
    if release.live:
        return Text("live", style="bold green")
    if release.state == "failed":
        return Text("failed", style="red")
    if release.withdrawn:
        return Text("withdrawn", style="yellow")
    if release.rollback_target:
        return Text("gantry rollback goes here", style="cyan")
    if release.can_roll_back_to:
        return Text("ready for rollback", style="cyan")
    return Text(release.state, style="dim")
