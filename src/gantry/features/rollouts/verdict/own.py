"""Requests of Gantry's own beside those of visitors. Pure.

The two are never added up: Gantry asks both releases for the same paths and as often, visitors ask the candidate for a
share only, and a sum of such mixtures differs where the releases do not (Simpson's paradox). So each is judged by itself.
Own requests can fail a candidate, with a risk `alpha` of their own; they can pass one only where visitors ask too little.
"""

from dataclasses import replace

from gantry.features.rollouts.verdict import wording
from gantry.features.rollouts.verdict.decide import judge
from gantry.features.rollouts.verdict.model import (
    Check,
    Counts,
    Look,
    Outcome,
    Pair,
    Reason,
    Verdict,
)
from gantry.features.rollouts.verdict.policy import Policy


def judge_both(visitors: Pair, own: Pair, policy: Policy, look: Look) -> Verdict:
    """The verdict on a candidate from what visitors got, and from what Gantry got that asked itself."""
    verdict = judge(visitors.candidate, visitors.current, policy, look)
    if not own.candidate.requests and not own.current.requests:
        return verdict
    ours = judge(own.candidate, own.current, policy, look)
    both = replace(verdict, reasons=(*verdict.reasons, _reason(ours, own)))
    if ours.outcome is Outcome.FAIL and verdict.outcome is not Outcome.FAIL:
        return replace(
            both, outcome=Outcome.FAIL, summary=f"By Gantry's own requests: {ours.summary}"
        )
    if ours.outcome is Outcome.PASS and _too_few_ask(verdict):
        return replace(
            both,
            outcome=Outcome.PASS,
            summary=f"Too few visitors to tell; by Gantry's own requests: {ours.summary}",
        )
    return both


def _too_few_ask(verdict: Verdict) -> bool:
    traffic = verdict.of(Check.TRAFFIC)
    few = traffic is not None and traffic.outcome is Outcome.INCONCLUSIVE
    return few and verdict.outcome is Outcome.INCONCLUSIVE


def _reason(ours: Verdict, own: Pair) -> Reason:
    candidate, current = own.candidate, own.current
    failed = wording.part_of_requests(candidate.errors, candidate.requests)
    beside = wording.part_of(current.errors, current.requests)
    return Reason(
        check=Check.OWN,
        outcome=ours.outcome,
        sentence=f"of Gantry's own, {failed} failed on the candidate, {beside} on the current release",
        candidate=candidate.errors / max(1, candidate.requests),
        current=current.errors / max(1, current.requests),
        numbers=Counts(candidate.errors, candidate.requests, current.errors, current.requests),
    )
