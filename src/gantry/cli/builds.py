"""`gantry build-cache`: what builds of a project leave for its next ones."""

import rich_click as click

from gantry.cli.command import Group, command, json_option, pass_session, project_option
from gantry.cli.folder import project_name
from gantry.cli.session import Session
from gantry.cli.transport import path
from gantry.features.builds.bodies import BuildCacheBody
from gantry.kernel.units import format_size


@click.group("build-cache", cls=Group)
def build_cache() -> None:
    """Show how large a project's build cache is, and clear it."""


@command(
    "show",
    ("of the project in this folder", "gantry build-cache show"),
    ("in bytes", "gantry build-cache show --json | jq .size_bytes"),
    group=build_cache,
)
@project_option
@json_option
@pass_session
def show(session: Session, project: str) -> None:
    """Show how much is kept from a project's builds for its next ones.

    That is installed packages, what package managers have downloaded, and what frameworks keep, such as .next/cache.
    """
    body = session.api.get(BuildCacheBody, _path(session, project))
    if session.as_json:
        session.json(body.model_dump_json())
    else:
        session.print(f"the build cache of {body.project} has {format_size(body.size_bytes)}")


@command(
    "clear",
    ("when builds go wrong that used to work", "gantry build-cache clear"),
    ("and deploy from nothing", "gantry build-cache clear && gantry deploy"),
    ("of another project", "gantry build-cache clear --project shop"),
    group=build_cache,
)
@project_option
@json_option
@pass_session
def clear(session: Session, project: str) -> None:
    """Clear a project's build cache, and say how much went.

    The next deploy takes longer: it builds anew, also a tree that was built before. What is live stays live, and releases
    can be rolled back to. For one deploy only: gantry deploy --no-cache. What the edge keeps of answers is another
    cache: gantry purge.
    """
    body = session.api.post(BuildCacheBody, _path(session, project, "clear"))
    if session.as_json:
        session.json(body.model_dump_json())
    elif body.size_bytes:
        session.say(f"cleared {format_size(body.size_bytes)}: the next deploy builds anew")
    else:
        session.say("the build cache was empty: the next deploy builds anew all the same")


def _path(session: Session, project: str, *below: str) -> str:
    return path("projects", project_name(session, project), "build-cache", *below)
