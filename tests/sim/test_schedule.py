"""Scheduled commands on a machine of glass."""

import random

import pytest

from gantry.engines.database.postgres import PostgresDatabase
from gantry.engines.database.protocol import Row
from gantry.features.crons.act import CronScheduler, last_due
from gantry.features.probes.public import PublicProbe
from gantry.kernel.clock import ManualClock
from gantry.kernel.ids import SeededIds
from gantry.kernel.tasks import TaskSet
from tests.fakes.machine import Machine
from tests.fakes.probes import FakeProber
from tests.fakes.programs import Program
from tests.sim.platform import Platform
from tests.support.stories import at

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
