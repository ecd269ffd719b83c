"""The check that compares how long requests took."""

from dataclasses import dataclass

from gantry.features.rollouts.verdict import risk, wording
from gantry.features.rollouts.verdict.case import Case
from gantry.features.rollouts.verdict.evidence import is_worse
from gantry.features.rollouts.verdict.model import Check, Counts, Outcome, Reason
from gantry.features.rollouts.verdict.tails import at_most


@dataclass(frozen=True, slots=True)
class Latency:
    """One quantile of how long requests took.

    It becomes a question of shares. The limit is the current release's quantile and what is tolerated on top; what is
    counted is how many requests took longer than a bound of the histogram beside that limit. Each bound has its own part
    of the risk, so that it may be chosen by what was seen.

    It fails when more of the candidate's requests than is luck took longer than the bound below or above the limit, and
    its quantile is seen beyond the limit. It passes when the bound above is shown to hold: were the candidate's
    quantile there, a share of 1 - `part` of its requests would be slower, and that few would be are luck.

    Parameters:
        part: which quantile, such as 0.95.
        seen_is_enough: it passes when what was seen is tolerated. For quantiles that few requests reach: ruling out
            that too many do would take longer than a step lasts.
    """

    check: Check
    part: float
    seen_is_enough: bool = False

    def fails(self, case: Case) -> bool:
        return self._convicting(case) is not None

    def passes(self, case: Case) -> bool:
        candidate = case.candidate.latency
        limit_ms = self._limit_ms(case)
        place = candidate.first_bound_from(limit_ms)
        if place is None or not _comparable(case):
            return False
        if self.seen_is_enough:
            enough = candidate.total >= case.policy.minimum_requests
            return enough and candidate.quantile_ms(self.part) <= limit_ms
        wrongly = at_most(candidate.slower_than(place), candidate.total, 1.0 - self.part)
        return wrongly <= 1.0 - case.policy.confidence

    def reason(self, case: Case, outcome: Outcome) -> Reason:
        candidate, current = case.candidate.latency, case.current.latency
        values = candidate.quantile_ms(self.part), current.quantile_ms(self.part)
        place = self._convicting(case)
        if place is None:
            place = current.first_bound_from(self._limit_ms(case))
        if place is None or not _comparable(case):
            counts = Counts(candidate.total, 0, current.total, 0)
            return Reason(self.check, outcome, self._why_not(counts), *values, counts)
        slow = candidate.slower_than(place), current.slower_than(place)
        counts = Counts(slow[0], candidate.total, slow[1], current.total)
        sentence = self._sentence(values, current.bounds_ms, place, counts)
        return Reason(self.check, outcome, sentence, *values, counts)

    def _convicting(self, case: Case) -> int | None:
        """Where in the histogram the candidate is shown to be slower, when it is seen beyond the limit."""
        if not _comparable(case):
            return None
        candidate, current = case.candidate.latency, case.current.latency
        limit_ms = self._limit_ms(case)
        if candidate.quantile_ms(self.part) <= limit_ms:
            return None
        share = candidate.total / (candidate.total + current.total)
        budget = case.step_risk * risk.LATENCY / len(current.bounds_ms)
        for place in current.bounds_beside(limit_ms):
            slow = candidate.slower_than(place)
            if is_worse(slow, slow + current.slower_than(place), share, budget):
                return place
        return None

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

    def _why_not(self, counts: Counts) -> str:
        timed = wording.count_of(counts.candidate, "timed request", "timed requests")
        sentence = (
            f"{self.check} cannot be compared: {timed} on the candidate, "
            f"{wording.number(counts.current)} on the current release"
        )
        if counts.candidate and counts.current:
            sentence += "; what is tolerated lies beyond the last bound of the histogram"
        return sentence


def _comparable(case: Case) -> bool:
    candidate, current = case.candidate.latency, case.current.latency
    if not candidate.total or not current.total:
        return False
    candidate.must_share_bounds(current)
    return True
