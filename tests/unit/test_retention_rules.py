"""What may be deleted, and what never."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gantry.features.builds.model import Build, BuildState
from gantry.features.deploys.model import Step
from gantry.features.releases.model import Release, ReleaseState
from gantry.features.releases.rules import Patience, to_retire
from gantry.features.retention.rules import Stored, decide
from tests.support.stories import T0, at, build, deploy, exited, release, running


def were_live(count: int) -> tuple[Release, ...]:
    """Releases r-1 to r-`count` of builds b-1 to b-`count`; the last is live."""
    return tuple(
        release(
            f"r-{number}",
            number=number,
            build=f"b-{number}",
            state=ReleaseState.RUNNING if number == count else ReleaseState.RETIRED,
            live_at=at(number),
            left_at=None if number == count else at(number + 1),
        )
        for number in range(1, count + 1)
    )


def builds_of(releases: tuple[Release, ...]) -> tuple[Build, ...]:
    return tuple(
        build(id=one.build, state=BuildState.READY, source_digest=f"s-{one.build}")
        for one in releases
    )


def stored(releases: tuple[Release, ...], **changes: Any) -> Stored:
    base = Stored(
        releases=releases,
        builds=builds_of(releases),
        deploys=(),
        live={"env-1": releases[-1].id},
        keep={"env-1": 3},
        artifacts=frozenset(),
        folders=frozenset(),
        sources=frozenset(f"s-{one.build}" for one in releases) | {"orphan"},
        instances=frozenset(),
        processes={},
        free_share=0.5,
        now=at(100),
    )
    return replace(base, **changes)


def gone(of: Stored) -> list[str]:
    return [one.id for one in decide(of).builds]


def test_only_what_can_be_rolled_back_to_is_kept() -> None:
    assert gone(stored(were_live(6))) == ["b-1", "b-2", "b-3"]


def test_a_nearly_full_disk_never_costs_the_rollback_target() -> None:
    assert gone(stored(were_live(6), free_share=0.05)) == ["b-1", "b-2", "b-3", "b-4"]
    assert gone(stored(were_live(6), free_share=0.0, keep={"env-1": 0})) == [
        "b-1", "b-2", "b-3", "b-4",
    ]  # fmt: skip


def test_a_tenth_of_the_disk_is_enough_room() -> None:
    assert gone(stored(were_live(6), free_share=0.10)) == ["b-1", "b-2", "b-3"]
    assert gone(stored(were_live(6), free_share=0.0999)) == ["b-1", "b-2", "b-3", "b-4"]


def test_the_release_before_the_live_one_is_kept_whatever_is_asked_for() -> None:
    assert gone(stored(were_live(4), keep={"env-1": 0})) == ["b-1", "b-2"]
    assert gone(stored(were_live(4), keep={"env-1": 2})) == ["b-1", "b-2"]


def test_each_environment_keeps_its_own() -> None:
    elsewhere = release(
        "r-9", environment="env-2", build="b-1", state=ReleaseState.RETIRED,
        live_at=at(1), left_at=at(2),
    )  # fmt: skip
    both = stored((elsewhere, *were_live(4)), keep={"env-1": 2, "env-2": 2})
    assert gone(replace(both, live={"env-1": "r-4", "env-2": None})) == ["b-2"]


@pytest.mark.parametrize("state", [ReleaseState.RUNNING, ReleaseState.PENDING])
def test_what_runs_or_is_about_to_is_kept(state: ReleaseState) -> None:
    first, *others = were_live(5)
    assert gone(stored((first, *others))) == ["b-1", "b-2"]
    assert gone(stored((replace(first, state=state), *others))) == ["b-2"]
    new = release("r-new", build="b-1", state=state)
    assert gone(stored((new, first, *others))) == ["b-2"]


def test_the_live_release_is_kept_even_when_nothing_of_it_runs() -> None:
    returned_to = stored(were_live(5), live={"env-1": "r-1"})
    assert gone(returned_to) == ["b-2"]


@pytest.mark.parametrize(
    ("state", "goes"),
    [
        (BuildState.BUILDING, False),
        (BuildState.BUILT, True),
        (BuildState.READY, True),
        (BuildState.FAILED, False),
        (BuildState.GONE, False),
    ],
)
def test_only_a_build_that_has_an_artifact_can_lose_it(state: BuildState, goes: bool) -> None:
    old = build(id="b-old", state=state, created_at=at(0))
    later = stored(were_live(1), builds=(old,), now=T0 + timedelta(days=2))
    assert gone(later) == (["b-old"] if goes else [])


def test_what_a_deploy_works_on_is_kept() -> None:
    rollback = deploy(Step.START, release="r-1", build="b-1")
    assert "b-1" not in gone(stored(were_live(6), deploys=(rollback,)))


def test_what_a_deploy_may_return_to_is_kept() -> None:
    switching = deploy(Step.SWITCH, release="r-6", previous_release="r-1", build="b-6")
    assert "b-1" not in gone(stored(were_live(6), deploys=(switching,)))


def test_an_unused_build_is_kept_for_a_day() -> None:
    fresh = build(id="b-new", state=BuildState.READY, created_at=at(0))
    with_new = stored(were_live(1), builds=(fresh,))
    assert gone(with_new) == []
    assert gone(replace(with_new, now=T0 + timedelta(hours=24))) == []
    assert gone(replace(with_new, now=T0 + timedelta(hours=24, seconds=1))) == ["b-new"]
    held = replace(with_new, deploys=(deploy(Step.RELEASE, build="b-new"),))
    assert gone(replace(held, now=T0 + timedelta(hours=25))) == []


def test_snapshots_go_with_their_builds() -> None:
    assert decide(stored(were_live(4))).sources == ("orphan", "s-b-1")
    again = deploy(Step.BUILD, source_digest="s-b-1")
    assert decide(stored(were_live(4), deploys=(again,))).sources == ("orphan",)


def test_a_folder_goes_when_its_build_and_what_works_in_it_are_done() -> None:
    story = stored(
        were_live(1),
        builds=(
            build(id="b-1", state=BuildState.READY),
            build(id="b-2", state=BuildState.BUILDING),
            build(id="b-3", state=BuildState.BUILT),
            build(id="b-4", state=BuildState.READY),
        ),
        folders=frozenset({"b-1", "b-2", "b-3", "b-4", "b-failed"}),
        processes={"test-b-4": running("test-b-4"), "build-b-1": exited("build-b-1")},
    )
    assert decide(story).folders == ("b-1", "b-failed")
    still_built = replace(story, processes={"build-b-1": running("build-b-1")})
    assert decide(still_built).folders == ("b-4", "b-failed")


def test_artifacts_that_no_build_knows_go() -> None:
    known = build(id="b-1", state=BuildState.READY, artifact_digest="a-1")
    story = stored(were_live(1), builds=(known,), artifacts=frozenset({"a-1", "a-lost"}))
    assert decide(story).artifacts == ("a-lost",)


def test_logs_of_ended_processes_go_after_days_and_never_those_in_use() -> None:
    ended = {f"i-{number}": exited(f"i-{number}", ended_at=at(0)) for number in range(3)}
    story = stored(
        were_live(1),
        processes={**ended, "i-9": running("i-9")},
        instances=frozenset({"i-1"}),
        now=T0 + timedelta(days=4),
    )
    assert set(decide(story).processes) == {"i-0", "i-2"}


def test_logs_are_kept_for_three_days_from_the_end() -> None:
    processes = {
        "i-1": exited("i-1", ended_at=at(0)),
        "i-2": exited("i-2", started_at=at(0), ended_at=at(1)),
        "i-3": exited("i-3", started_at=at(0), ended_at=None),
    }
    for seconds, gone_now in ((0, ()), (1, ("i-1", "i-3")), (2, ("i-2", "i-1", "i-3"))):
        now = T0 + timedelta(days=3, seconds=seconds)
        assert decide(stored(were_live(1), processes=processes, now=now)).processes == gone_now


def test_only_the_newest_three_hundred_logs_are_kept() -> None:
    processes = {f"i-{number}": exited(f"i-{number}", ended_at=at(number)) for number in range(301)}
    assert decide(stored(were_live(1), processes=processes)).processes == ("i-0",)
    del processes["i-7"]
    assert decide(stored(were_live(1), processes=processes)).processes == ()


def test_logs_of_what_a_deploy_works_on_are_in_use() -> None:
    names = ("build-b-1", "test-b-1", "migrate-dep-1", "build-b-2", "migrate-dep-2")
    processes = {name: exited(name) for name in names}
    later = stored(
        were_live(1),
        processes=processes,
        deploys=(deploy(Step.MIGRATE, build="b-1"),),
        now=T0 + timedelta(days=4),
    )
    assert set(decide(later).processes) == {"build-b-2", "migrate-dep-2"}


PATIENCE = Patience(keep_warm_s=600, requests_s=30, streams_s=60, skew_s=0)


def retired(
    now: float,
    active: dict[str, int],
    held: tuple[str, ...] = (),
    *,
    skew_s: float = 0,
    asked: dict[str, float] | None = None,
) -> list[str]:
    releases = (
        release("r-1", left_at=at(0)),
        release("r-2", left_at=at(20)),
        release("r-3"),
        release("r-0", state=ReleaseState.RETIRED, left_at=at(0)),
    )
    patience = replace(PATIENCE, skew_s=skew_s)
    found = to_retire(
        releases,
        live={"env-1": "r-3"},
        held=frozenset(held),
        active_requests=active,
        asked_at={name: at(seconds) for name, seconds in (asked or {}).items()},
        patience={one.id: patience for one in releases},
        now=at(now),
    )
    return [one.id for one in found]


def test_a_release_stops_when_no_client_asks_for_it_and_at_its_deadline_whoever_asks() -> None:
    assert retired(9, {}) == []
    assert retired(10, {}) == ["r-1"]
    assert retired(59, {"r-1": 2}) == []
    assert retired(60, {"r-1": 2}) == ["r-1"]


def test_the_release_before_the_live_one_stays_warm() -> None:
    assert retired(619, {}) == ["r-1"]
    assert retired(620, {}) == ["r-1", "r-2"]


def test_a_deploy_holds_its_releases() -> None:
    assert retired(1000, {}, held=("r-1", "r-2")) == []


def test_an_older_release_runs_on_while_pages_of_it_ask() -> None:
    assert retired(299, {}, skew_s=300) == []
    assert retired(300, {}, skew_s=300) == ["r-1"]
    assert retired(599, {}, skew_s=300, asked={"r-1": 300}) == []
    assert retired(600, {}, skew_s=300, asked={"r-1": 300}) == ["r-1"]
    assert "r-1" in retired(86_400, {}, skew_s=300, asked={"r-1": 86_399}), "a day at most"


def test_only_three_older_releases_run_for_their_pages() -> None:
    older = [release(f"r-{number}", left_at=at(number)) for number in range(5)]
    found = to_retire(
        [*older, release("r-live")],
        live={"env-1": "r-live"},
        held=frozenset(),
        active_requests={},
        asked_at={},
        patience={one.id: replace(PATIENCE, skew_s=900) for one in [*older, release("r-live")]},
        now=at(30),
    )
    assert [one.id for one in found] == ["r-0", "r-1"]


def test_logs_of_scheduled_commands_are_kept_by_their_number() -> None:
    """So many of every minute would push what other processes printed out, and a yearly one would lose its own."""
    names = [f"cron-env-1-tidy-{number}" for number in range(400)]
    processes = {name: exited(name, ended_at=at(0)) for name in names}
    processes["i-1"] = exited("i-1", ended_at=at(0))
    processes["cron-env-1-tidy-400"] = running("cron-env-1-tidy-400")
    story = replace(
        stored(were_live(1), processes=processes, now=at(60)), cron_runs=frozenset(names[-20:])
    )
    assert set(decide(story).processes) == set(names[:-20])
    old = replace(story, now=at(86_400 * 30))
    assert set(decide(old).processes) == {*names[:-20], "i-1"}
