"""The checks of a verdict: counts of events, shares of requests, quantiles of latency, and enough traffic. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

from gantry.features.rollouts.verdict import wording
from gantry.features.rollouts.verdict.model import (
    CheckInput,
    CheckName,
    Counts,
    Numbers,
    Outcome,
    Policy,
    Reason,
)
from gantry.features.rollouts.verdict.statistics import (
    MIN_BAD_REQUESTS,
    RISK_PART_ERRORS,
    RISK_PART_ERRORS_ALONE,
    RISK_PART_LATENCY,
    RISK_PART_WAITING,
    analysis_risk,
    at_least,
    at_most,
    exceeds_tolerance,
    is_worse,
    upper_limit,
)

# So much more of its traffic than of the current release's waits for an answer: it hangs.
_HANGING = 0.25
# The first analysis of a stage may come before anything could be answered.
_WAITING_FROM_ANALYSIS = 2


@dataclass(frozen=True, slots=True)
class EventsCheck:
    """Check of events that should not happen: each is certain when it is seen, so a count decides.

    Where the current release suffers as much in the same minutes, the candidate is not to blame: neither a fail nor a
    pass.

    Parameters:
        read: how many there were of a release.
        tolerated: how many the policy tolerates.
    """

    name: CheckName
    read: Callable[[Numbers], int]
    tolerated: Callable[[Policy], int]
    singular: str
    plural: str

    def fails(self, given: CheckInput) -> bool:
        count = self.read(given.candidate)
        return count > self.tolerated(given.policy) and count > self.read(given.current)

    def passes(self, given: CheckInput) -> bool:
        return self.read(given.candidate) <= self.tolerated(given.policy)

    def reason(self, given: CheckInput, outcome: Outcome) -> Reason:
        candidate, current = self.read(given.candidate), self.read(given.current)
        events = wording.count_of(candidate, self.singular, self.plural)
        sentence = f"{events} on the candidate, {wording.number(current)} on the current release"
        counts = Counts(candidate, 0, current, 0)
        return Reason(self.name, outcome, sentence, candidate, current, counts)


@dataclass(frozen=True, slots=True)
class TrafficCheck:
    """Check that there was enough traffic. Too little never fails, and never passes."""

    name: CheckName = CheckName.TRAFFIC

    def fails(self, given: CheckInput) -> bool:
        return False

    def passes(self, given: CheckInput) -> bool:
        fewest = min(given.candidate.requests, given.current.requests)
        return fewest >= given.policy.minimum_requests

    def reason(self, given: CheckInput, outcome: Outcome) -> Reason:
        candidate, current = given.candidate.requests, given.current.requests
        sentence = (
            f"{wording.count_of(candidate, 'request', 'requests')} to the candidate, "
            f"{wording.number(current)} to the current release"
        )
        if outcome is not Outcome.PASS:
            sentence += f"; a pass needs {given.policy.minimum_requests:,} to each"
        counts = Counts(candidate, 0, current, 0)
        return Reason(self.name, outcome, sentence, candidate, current, counts)


@dataclass(frozen=True, slots=True)
class ErrorsCheck:
    """Check of the share of requests that failed."""

    name: CheckName = CheckName.ERRORS

    def fails(self, given: CheckInput) -> bool:
        candidate, current, policy = given.candidate, given.current, given.policy
        if candidate.errors < MIN_BAD_REQUESTS:
            return False
        tolerated = _share(current.errors, current.requests) + policy.error_margin
        if not exceeds_tolerance(candidate.errors, candidate.requests, tolerated):
            return False
        part = candidate.requests / (candidate.requests + current.requests)
        total = candidate.errors + current.errors
        if is_worse(candidate.errors, total, part, given.stage_risk * RISK_PART_ERRORS):
            return True
        # Nothing to compare with: then it is held against the ceiling, as if that were its share.
        return current.requests < policy.minimum_requests and is_worse(
            candidate.errors,
            candidate.requests,
            policy.error_ceiling,
            given.stage_risk * RISK_PART_ERRORS_ALONE,
        )

    def passes(self, given: CheckInput) -> bool:
        """Whether the difference of the two shares is below the margin, with the policy's confidence.

        Its upper limit is made from the exact limits of both shares (G. Y. Zou and A. Donner, "Construction of
        confidence limits about effect measures", 2008), which was measured to be conservative: decision 0070.
        """
        candidate, current, policy = given.candidate, given.current, given.policy
        if candidate.requests == 0:
            return False
        wrongly = 1.0 - policy.confidence
        now = _share(current.errors, current.requests)
        tolerated = now + policy.error_margin
        # The limit of the difference is never below the candidate's own; where that is too high, it is decided. Beside a
        # release that fails nearly always no share is too high by itself: a difference is still to be ruled out.
        if tolerated < 1.0 and at_most(candidate.errors, candidate.requests, tolerated) > wrongly:
            return False
        left = tolerated - candidate.errors / candidate.requests
        above = upper_limit(candidate.errors, candidate.requests, wrongly) + left - tolerated
        if above >= left:
            return False
        # hypot(above, below) < left, solved for the lower limit of the current share.
        lowest = now - sqrt(left**2 - above**2)
        return lowest <= 0.0 or at_least(current.errors, current.requests, lowest) < wrongly

    def reason(self, given: CheckInput, outcome: Outcome) -> Reason:
        candidate, current = given.candidate, given.current
        counts = Counts(candidate.errors, candidate.requests, current.errors, current.requests)
        return _share_reason(self.name, outcome, "failed", counts)


@dataclass(frozen=True, slots=True)
class WaitingCheck:
    """Check of requests without an answer: what hangs is neither an error nor slow until its time is over.

    Each analysis is a test of its own here, as requests leave this count again; streams that live for hours are older
    on the current release, which only makes this more careful.
    """

    name: CheckName = CheckName.WAITING

    def fails(self, given: CheckInput) -> bool:
        counts, number = _waiting(given), given.analysis.number
        if number < _WAITING_FROM_ANALYSIS or counts.candidate < MIN_BAD_REQUESTS:
            return False
        if not _hangs(counts):
            return False
        part = counts.candidate_of / (counts.candidate_of + counts.current_of)
        budget = analysis_risk(given.stage_risk * RISK_PART_WAITING, number)
        return at_least(counts.candidate, counts.candidate + counts.current, part) <= budget

    def passes(self, given: CheckInput) -> bool:
        counts = _waiting(given)
        return counts.candidate_of > 0 and not _hangs(counts)

    def reason(self, given: CheckInput, outcome: Outcome) -> Reason:
        return _share_reason(self.name, outcome, "had no answer yet", _waiting(given))


def _share(count: int, of: int) -> float:
    return count / of if of else 0.0


def _waiting(given: CheckInput) -> Counts:
    candidate, current = given.candidate, given.current
    return Counts(
        candidate.waiting,
        candidate.requests + candidate.waiting,
        current.waiting,
        current.requests + current.waiting,
    )


def _hangs(counts: Counts) -> bool:
    now = _share(counts.current, counts.current_of)
    return _share(counts.candidate, counts.candidate_of) - now > _HANGING


def _share_reason(name: CheckName, outcome: Outcome, verb: str, counts: Counts) -> Reason:
    candidate = wording.part_of_requests(counts.candidate, counts.candidate_of)
    current = wording.part_of(counts.current, counts.current_of)
    return Reason(
        name,
        outcome,
        f"{candidate} {verb} on the candidate, {current} on the current release",
        _share(counts.candidate, counts.candidate_of),
        _share(counts.current, counts.current_of),
        counts,
    )


@dataclass(frozen=True, slots=True)
class LatencyCheck:
    """Check of one quantile of how long requests took.

    It becomes a question of shares. The limit is the current release's quantile and what is tolerated on top; what is
    counted is how many requests took longer than a bound of the histogram beside that limit. Each bound has its own part
    of the risk, so that it may be chosen by what was seen.

    It fails when more of the candidate's requests than is luck took longer than the bound below or above the limit, and
    its quantile is seen beyond the limit. It passes when the bound above is shown to hold: were the candidate's
    quantile there, a share of 1 - `part` of its requests would be slower, and that few would be are luck.

    Parameters:
        part: which quantile, such as 0.95.
        seen_is_enough: it passes when what was seen is tolerated. For quantiles that few requests reach: ruling out
            that too many do would take longer than a stage lasts.
    """

    name: CheckName
    part: float
    seen_is_enough: bool = False

    def fails(self, given: CheckInput) -> bool:
        return not _current_fails(given) and self._convicting(given) is not None

    def passes(self, given: CheckInput) -> bool:
        candidate = given.candidate.latency
        if _current_fails(given):
            # An error page is quick, or slow; what repairs it cannot be held against its times.
            return candidate.total > 0
        limit_ms = self._limit_ms(given)
        place = candidate.first_bound_from(limit_ms)
        if place is None or not _comparable(given):
            return False
        if self.seen_is_enough:
            enough = candidate.total >= given.policy.minimum_requests
            return enough and candidate.quantile_ms(self.part) <= limit_ms
        wrongly = at_most(candidate.slower_than(place), candidate.total, 1.0 - self.part)
        return wrongly <= 1.0 - given.policy.confidence

    def reason(self, given: CheckInput, outcome: Outcome) -> Reason:
        candidate, current = given.candidate.latency, given.current.latency
        values = candidate.quantile_ms(self.part), current.quantile_ms(self.part)
        if _current_fails(given):
            counts = Counts(candidate.total, 0, current.total, 0)
            sentence = f"{self._beside(counts)}; most of its requests fail"
            return Reason(self.name, outcome, sentence, *values, counts)
        place = self._convicting(given)
        if place is None:
            place = current.first_bound_from(self._limit_ms(given))
        if place is None or not _comparable(given):
            counts = Counts(candidate.total, 0, current.total, 0)
            return Reason(self.name, outcome, self._why_not(counts), *values, counts)
        slow = candidate.slower_than(place), current.slower_than(place)
        counts = Counts(slow[0], candidate.total, slow[1], current.total)
        sentence = self._sentence(values, current.bounds_ms, place, counts)
        return Reason(self.name, outcome, sentence, *values, counts)

    def _convicting(self, given: CheckInput) -> int | None:
        """Where in the histogram the candidate is shown to be slower, when it is seen beyond the limit."""
        if not _comparable(given):
            return None
        candidate, current = given.candidate.latency, given.current.latency
        limit_ms = self._limit_ms(given)
        if candidate.quantile_ms(self.part) <= limit_ms:
            return None
        share = candidate.total / (candidate.total + current.total)
        budget = given.stage_risk * RISK_PART_LATENCY / len(current.bounds_ms)
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
            f"{self.name} was {then} on the candidate, {now} on the current release: "
            f"{wording.part_of_requests(counts.candidate, counts.candidate_of)} took longer than "
            f"{wording.latency(bounds_ms[place], bounds_ms[-1])}, "
            f"against {wording.part_of(counts.current, counts.current_of)}"
        )

    def _limit_ms(self, given: CheckInput) -> float:
        now_ms, policy = given.current.latency.quantile_ms(self.part), given.policy
        return max(now_ms * policy.latency_ratio, now_ms + policy.latency_floor_ms)

    def _beside(self, counts: Counts) -> str:
        timed = wording.count_of(counts.candidate, "timed request", "timed requests")
        return (
            f"{self.name} cannot be compared: {timed} on the candidate, "
            f"{wording.number(counts.current)} on the current release"
        )

    def _why_not(self, counts: Counts) -> str:
        sentence = self._beside(counts)
        if counts.candidate and counts.current:
            sentence += "; what is tolerated lies beyond the last bound of the histogram"
        return sentence


def _current_fails(given: CheckInput) -> bool:
    """Whether it is shown that the current release fails more than it answers: its times are those of its errors."""
    current, policy = given.current, given.policy
    return current.requests >= policy.minimum_requests and (
        at_least(current.errors, current.requests, policy.error_ceiling) <= 1.0 - policy.confidence
    )


def _comparable(given: CheckInput) -> bool:
    candidate, current = given.candidate.latency, given.current.latency
    if not candidate.total or not current.total:
        return False
    candidate.must_share_bounds(current)
    return True
