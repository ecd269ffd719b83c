"""Scheduled commands on a machine of glass: by the schedule, by hand, and what people see of their runs."""

import random
from collections.abc import AsyncIterator

import httpx
import pytest

from gantry.engines.database.postgres import PostgresDatabase
from gantry.engines.database.protocol import Row
from gantry.engines.probes.protocol import ProbeResult
from gantry.features.accounts.model import Role
from gantry.features.audit import store as audit
from gantry.features.crons import store
from gantry.features.crons.act import CronScheduler
from gantry.features.crons.bodies import CronOutputBody, CronRunBody
from gantry.features.crons.model import RunState, run_at
from gantry.features.crons.rules import BUSY, last_due, next_due
from gantry.features.crons.store import MAX_OUTPUTS, MAX_RUNS
from gantry.features.probes.public import PublicProbe
from gantry.kernel.clock import ManualClock
from gantry.kernel.ids import SeededIds
from gantry.kernel.tasks import TaskSet
from tests.fakes.machine import Machine
from tests.fakes.probes import FakeProber
from tests.fakes.programs import Program
from tests.sim.platform import HOST, Platform
from tests.support.stories import at
from tests.support.web import console_of

_API = "/api/v1/projects/{project}/environments/{environment}/crons"
ROLES = {
    f"GET {_API}": Role.VIEWER,
    f"GET {_API}/{{cron}}/runs": Role.VIEWER,
    f"POST {_API}/{{cron}}/runs": Role.DEVELOPER,
    f"GET {_API}/{{cron}}/runs/latest": Role.VIEWER,
    f"GET {_API}/{{cron}}/runs/{{run}}": Role.VIEWER,
}
AT = _API.format(project="shop", environment="production")
PAGE = "/projects/shop/production/crons"

MANIFEST = """
[project]
name = "shop"
[processes.web]
health = { path = "/health" }
[processes.cron.tidy]
command = "node tidy.mjs"
schedule = "*/5 * * * *"
timeout = "15m"
[processes.cron.call]
path = "/api/cron"
schedule = "*/10 * * * *"
[environments.production]
"""


def test_a_moment_is_due_once() -> None:
    every_five = "*/5 * * * *"
    assert last_due(every_five, at(1), at(299)) is None
    assert last_due(every_five, at(299), at(300)) == at(300)
    assert last_due(every_five, at(300), at(301)) is None
    assert last_due(every_five, at(0), at(1300)) == at(1200), "what was missed is not made up for"
    assert next_due(every_five, at(299)) == at(300)
    assert next_due(every_five, at(300)) == at(600)


@pytest.fixture
async def scheduled(database: PostgresDatabase) -> tuple[Platform, CronScheduler]:
    machine = Machine(ManualClock(), random.Random(3))
    platform = Platform(database, machine, SeededIds(3))
    source = platform.sources.put(Program(manifest=MANIFEST))
    await platform.finish((await platform.request(source)).id)
    launcher = platform.plane.launcher
    probe = PublicProbe(FakeProber(machine.probe), platform.plane.host_names, "127.0.0.1")
    return platform, CronScheduler(
        database, platform.runtime, launcher, probe, TaskSet(), machine.clock
    )


async def _runs(platform: Platform) -> list[Row]:
    async with platform.database.transaction() as session:
        return await session.rows(
            "SELECT cron, state, detail FROM cron_runs ORDER BY scheduled_for, cron"
        )


async def test_commands_and_calls_run_when_they_are_due(
    scheduled: tuple[Platform, CronScheduler],
) -> None:
    platform, schedule = scheduled
    await schedule.once()
    for _ in range(130):
        await platform.tick(5.0)
        await schedule.once()
        await schedule.tasks.join()
        for key in [one for one in platform.machine.processes if one.startswith("cron-")]:
            platform.machine.finish(key)
    runs = [(row["cron"], row["state"], row["detail"]) for row in await _runs(platform)]
    assert runs.count(("tidy", "succeeded", "exited with 0")) == 2
    assert ("call", "succeeded", "status 200") in runs


async def test_a_run_that_lasts_keeps_the_next_one_away(
    scheduled: tuple[Platform, CronScheduler],
) -> None:
    platform, schedule = scheduled
    await schedule.once()
    platform.machine.pass_time(300.0)
    await schedule.once()
    platform.machine.pass_time(300.0)
    await schedule.once()
    await schedule.tasks.join()
    states = [row["state"] for row in await _runs(platform) if row["cron"] == "tidy"]
    assert states == ["running", "skipped"]


@pytest.fixture
async def owner(scheduled: tuple[Platform, CronScheduler]) -> AsyncIterator[httpx.AsyncClient]:
    async with console_of(scheduled[0].plane) as http:
        yield http


async def _asked(owner: httpx.AsyncClient, cron: str) -> CronRunBody:
    answer = await owner.post(f"{AT}/{cron}/runs")
    assert answer.status_code == 202, answer.text
    return CronRunBody.model_validate_json(answer.content)


async def _read(owner: httpx.AsyncClient, cron: str, run: str) -> CronOutputBody:
    answer = await owner.get(f"{AT}/{cron}/runs/{run}")
    assert answer.status_code == 200, answer.text
    return CronOutputBody.model_validate_json(answer.content)


async def test_a_run_by_hand_is_started_once_and_its_output_is_read(
    scheduled: tuple[Platform, CronScheduler], owner: httpx.AsyncClient
) -> None:
    platform, schedule = scheduled
    run = await _asked(owner, "tidy")
    assert (run.state, run.asked_by) == ("asked", "ada")
    assert await platform.plane.crons_due.wait(0, platform.machine.clock), "the scheduler is told"
    await schedule.once()
    await schedule.once()
    (key,) = [key for key in platform.machine.processes if key.startswith("cron-")]
    platform.machine.say(key, "3 rows tidied\n")
    shown = await _read(owner, "tidy", "latest")
    assert (shown.run.id, shown.run.state, shown.text) == (
        run.id,
        "running",
        "listening\n3 rows tidied\n",
    )
    platform.machine.pass_time(4.0)
    platform.machine.finish(key)
    await schedule.once()
    shown = await _read(owner, "tidy", run.id)
    assert (shown.run.state, shown.run.detail, shown.run.elapsed_s) == (
        "succeeded",
        "exited with 0",
        4.0,
    )
    assert (shown.text, shown.kept) == ("listening\n3 rows tidied\n", True)
    async with platform.database.transaction() as session:
        (entry, *_) = await audit.latest(session, limit=1)
    assert (entry.actor, entry.action, entry.details["cron"]) == ("ada", "cron.run", "tidy")


async def test_what_a_path_answered_is_kept_with_its_run(
    scheduled: tuple[Platform, CronScheduler], owner: httpx.AsyncClient
) -> None:
    _, schedule = scheduled
    prober = schedule.probe.prober
    assert isinstance(prober, FakeProber)
    prober.answers[HOST] = ProbeResult(200, 0.1, body="3 mails\0")
    run = await _asked(owner, "call")
    await schedule.once()
    await schedule.tasks.join()
    shown = await _read(owner, "call", run.id)
    assert (shown.run.state, shown.run.detail) == ("succeeded", "status 200")
    assert (shown.text, shown.kept) == ("3 mails\ufffd", True)


async def test_a_run_by_hand_minds_the_overlap_and_may_begin_twice_a_second(
    scheduled: tuple[Platform, CronScheduler], owner: httpx.AsyncClient
) -> None:
    platform, schedule = scheduled
    first, second = await _asked(owner, "tidy"), await _asked(owner, "tidy")
    platform.machine.pass_time(0.001)
    third = await _asked(owner, "tidy")
    assert len({first.id, third.id}) == 2
    await schedule.once()
    answer = await owner.get(f"{AT}/tidy/runs")
    states = {body["id"]: (body["state"], body["detail"]) for body in answer.json()}
    assert states[first.id] == ("running", "")
    assert states[third.id] == ("skipped", BUSY)
    assert second.id == first.id, "one moment is one run"


async def test_what_does_not_start_has_failed_and_says_why(
    scheduled: tuple[Platform, CronScheduler], owner: httpx.AsyncClient
) -> None:
    platform, schedule = scheduled
    run = await _asked(owner, "tidy")
    platform.machine.artifacts.clear()
    await schedule.once()
    shown = await _read(owner, "tidy", run.id)
    assert shown.run.state == "failed"
    assert shown.run.detail.startswith("did not start: ")
    # The scheduler goes on with the next one.
    call = await _asked(owner, "call")
    await schedule.once()
    await schedule.tasks.join()
    shown = await _read(owner, "call", call.id)
    assert shown.run.state == "failed"
    assert shown.run.detail.startswith("was not asked: ")


async def test_a_command_that_is_gone_is_not_waited_for(
    scheduled: tuple[Platform, CronScheduler], owner: httpx.AsyncClient
) -> None:
    platform, schedule = scheduled
    run = await _asked(owner, "tidy")
    without = MANIFEST.replace("processes.cron.tidy", "processes.cron.sweep")
    source = platform.sources.put(Program(manifest=without))
    await platform.finish((await platform.request(source)).id)
    await schedule.once()
    shown = await _read(owner, "tidy", run.id)
    assert (shown.run.state, shown.run.detail) == (
        "failed",
        "the live release has no such cron any more",
    )
    page = await owner.get(f"{PAGE}/tidy")
    assert "has no cron of this name any more" in page.text


async def test_what_is_not_there_is_refused_in_words(
    scheduled: tuple[Platform, CronScheduler], owner: httpx.AsyncClient
) -> None:
    for path, code in (
        ("/sweep/runs", "cron.unknown"),
        ("/sweep/runs/latest", "cron.unknown"),
        ("/tidy/runs/latest", "cron.no-run"),
        ("/tidy/runs/20260101000000", "cron.no-run"),
    ):
        answer = await owner.get(AT + path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, code), path
    answer = await owner.post(f"{AT}/sweep/runs")
    assert answer.json()["error"]["code"] == "cron.unknown"
    assert "call, tidy" in answer.json()["error"]["hint"]
    assert (await owner.get(f"{AT}/tidy/runs/..%2fx")).status_code in (400, 404)
    other = AT.replace("production", "staging")
    assert (await owner.post(f"{other}/tidy/runs")).status_code in (404, 409)


async def test_the_pages_show_commands_runs_and_output(
    scheduled: tuple[Platform, CronScheduler], owner: httpx.AsyncClient
) -> None:
    platform, schedule = scheduled
    page = await owner.get(PAGE)
    assert page.status_code == 200
    for text in ("tidy", "node tidy.mjs", "GET /api/cron", "*/5 * * * *", "Not run yet"):
        assert text in page.text, text
    button = await owner.post(f"{PAGE}/tidy/run", follow_redirects=False)
    assert button.status_code == 303
    await schedule.once()
    (key,) = [key for key in platform.machine.processes if key.startswith("cron-")]
    platform.machine.say(key, "<b>3 rows</b>\n")
    shown = await owner.get(button.headers["location"])
    assert "Running" in shown.text
    assert "&lt;b&gt;3 rows&lt;/b&gt;" in shown.text
    assert "ada" in shown.text
    environment = await owner.get("/projects/shop/production")
    assert f'href="{PAGE}"' in environment.text


async def test_many_runs_are_forgotten_but_the_newest(
    scheduled: tuple[Platform, CronScheduler],
) -> None:
    platform, _ = scheduled
    async with platform.database.transaction() as session:
        (environment, *_) = [
            row["id"]
            for row in await session.rows("SELECT id FROM environments WHERE live_release <> ''")
        ]
        for number in range(MAX_RUNS + 3):
            run = run_at(environment, "tidy", at(60 * number))
            await store.claim(session, run, skipped="", at=at(60 * number))
            if number:  # the oldest still runs
                await store.set_ended(
                    session, run, RunState.SUCCEEDED, detail="", at=at(60 * number)
                )
        await store.delete_old(session)
        left = await store.list_runs(session, environment, "tidy", limit=1_000)
        kept = await store.processes_kept(session)
    assert len(left) == MAX_RUNS + 1
    assert left[-1].scheduled_for == at(0)
    newest = {run.process_id for run in left[:MAX_OUTPUTS]}
    assert kept == newest | {left[-1].process_id}
