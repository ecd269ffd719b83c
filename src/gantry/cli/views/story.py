"""The story of one deploy, folded from its events. Pure: what is drawn is decided elsewhere."""

from collections import deque
from dataclasses import dataclass, field

from gantry.features.deploys.bodies import DeployBody, DeployEvent, StepBody, StepName

# On failure this many lines are shown; while it runs, the last few of them.
KEPT_LINES = 20
ENDED = frozenset({"succeeded", "failed", "cancelled"})


@dataclass
class Story:
    """What is known of a deploy.

    Attributes:
        at_s: monotonic time at which `deploy` was received; its running times count from there.
        logs: the last lines of each step.
    """

    deploy: DeployBody
    at_s: float = 0.0
    logs: dict[StepName, deque[str]] = field(default_factory=dict)
    _partial: dict[StepName, str] = field(default_factory=dict)

    def apply(self, event: DeployEvent, now_s: float) -> tuple[StepBody, ...]:
        """Take in one event; the steps whose state or detail changed with it."""
        if event.event == "log":
            self._log(event.step or self.deploy.step, event.text)
            return ()
        if event.deploy is None:
            return ()
        before = {step.name: (step.state, step.detail) for step in self.deploy.steps}
        self.deploy, self.at_s = event.deploy, now_s
        return tuple(
            step
            for step in event.deploy.steps
            if (step.state, step.detail) != before.get(step.name, ("waiting", ""))
        )

    def forget_logs(self) -> None:
        """The stream starts over, and will send them again."""
        self.logs.clear()
        self._partial.clear()

    def _log(self, step: StepName, text: str) -> None:
        *whole, rest = (self._partial.get(step, "") + text).split("\n")
        # A program that draws a progress bar rewrites its line: what stands last is the line.
        kept = self.logs.setdefault(step, deque(maxlen=KEPT_LINES))
        kept.extend(line.rstrip("\r").rsplit("\r", 1)[-1] for line in whole)
        self._partial[step] = rest[-4096:]

    @property
    def ended(self) -> bool:
        return self.deploy.state in ENDED

    def lines(self, step: StepName, most: int = KEPT_LINES) -> list[str]:
        """The last lines of a step, the unfinished one included."""
        found = [*self.logs.get(step, ()), self._partial.get(step, "")]
        return [line for line in found if line.strip()][-most:]

    def elapsed_s(self, step: StepBody, now_s: float) -> float | None:
        """How long a step has taken: by the control plane's clock, carried on with ours while it runs."""
        if step.elapsed_s is None:
            return None
        return step.elapsed_s + (max(0.0, now_s - self.at_s) if step.state == "running" else 0.0)

    def total_s(self, now_s: float) -> float | None:
        """How long the deploy has taken."""
        if self.deploy.elapsed_s is None:
            return None
        running = 0.0 if self.ended else max(0.0, now_s - self.at_s)
        return self.deploy.elapsed_s + running

    @property
    def last_step_with_lines(self) -> StepName | None:
        """The step whose log explains a failure: the failed one, or the latest that printed anything."""
        failed = [step.name for step in self.deploy.steps if step.state == "failed"]
        for name in (*failed, *(step.name for step in reversed(self.deploy.steps))):
            if self.lines(name):
                return name
        return None
