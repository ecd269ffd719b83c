"""The check that compares how long requests took."""

from dataclasses import dataclass

from gantry.features.rollouts.verdict import risk, wording
from gantry.features.rollouts.verdict.case import Case
from gantry.features.rollouts.verdict.evidence import FEWEST, is_worse
from gantry.features.rollouts.verdict.model import Check, Counts, Outcome, Reason
from gantry.features.rollouts.verdict.tails import at_most


@dataclass(frozen=True, slots=True)
class Latency:
    """One quantile of how long requests took.

    It becomes a question of shares: the limit is the current release's quantile and what is tolerated on top, raised
    to the next bound of the histogram, and what counts is how many requests took longer. Every bound of the histogram
    has its own part of the risk, so that the bound may be chosen by what was seen. Were the candidate's quantile at
    the limit, a share of 1 - `part` of its requests would be slower: ruling that out is a pass.

    Parameters:
        part: which quantile, such as 0.95.
        seen_is_enough: it passes when what was seen is tolerated. For quantiles that few requests reach: ruling out
            that too many do would take longer than a step lasts.
    """

    check: Check
    part: float
    seen_is_enough: bool = False

    def fails(self, case: Case) -> bool:
        candidate, current = case.candidate.latency, case.current.latency
        limit_ms = self._limit_ms(case)
        place = _place(case, limit_ms)
        if place is None:
            return False
        slow = candidate.slower_than(place)
        if slow < FEWEST or candidate.quantile_ms(self.part) <= limit_ms:
            return False
        part = candidate.total / (candidate.total + current.total)
        budget = case.step_risk * risk.LATENCY / len(current.bounds_ms)
        return is_worse(slow, slow + current.slower_than(place), part, budget)

    def passes(self, case: Case) -> bool:
        candidate = case.candidate.latency
        limit_ms = self._limit_ms(case)
        place = _place(case, limit_ms)
        if place is None:
            return False
        if self.seen_is_enough:
            enough = candidate.total >= case.policy.minimum_requests
            return enough and candidate.quantile_ms(self.part) <= limit_ms
        wrongly = at_most(candidate.slower_than(place), candidate.total, 1.0 - self.part)
        return wrongly <= 1.0 - case.policy.confidence

    def reason(self, case: Case, outcome: Outcome) -> Reason:
        candidate, current = case.candidate.latency, case.current.latency
        values = candidate.quantile_ms(self.part), current.quantile_ms(self.part)
        place = _place(case, self._limit_ms(case))
        if place is None:
            counts = Counts(0, candidate.total, 0, current.total)
            sentence = f"{self.check} cannot be compared: {_why_not(counts)}"
        else:
            slow = candidate.slower_than(place), current.slower_than(place)
            counts = Counts(slow[0], candidate.total, slow[1], current.total)
            sentence = self._sentence(values, current.bounds_ms, place, counts)
        return Reason(self.check, outcome, sentence, *values, counts)

    def _sentence(
        self,
        values: tuple[float, float],
        bounds_ms: tuple[float, ...],
        place: int,
        counts: Counts,
    ) -> str:
        then, now = (wording.latency(value, bounds_ms[-1]) for value in values)
        return (
            f"{self.check} was {then} on the candidate, {now} on the current release: "
            f"{wording.part_of_requests(counts.candidate, counts.candidate_of)} took longer than "
            f"{wording.latency(bounds_ms[place], bounds_ms[-1])}, "
            f"against {wording.part_of(counts.current, counts.current_of)}"
        )

    def _limit_ms(self, case: Case) -> float:
        now_ms, policy = case.current.latency.quantile_ms(self.part), case.policy
        return max(now_ms * policy.latency_ratio, now_ms + policy.latency_floor_ms)


def _place(case: Case, limit_ms: float) -> int | None:
    """Where in the histogram requests count as slower; `None` when there is nothing to compare."""
    candidate, current = case.candidate.latency, case.current.latency
    if not candidate.total or not current.total:
        return None
    candidate.must_share_bounds(current)
    return current.first_bound_from(limit_ms)


def _why_not(counts: Counts) -> str:
    if counts.candidate_of and counts.current_of:
        return "what is tolerated lies beyond the last bound of the histogram"
    return (
        f"{counts.candidate_of:,} requests to the candidate and {counts.current_of:,} "
        "to the current release were timed"
    )
