"""Following a deploy to its end: reconnecting, Ctrl-C, and what is said last."""

from dataclasses import dataclass
from typing import Literal

import click
from rich.text import Text

from gantry.cli import failures
from gantry.cli.session import Session
from gantry.cli.transport import error_of
from gantry.cli.views import words
from gantry.cli.views.deploying import View, failure_log, view
from gantry.cli.views.story import Story
from gantry.features.deploys.bodies import DeployBody
from gantry.kernel.errors import Cancelled, GantryError, PermanentError, TransientError

# A control plane that restarts is back within seconds; the deploy itself goes on meanwhile.
_PATIENCE_S = 60.0
_RETRY_S = 0.5

Choice = Literal["watch", "detach", "cancel"]


@dataclass
class Follower:
    """Follows one deploy."""

    session: Session
    story: Story

    def run(self) -> DeployBody:
        """Show the deploy until it has ended; the deploy as it ended.

        Raises:
            Cancelled: `cli.detached` the person left; the deploy goes on.
            TransientError: `control.*` when the control plane stayed away for a minute.
        """
        while True:
            try:
                with view(self.session.err, self.story, self.session.clock) as shown:
                    self._until_end(shown)
            except KeyboardInterrupt:
                self._interrupted()
            else:
                return self.story.deploy

    def _until_end(self, shown: View) -> None:
        clock = self.session.clock
        silent_since_s = clock.monotonic_s()
        while not self.story.ended:
            try:
                self.story.forget_logs()  # each stream tells them from the beginning
                for event in self.session.api.deploy_events(self.story.deploy.id):
                    silent_since_s = clock.monotonic_s()
                    shown.changed(self.story.apply(event, silent_since_s))
                    if event.event == "end":
                        return
            except TransientError as error:
                if clock.monotonic_s() - silent_since_s > _PATIENCE_S:
                    raise _lost(self.story.deploy.id, error) from error
                shown.note("the control plane does not answer; the deploy goes on; trying again")
            # Also when the stream ended in peace: a control plane that shuts down closes it.
            self.session.pause(_RETRY_S)

    def _interrupted(self) -> None:
        deploy = self.story.deploy
        choice: Choice = "detach"
        if self.session.err.is_terminal and not self.session.as_json:
            choice = self._ask()
        if choice == "cancel":
            self.session.api.cancel(deploy.id)
            self.session.say("cancelling; this waits until its processes have ended")
        if choice == "detach":
            raise Cancelled(
                "cli.detached",
                f"deploy {deploy.id} goes on without this terminal",
                hint=f"gantry status\ngantry cancel {deploy.id}",
            )

    def _ask(self) -> Choice:
        session = self.session
        session.say("")
        session.say("The deploy goes on by itself. What now?", style="bold")
        session.say("  d  leave it running and go back to the shell")
        session.say("  c  cancel it")
        session.say("  w  watch on")
        try:
            answer = click.prompt(
                "d, c or w",
                default="d",
                type=click.Choice(["d", "c", "w"], case_sensitive=False),
                show_choices=False,
                err=True,
            )
        except click.Abort:
            return "detach"
        choices: dict[str, Choice] = {"d": "detach", "c": "cancel", "w": "watch"}
        return choices[answer.lower()]


def _lost(deploy: str, error: GantryError) -> TransientError:
    return TransientError(
        error.code,
        f"{error.message}; deploy {deploy} may go on",
        hint="gantry up, then: gantry status",
        where=error.where,
    )


def see_through(session: Session, deploy: DeployBody, *, detach: bool) -> None:
    """Follow a deploy that was just accepted, and say how it ended. Ends the command with its exit code.

    Parameters:
        detach: say that it was accepted, and nothing more.
    """
    if detach:
        _accepted(session, deploy)
        return
    session.say(_headline(deploy), style="bold")
    story = Story(deploy, at_s=session.clock.monotonic_s())
    ended = Follower(session, story).run()
    if session.as_json:
        session.json(ended.model_dump_json())
    error = error_of_deploy(ended)
    if error is not None:
        _failed(session, story, error)
        session.exit(error.exit_code)
    if not session.as_json:
        _succeeded(session, ended)


def error_of_deploy(deploy: DeployBody) -> GantryError | None:
    """Why a deploy did not succeed; `None` when it did."""
    if deploy.state == "succeeded":
        return None
    if deploy.error is not None:
        return error_of(deploy.error)
    if deploy.state == "cancelled":
        return Cancelled("deploy.cancelled", f"deploy {deploy.id} was cancelled")
    return PermanentError("deploy.failed", f"deploy {deploy.id} failed at {deploy.step}")


def _accepted(session: Session, deploy: DeployBody) -> None:
    if session.as_json:
        session.json(deploy.model_dump_json())
        return
    session.out.print(deploy.id)
    session.say(f"accepted; gantry status shows it, gantry cancel {deploy.id} ends it")


def _headline(deploy: DeployBody) -> str:
    verb = {"deploy": "Deploying", "promote": "Promoting", "rollback": "Rolling back"}[deploy.kind]
    what = words.commit(deploy.commit)
    place = (
        f"{deploy.project} to {deploy.environment}"
        if deploy.kind != "rollback"
        else (f"{deploy.environment} of {deploy.project}")
    )
    return f"{verb} {place}" + (f" · {what}" if what else "")


def _failed(session: Session, story: Story, error: GantryError) -> None:
    # A message of many lines brings the end of the log itself.
    log = failure_log(story) if "\n" not in error.message else []
    if log:
        session.say("")
        session.say(log[0], style="bold")
        for line in log[1:]:
            session.say(f"  {line}", style="dim")
    session.say("")
    failures.show(session, error)
    before_switch = all(
        step.state in ("waiting", "skipped")
        for step in story.deploy.steps
        if step.name in ("switch", "drain")
    )
    if before_switch:
        session.say("  Nothing has changed for visitors.", style="dim")


def _succeeded(session: Session, deploy: DeployBody) -> None:
    number = f"Release {deploy.release_number}" if deploy.release_number else "The release"
    session.say("")
    session.err.print(
        Text.assemble(
            ("✓ ", "bold green"),
            (f"{number} is live", "bold"),
            f" in {deploy.environment} after {words.took(deploy.elapsed_s)}",
        ),
        soft_wrap=True,
    )
    session.out.print(words.url(deploy.url), soft_wrap=True)
    if deploy.release_url:
        session.err.print(
            Text.assemble(("always this release: ", "dim"), words.url(deploy.release_url, "dim")),
            soft_wrap=True,
        )
