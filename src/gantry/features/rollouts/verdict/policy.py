"""What is tolerated, and how sure one must be."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from gantry.kernel.errors import UserError

WhenInconclusive = Literal["promote", "abort"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What is tolerated, and how sure one must be. `docs/verdict.md` says how to tune it.

    Parameters:
        error_margin: how much higher the candidate's share of failed requests may be, 0 to 1.
        error_ceiling: what share of failed requests condemns a candidate that has nothing to be compared with.
        latency_ratio: how many times as slow each quantile may be, at least 1.
        latency_floor_ms: how much slower each quantile may always be, in milliseconds.
        alpha: the risk that a rollout of a release that is no worse is failed by mistake.
        confidence: how sure a pass must be that the tolerances hold.
        minimum_requests: fewer requests than this, to either release, are never enough for a pass.
        restarts_allowed: of the candidate's instances, in one step; those that ran out of memory always fail.
        new_error_groups_allowed: `None` does not look at them.
        when_inconclusive: what the rollout does when a step ends without a pass or a fail.

    Raises:
        UserError: a value out of its range.
    """

    error_margin: float = 0.01
    error_ceiling: float = 0.5
    latency_ratio: float = 1.25
    latency_floor_ms: float = 20.0
    alpha: float = 0.01
    confidence: float = 0.95
    minimum_requests: int = 100
    restarts_allowed: int = 0
    new_error_groups_allowed: int | None = None
    when_inconclusive: WhenInconclusive = "promote"

    def __post_init__(self) -> None:
        for name, accepted in self._ranges():
            if not accepted:
                raise _out_of_range(name, getattr(self, name))

    def _ranges(self) -> tuple[tuple[str, bool], ...]:
        return (
            ("error_margin", 0.0 < self.error_margin < 1.0),
            ("error_ceiling", 0.0 < self.error_ceiling < 1.0),
            ("latency_ratio", self.latency_ratio >= 1.0 and isfinite(self.latency_ratio)),
            ("latency_floor_ms", self.latency_floor_ms >= 0.0 and isfinite(self.latency_floor_ms)),
            ("alpha", 0.0 < self.alpha <= 0.5),
            ("confidence", 0.5 <= self.confidence < 1.0),
            ("minimum_requests", self.minimum_requests >= 1),
            ("restarts_allowed", self.restarts_allowed >= 0),
            ("new_error_groups_allowed", (self.new_error_groups_allowed or 0) >= 0),
            ("when_inconclusive", self.when_inconclusive in ("promote", "abort")),
        )


_ACCEPTED = {
    "error_margin": "a share between 0 and 1, such as 0.01",
    "error_ceiling": "a share between 0 and 1, such as 0.5",
    "latency_ratio": "a ratio of at least 1, such as 1.25",
    "latency_floor_ms": "milliseconds of at least 0, such as 20",
    "alpha": "a risk above 0 and up to 0.5, such as 0.01",
    "confidence": "a probability from 0.5 to below 1, such as 0.95",
    "minimum_requests": "a number of at least 1, such as 100",
    "restarts_allowed": "a number of at least 0, such as 0",
    "new_error_groups_allowed": "a number of at least 0, such as 0",
    "when_inconclusive": "'promote' or 'abort'",
}


def _out_of_range(name: str, value: object) -> UserError:
    return UserError(
        "verdict.policy",
        f"{name} = {value!r} is out of range",
        hint=f"give {name} {_ACCEPTED[name]}",
        where=name,
    )
