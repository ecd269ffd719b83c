"""Whether what was decided about a candidate was right."""

from gantry.features.drills.model import Candidate, Fault, Schedule
from gantry.features.drills.seen import Deed, Seen

# A killed instance is held against its release with the next numbers: a second for those, one for the next look, and
# some for a machine that has much to do. A verdict that falls later is about something else.
_NOTICED_S = 6.0


def wrong_verdict(schedule: Schedule, seen: Seen) -> str:
    """What was decided about the candidate and should not have been; empty for nothing."""
    if schedule.candidate.is_bad:
        return _of_a_bad_one(schedule.candidate, seen)
    refused = seen.deploy_ended and seen.deploy != "succeeded"
    if not refused or _was_hit(seen) or _the_disk_was_full(seen):
        return ""
    return f"a good candidate was refused: {seen.code}: {seen.reason}"


def _of_a_bad_one(candidate: Candidate, seen: Seen) -> str:
    """Whatever became of the deploy afterwards."""
    if seen.deploy == "succeeded":
        return f"a candidate that is {candidate} went live"
    if seen.rollout == "passed":
        return f"a candidate that is {candidate} passed its rollout"
    for number, stage in enumerate(seen.stages, 1):
        if stage.outcome == "pass":
            return f"the verdict of stage {number} was pass, of a candidate that is {candidate}"
    if candidate is Candidate.NEVER_HEALTHY and seen.rollout:
        return "a rollout was begun with a candidate that was never healthy"
    return ""


def _was_hit(seen: Seen) -> bool:
    """The verdict fell because an instance of the candidate had been killed."""
    return seen.rollout == "failed" and any(
        _soon_after(deed, seen) for deed in seen.did(Fault.CANDIDATE_KILLED)
    )


def _soon_after(deed: Deed, seen: Seen) -> bool:
    fell_s = seen.taken_back_s
    noticed_s = deed.at_s + _NOTICED_S + seen.silent_s(deed.at_s, fell_s)
    return deed.at_s <= fell_s <= noticed_s


def _the_disk_was_full(seen: Seen) -> bool:
    """The deploy stopped when there was no room any more, and says so. A verdict needs no room to be right."""
    says_so = "disk" in f"{seen.code} {seen.reason}"
    filled = any(deed.at_s <= seen.ended_s for deed in seen.did(Fault.DISK_FULL))
    return seen.rollout != "failed" and says_so and filled
