"""What is recorded of a control plane that answers, hangs or is dead; waiting for it; and faults as they are injected."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from pydantic import BaseModel

from gantry.drill import wait
from gantry.drill.control import ControlClient
from gantry.drill.injector import FaultInjector
from gantry.drill.observed import (
    Answers,
    CandidateShare,
    Copies,
    EdgeOutage,
    Failure,
    InjectedFault,
    Order,
    ProcessRun,
    StageOutcome,
    Switch,
    VisitorHistory,
    VisitorKind,
)
from gantry.drill.recording import Recording, Watch
from gantry.drill.schedule import Fault, ScheduledFault
from gantry.drill.scratch import Platform
from gantry.features.deploys.bodies import DeployBody
from gantry.features.instances.bodies import InstanceBody
from gantry.features.platform.bodies import EnvironmentBody, StatusBody
from gantry.features.rollouts.bodies import RolloutBody
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import TransientError
from tests.fakes.machine import Machine
from tests.fakes.runtime import FakeRuntime
from tests.support.bodies import NOW, deploy, failed, instance, release, status, succeeded

DEPLOY = deploy().id


def rollout(state: str = "running", **changes: Any) -> RolloutBody:
    """A mirror that passed and a stage of 5 % that goes on; another of 50 % waits."""
    stages = [
        {"kind": "mirror", "percent": 0, "time_s": 2, "state": "done"},
        {"kind": "canary", "percent": 5, "time_s": 5, "state": "running"},
        {"kind": "canary", "percent": 50, "time_s": 6, "state": "waiting"},
    ]
    values = {
        "id": "rol-1",
        "project": "drill",
        "environment": "production",
        "deploy": DEPLOY,
        "candidate": "rel-03",
        "candidate_number": 3,
        "current": "rel-02",
        "current_number": 2,
        "state": state,
        "stages": stages,
        "stage": 1,
        "approval": False,
        "verdict": None,
        "started_at": NOW,
        "ended_at": None,
        "elapsed_s": 5.0,
    }
    return RolloutBody.model_validate({**values, **changes})


def environment(**changes: Any) -> EnvironmentBody:
    """Two healthy instances of what is live, and reached."""
    found = status().projects[0].environments[0]
    instances = (instance(), instance(id="ins-2", slot=1))
    return found.model_copy(update={"instances": instances, "deploy": succeeded(), **changes})


@dataclass
class ControlPlane:
    """Answers a drill's questions; `None` says nothing.

    Attributes:
        asked: paths, in order.
    """

    deploy: DeployBody | None = field(default_factory=deploy)
    rollout: RolloutBody | None = field(default_factory=rollout)
    environment: EnvironmentBody | None = field(default_factory=environment)
    is_dead: bool = False
    asked: list[str] = field(default_factory=list)

    def client(self) -> ControlClient:
        transport = httpx.MockTransport(self._answer)
        return ControlClient(httpx.AsyncClient(transport=transport, base_url="http://gantry"))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if self.is_dead:
            raise httpx.ConnectError("nobody is there")
        body = self._body(request.url.path.removeprefix("/api/v1"))
        if body is None:
            return httpx.Response(404, json={})
        return httpx.Response(200, content=body.model_dump_json())

    def _body(self, path: str) -> BaseModel | None:
        if path == "/status":
            return self._status() if self.environment is not None else None
        return self.rollout if path.endswith("/rollout") else self.deploy

    def _status(self) -> StatusBody:
        project = status().projects[0].model_copy(update={"environments": (self.environment,)})
        return status(projects=(project,))


async def test_a_dead_control_plane_says_nothing() -> None:
    control = ControlPlane(is_dead=True).client()
    assert await control.deploy(DEPLOY) is None
    assert await control.deploys() is None
    assert await control.environment() is None
    assert await control.rollout_of(DEPLOY) is None


async def test_a_rollout_is_that_of_the_deploy_or_none() -> None:
    control = ControlPlane().client()
    assert await control.rollout_of(DEPLOY) == (rollout(),)
    assert await control.rollout_of("dep-other") == ()
    assert await ControlPlane(rollout=None).client().rollout_of(DEPLOY) == ()


@pytest.mark.parametrize(
    ("found", "share"),
    [
        (None, CandidateShare(7.0, 0.0)),
        (rollout(), CandidateShare(7.0, 5.0)),
        (rollout(stage=0), CandidateShare(7.0, 0.0)),
        (rollout("passed"), CandidateShare(7.0, 100.0)),
        (rollout("failed"), CandidateShare(7.0, 0.0, taken_back=True)),
        (rollout("aborted"), CandidateShare(7.0, 0.0, taken_back=True)),
    ],
)
async def test_the_share_is_recorded_as_the_control_plane_says_it(
    found: RolloutBody | None, share: CandidateShare
) -> None:
    watch = Watch(ControlPlane(rollout=found).client(), DEPLOY, now_s=lambda: 7.0)
    await watch.observe()
    assert watch.shares == [share]


async def test_the_end_of_the_deploy_is_recorded_when_it_is_observed_first() -> None:
    plane, times = ControlPlane(), iter(range(100))
    watch = Watch(plane.client(), DEPLOY, now_s=lambda: float(next(times)))
    await watch.observe()
    assert (watch.ended_s, watch.candidate) == (None, "")
    plane.deploy = succeeded()
    await watch.observe()
    await watch.observe()
    assert (watch.ended_s, watch.candidate) == (2.0, "rel-03")


async def test_what_a_dead_control_plane_does_not_say_is_not_recorded() -> None:
    plane = ControlPlane()
    watch = Watch(plane.client(), DEPLOY, now_s=lambda: 1.0)
    await watch.observe_instances()
    plane.is_dead = True
    await watch.observe()
    await watch.observe_instances()
    assert watch.shares == []
    assert len(watch.instances) == 2


async def test_waiting_ends_with_the_first_answer() -> None:
    plane = ControlPlane(deploy=failed())
    control = plane.client()
    assert await wait.ended(control, DEPLOY) == failed()
    assert (await wait.settled(control)).live == release()
    assert (await wait.at_rest(control)).live == release()
    assert len(plane.asked) == 3


async def test_waiting_asks_again_until_there_is_an_answer() -> None:
    answers = iter([None, None, 7])

    async def ask() -> int | None:
        return next(answers)

    assert await wait.until(ask, 60.0, interval_s=0.0) == 7


async def test_what_does_not_come_in_time_is_told_as_it_is() -> None:
    plane = ControlPlane(environment=environment(reached=None))
    control = plane.client()
    assert await wait.ended(control, DEPLOY, timeout_s=-1.0) == deploy()
    assert (await wait.settled(control, timeout_s=-1.0)).reached is None


@pytest.mark.parametrize(
    "changes",
    [
        {"reached": None},
        {"live": None},
        {"instances": (instance(),)},
        {"instances": (instance(), instance(state="starting"))},
        {"instances": (instance(), instance(release="rel-02"))},
        {"deploy": deploy()},
    ],
)
async def test_a_platform_that_does_not_come_to_rest_is_refused(changes: dict[str, Any]) -> None:
    control = ControlPlane(environment=environment(**changes)).client()
    with pytest.raises(TransientError) as caught:
        await wait.at_rest(control, timeout_s=-1.0)
    assert caught.value.code == "drill.not-settled"


async def test_a_control_plane_that_never_answers_is_an_error() -> None:
    control = ControlPlane(is_dead=True).client()
    with pytest.raises(TransientError) as caught:
        await wait.answer(control.deploys, timeout_s=-1.0)
    assert caught.value.code == "drill.no-answer"


LOAD: dict[str, Any] = {
    "requests": 40,
    "slowest_s": 0.5,
    "cache_hits": 3,
    "timeline": {"1020": {"rel-03": 1}, "1010": {"rel-02": 2}},
    "failed": [[103.0, "status 503", "edge", 102.5, "7-40"]],
    "histories": [["regulars", [[101.0, "rel-02"], [104.0, "rel-03"]], "", True]],
    "runs": [
        ["a", "rel-02", 4001, 99.0, 105.0, 104.0],
        ["b", "rel-03", 4002, 101.0, 105.0, None],
    ],
    "orders": [["7-40", 102.75, "a"]],
    "copies": [["rel-03", "GET", 9]],
}


def test_all_times_count_from_the_request_of_the_deploy() -> None:
    late, early = (
        InjectedFault(Fault.EDGE_KILLED, 5.0, 5.0, "pid 7"),
        InjectedFault(Fault.CONTROL_HANGS, 2.0, 4.0, "pid 8"),
    )
    outages = (EdgeOutage(5.0, 5.5),)
    recording = Recording(
        t0_s=100.0,
        ended_s=20.0,
        previous="rel-02",
        deploy=failed(release="rel-03"),
        rollout=rollout("failed"),
        after=environment(),
        shares=(CandidateShare(1.0, 5.0),),
        outages=outages,
        injected=(late, early),
    )
    observed = recording.observed(LOAD, took_s=30.0)
    assert (observed.previous, observed.candidate) == ("rel-02", "rel-03")
    assert (observed.deploy, observed.deploy_ended, observed.rollout) == ("failed", True, "failed")
    assert (observed.live, observed.served_by) == ("rel-03", "rel-03")
    assert observed.answers == (Answers(1.0, {"rel-02": 2}), Answers(2.0, {"rel-03": 1}))
    assert observed.failures == (Failure(3.0, "status 503", "edge", 2.5, "7-40"),)
    assert observed.histories == (
        VisitorHistory(
            VisitorKind.REGULAR, (Switch(1.0, "rel-02"), Switch(4.0, "rel-03")), cookie=True
        ),
    )
    assert observed.runs == (
        ProcessRun("a", "rel-02", 4001, -1.0, 5.0, 4.0),
        ProcessRun("b", "rel-03", 4002, 1.0, 5.0, None),
    )
    assert observed.orders == (Order("7-40", 2.75, "a"),)
    assert observed.copies == (Copies("rel-03", "GET", 9),)
    assert observed.stages == (
        StageOutcome(0.0, mirror=True, done=True),
        StageOutcome(5.0, done=False),
        StageOutcome(50.0, done=False),
    )
    assert observed.injected == (early, late)
    assert observed.outages == outages
    assert (observed.requests, observed.cache_hits, observed.slowest_s) == (40, 3, 0.5)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing for a minute."""
    with subprocess.Popen(["sleep", "60"]) as sleeping:
        yield sleeping
        sleeping.kill()


def injector(directory: Path, *instances: InstanceBody) -> FaultInjector:
    """Of a platform where no engine runs and no disk can be filled."""
    clock_file = directory / "clock"
    clock_file.write_text("30")
    plane = ControlPlane(environment=environment(instances=instances))

    async def edge_answers() -> bool:
        return True

    return FaultInjector(
        Platform(directory, 0, 0),
        FakeRuntime(Machine(ManualClock(NOW))),
        None,
        clock_file,
        watch=Watch(plane.client(), DEPLOY, now_s=lambda: 1.0),
        edge_answers=edge_answers,
        live="rel-03",
    )


async def test_a_killed_instance_is_dead_and_known_by_its_port(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    injecting = injector(tmp_path, instance(release="rel-02"), instance(pid=process.pid))
    await injecting.inject(ScheduledFault(Fault.INSTANCE_KILLED, 0.0))
    assert process.wait(timeout=10) == -9
    (injected,) = injecting.injected
    assert (injected.hit, injected.release, injected.port) == (True, "rel-03", 31001)


async def test_an_instance_that_hangs_continues_afterwards(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    injecting = injector(tmp_path, instance(pid=process.pid))
    await injecting.inject(ScheduledFault(Fault.INSTANCE_HANGS, 0.0, lasts_s=0.0))
    assert process.poll() is None
    assert psutil.Process(process.pid).status() != psutil.STATUS_STOPPED
    assert injecting.injected[0].hit


async def test_what_has_just_ended_is_not_hit(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    process.kill()
    process.wait(timeout=10)
    injecting = injector(tmp_path, instance(pid=process.pid))
    await injecting.inject(ScheduledFault(Fault.INSTANCE_KILLED, 0.0))
    (injected,) = injecting.injected
    assert not injected.hit
    assert "had just ended" in injected.detail


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        (Fault.INSTANCE_KILLED, "no instance of it was running"),
        (Fault.CANDIDATE_KILLED, "no instance of it was running"),
        (Fault.SYSTEM_DATABASE_KILLED, "it was not running"),
        (Fault.EDGE_KILLED, "it was not running"),
        (Fault.DISK_FULL, "no disk can be mounted on this machine"),
    ],
)
async def test_a_fault_without_a_target_is_recorded_as_such(
    tmp_path: Path, fault: Fault, detail: str
) -> None:
    injecting = injector(tmp_path)
    await injecting.inject(ScheduledFault(fault, 0.0))
    assert injecting.injected == [InjectedFault(fault, 1.0, 1.0, detail, hit=False)]
    assert injecting.outages == []


async def test_the_clock_goes_forward_by_more_each_time(tmp_path: Path) -> None:
    injecting = injector(tmp_path)
    await injecting.inject(ScheduledFault(Fault.CLOCK_FORWARD, 0.0, jump_s=60.0))
    await injecting.inject(ScheduledFault(Fault.CLOCK_FORWARD, 0.0, jump_s=5.0))
    assert float((tmp_path / "clock").read_text()) == 95.0
    assert [path.name for path in tmp_path.iterdir()] == ["clock"]
