"""Following a deploy to its end: reconnecting, Ctrl-C, and what is said last."""

from dataclasses import dataclass
from typing import Literal

import click
from rich.text import Text

from gantry.cli import failures
from gantry.cli.deploy_story import MAX_LINES, DeployView, Story, failure_log, view
from gantry.cli.domains import say_pending
from gantry.cli.session import Session
from gantry.cli.terminal import commit, printable, url
from gantry.cli.transport import environment_path, path
from gantry.features.deploys.bodies import DeployBody, DeployEvent
from gantry.features.deploys.model import Step
from gantry.features.rollouts.bodies import RolloutBody
from gantry.kernel.errors import (
    Cancelled,
    GantryError,
    PermanentError,
    TransientError,
    from_dict,
)
from gantry.kernel.units import counted, format_elapsed

# A control plane that restarts is back within seconds; the deploy itself continues meanwhile.
_AWAY_TIMEOUT_S = 60.0
_INTERVAL_RETRY_S = 0.5
_VERBS = {
    "deploy": "Deploying",
    "promote": "Promoting",
    "rollback": "Rolling back",
    "redeploy": "Redeploying",
    "restart": "Restarting",
}

Choice = Literal["watch", "detach", "cancel"]


@dataclass
class Follower:
    """Follows one deploy."""

    session: Session
    story: Story

    def run(self) -> DeployBody:
        """Show the deploy until it has ended; the deploy as it ended.

        Raises:
            Cancelled: `cli.detached` the person left; the deploy continues.
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

    def _until_end(self, shown: DeployView) -> None:
        clock = self.session.clock
        events = path("deploys", self.story.deploy.id, "events")
        silent_since_s = clock.monotonic_s()
        while not self.story.deploy.ended:
            try:
                self.story.forget_logs()  # each stream tells them from the beginning
                for event in self.session.api.stream(DeployEvent, events):
                    silent_since_s = clock.monotonic_s()
                    shown.changed(self.story.apply(event, silent_since_s))
                    if event.event == "end":
                        return
            except TransientError as error:
                if clock.monotonic_s() - silent_since_s > _AWAY_TIMEOUT_S:
                    raise _lost(self.story.deploy.id, error) from error
                shown.note("the control plane is not answering; the deploy continues; retrying")
            # Also when the stream ended in peace: a control plane that shuts down closes it.
            self.session.pause(_INTERVAL_RETRY_S)

    def _interrupted(self) -> None:
        deploy = self.story.deploy
        choice: Choice = "detach"
        if self.session.err.is_terminal and not self.session.as_json:
            choice = self._ask()
        if choice == "cancel":
            self.session.api.post(DeployBody, path("deploys", deploy.id, "cancel"))
            self.session.say("cancelling; waiting for its processes to stop")
        if choice == "detach":
            raise Cancelled(
                "cli.detached",
                f"deploy {deploy.id} continues without this terminal",
                hint=f"gantry deploys watch {deploy.id}\ngantry cancel {deploy.id}",
            )

    def _ask(self) -> Choice:
        session = self.session
        session.say("")
        session.say("The deploy continues without this terminal. What now?", style="bold")
        session.say("  d  leave it running and go back to the shell")
        session.say("  c  cancel it")
        session.say("  w  keep watching")
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
        f"{error.message}; deploy {deploy} may still be running",
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
    error = error_of(ended)
    if error is not None:
        _failed(session, story, error)
        session.exit(error.exit_code)
    if not session.as_json:
        _succeeded(session, ended)


def error_of(deploy: DeployBody) -> GantryError | None:
    """Why a deploy did not succeed; `None` when it did."""
    if deploy.state == "succeeded":
        return None
    if deploy.error is not None:
        return from_dict(deploy.error.model_dump())
    if deploy.state == "cancelled":
        return Cancelled("deploy.cancelled", f"deploy {deploy.id} was cancelled")
    return PermanentError("deploy.failed", f"deploy {deploy.id} failed at {deploy.step}")


def _accepted(session: Session, deploy: DeployBody) -> None:
    if session.as_json:
        session.json(deploy.model_dump_json())
        return
    session.out.print(deploy.id)
    session.say(
        f"deploy accepted: gantry deploys watch {deploy.id} follows it, gantry cancel {deploy.id} cancels it"
    )


def _headline(deploy: DeployBody) -> str:
    if deploy.kind in ("rollback", "redeploy", "restart"):
        what = f"{deploy.environment} of {deploy.project}"
        if deploy.kind == "restart" and deploy.process:
            what = f"{deploy.process} in {what}"
        if deploy.kind == "rollback" and deploy.release_number:
            what += f" to release {deploy.release_number}"
    else:
        what = f"{deploy.project} to {deploy.environment}"
    source = commit(deploy.commit)
    return f"{_VERBS.get(deploy.kind, deploy.kind)} {what}" + (f" · {source}" if source else "")


def _failed(session: Session, story: Story, error: GantryError) -> None:
    # A message of many lines brings the end of the log itself.
    log = failure_log(story) if "\n" not in error.message else []
    kept = story.deploy.error.last_lines if story.deploy.error is not None else ""
    if not log and kept:
        log = ["what it printed last:", *map(printable, kept.splitlines()[-MAX_LINES:])]
    if log:
        session.say("")
        session.say(log[0], style="bold")
        for line in log[1:]:
            session.err.print(f"  {line}", style="dim", soft_wrap=True)
    session.say("")
    failures.show(session, error)
    if sentence := _for_visitors(session, story.deploy):
        session.say(f"  {sentence}", style="dim")


def _for_visitors(session: Session, deploy: DeployBody) -> str:
    """What a failed deploy was for visitors; empty where that is not known."""
    states = {step.name: step.state for step in deploy.steps}
    idle = ("waiting", "skipped")
    if deploy.kind == "restart" or states.get(Step.SWITCH, "waiting") not in idle:
        return ""
    if states.get(Step.ROLLOUT, "waiting") in idle:
        return "Nothing has changed for visitors."
    try:
        at = environment_path(deploy.project, deploy.environment, "rollout")
        rollout = session.api.get(RolloutBody, at)
    except GantryError:
        return ""
    if rollout.deploy != deploy.id:
        return ""
    answered, failed = rollout.seen_by_visitors
    if not answered:
        return "No visitor got the new release."
    failures = counted(failed, "request") if failed else "no request"
    whole = f"{counted(answered, 'request')} of visitors that the new release answered"
    return f"Of {whole}, {failures} failed."


def _succeeded(session: Session, deploy: DeployBody) -> None:
    number = f"Release {deploy.release_number}" if deploy.release_number else "The release"
    took = format_elapsed(deploy.elapsed_s)
    session.say("")
    if deploy.kind == "restart":
        what = f"{deploy.process or 'every process'} of {deploy.environment} was restarted"
        session.say(Text.assemble(("✓ ", "bold green"), (what, "bold"), f" in {took}"))
        return
    session.say(
        Text.assemble(
            ("✓ ", "bold green"),
            (f"{number} is live", "bold"),
            f" in {deploy.environment} after {took}",
        )
    )
    session.out.print(url(deploy.url), soft_wrap=True)
    say_pending(session, deploy.project, deploy.environment)
    if deploy.release_url:
        session.say(
            Text.assemble(
                ("permanent address of this release: ", "dim"), url(deploy.release_url, "dim")
            )
        )


def cancel_deploy(session: Session, deploy: str) -> None:
    """Cancel a deploy, and say that it is done soon."""
    body = session.api.post(DeployBody, path("deploys", deploy, "cancel"))
    if session.as_json:
        session.json(body.model_dump_json())
    else:
        session.say(f"cancelling deploy {body.id}: gantry status shows when it has stopped")
