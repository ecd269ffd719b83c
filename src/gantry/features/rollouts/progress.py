"""How far the edge is with what rollouts want of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from gantry.features.rollouts.model import Rollout
from gantry.kernel.backoff import Backoff


@dataclass(slots=True)
class EdgeProgress:
    """What the reactor last observed of open rollouts.

    Attributes:
        has_rollouts: some rollout is open; true until the first observation.
        stage_in_effect: rollout -> the stage that the edge has acknowledged.
    """

    backoff: Backoff
    has_rollouts: bool = True
    stage_in_effect: dict[str, int] = field(default_factory=dict)

    def note(self, rollouts: Iterable[Rollout], *, edge_current: bool) -> None:
        """Keep an observation.

        Parameters:
            edge_current: the edge acknowledged what that observation implies.
        """
        known = tuple(rollouts)
        self.has_rollouts = any(not rollout.state.ended for rollout in known)
        if self.has_rollouts and edge_current:
            self.stage_in_effect = {rollout.id: rollout.stage for rollout in known}

    @property
    def obstacle(self) -> str:
        """Why the edge does not take what is wanted of it; empty where nothing is known."""
        return self.backoff.obstacle("edge")
