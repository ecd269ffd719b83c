"""`gantry rollout`: how traffic moves to a new release, and what people ask of it."""

import rich_click as click

from gantry.cli.command import (
    Group,
    command,
    environment_option,
    json_option,
    pass_session,
    project_option,
)
from gantry.cli.folder import project_name
from gantry.cli.session import Session
from gantry.cli.views import rollouts
from gantry.features.rollouts.bodies import WishName


@click.group("rollout", cls=Group)
def rollout() -> None:
    """Watch and steer how traffic moves to a new release."""


@command(
    "status",
    ("of production", "gantry rollout status"),
    ("for a program", "gantry rollout status --json | jq .verdict.outcome"),
    group=rollout,
)
@environment_option()
@project_option
@json_option
@pass_session
def status(session: Session, environment: str, project: str) -> None:
    """Show the newest rollout: its stages, the numbers of both releases, and the verdict."""
    body = session.api.rollout(project_name(session, project), environment)
    if session.as_json:
        session.json(body.model_dump_json())
        return
    for each in rollouts.rollout(body):
        session.out.print(each)


@command(
    "pause",
    ("keep the shares as they are", "gantry rollout pause"),
    group=rollout,
)
@environment_option()
@project_option
@json_option
@pass_session
def pause(session: Session, environment: str, project: str) -> None:
    """Keep the shares as they are. A bad candidate is taken back all the same."""
    _ask(session, project, environment, "pause", "it stands at its share")


@command(
    "resume",
    ("after a pause", "gantry rollout resume"),
    group=rollout,
)
@environment_option()
@project_option
@json_option
@pass_session
def resume(session: Session, environment: str, project: str) -> None:
    """Go on after a pause, where it stood."""
    _ask(session, project, environment, "resume", "it goes on")


@command(
    "promote",
    ("the next stage now", "gantry rollout promote"),
    group=rollout,
)
@environment_option()
@project_option
@json_option
@pass_session
def promote(session: Session, environment: str, project: str) -> None:
    """Begin the next stage now, without waiting for the verdict; after the last all traffic moves."""
    _ask(session, project, environment, "promote", "the next stage begins")


@command(
    "abort",
    ("all traffic back", "gantry rollout abort"),
    group=rollout,
)
@environment_option()
@project_option
@json_option
@pass_session
def abort(session: Session, environment: str, project: str) -> None:
    """Give all traffic back to the release before, and fail the deploy."""
    _ask(session, project, environment, "abort", "all traffic goes back to the release before")


def _ask(session: Session, project: str, environment: str, wish: WishName, words: str) -> None:
    body = session.api.ask_rollout(project_name(session, project), environment, wish)
    if session.as_json:
        session.json(body.model_dump_json())
    else:
        session.say(f"rollout of release {body.candidate_number}: {words}; gantry rollout status")


COMMANDS = {"rollout": rollout}
