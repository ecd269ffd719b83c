"""A rollout as the console shows it: the two releases side by side, and the buttons that make sense now."""

from collections.abc import Iterator
from dataclasses import dataclass

from gantry.features.rollouts.bodies import RolloutBody

_OPEN = ("running", "paused", "waiting")
_TEXTS = {
    "promote": "The next stage begins now, without waiting for the verdict; after the last all traffic moves.",
    "abort": "All traffic goes back to the release before, and the deploy fails.",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One check."""

    check: str
    sentence: str
    candidate: str
    current: str
    outcome: str


@dataclass(frozen=True, slots=True)
class RolloutPanel:
    """What the panel shows.

    Attributes:
        wishes: of each button its action, icon, label and question; no question, no dialog.
    """

    body: RolloutBody
    texts = _TEXTS

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return self.body.state in _OPEN

    @property
    def mark(self) -> str:
        """Its state, as marks call it."""
        return f"rollout-{self.body.state}"

    @property
    def rows(self) -> Iterator[Row]:
        """The checks of the last verdict, with the values of both releases."""
        verdict = self.body.verdict
        for reason in verdict.reasons if verdict is not None else ():
            yield Row(
                check=reason.check,
                sentence=reason.sentence,
                candidate=reason.candidate_text,
                current=reason.current_text,
                outcome=f"verdict-{reason.outcome}",
            )

    @property
    def wishes(self) -> Iterator[tuple[str, str, str, str]]:
        if self.body.state == "running":
            yield "pause", "circle-pause", "Pause", ""
        else:
            yield "resume", "play", "Resume", ""
        yield (
            "abort",
            "undo-2",
            "Abort",
            f"Abort the rollout of release {self.body.candidate_number}?",
        )
        yield "promote", "skip-forward", "Next stage", "Go on to the next stage now?"
