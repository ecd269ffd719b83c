"""Event streams: deploys and logs as they happen, with secrets masked."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.sse import KEEPALIVE_COMMENT

from gantry.engines.database.protocol import Database
from gantry.engines.runtime.protocol import ProcessSpec
from gantry.features.accounts.model import Role
from gantry.features.deploys import store
from gantry.features.deploys.bodies import DeployEvent
from gantry.features.deploys.model import Deploy, DeployState, Step, StepState
from gantry.features.instances.bodies import LogBody, merged
from gantry.features.platform.bodies import HealthBody
from gantry.kernel.redact import Redactor
from gantry.web import deploy_events
from gantry.web.app import create_app
from gantry.web.errors import TooManyError
from gantry.web.logs import EnvironmentLogs, LogFilter
from gantry.web.streams import (
    BACKLOG_BYTES,
    HEARTBEAT_INTERVAL_S,
    Event,
    Follower,
    Masks,
    Streams,
    event_stream,
)
from tests.fakes.programs import Script
from tests.support.console_seed import crowd, seed
from tests.support.web import START, House, client

_LOGS = "/api/v1/projects/smart-sign/environments/production/logs"


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path)


def _parsed(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], lines["data"]))
    return found


async def _open(house: House) -> httpx.AsyncClient:
    return client(create_app(house.services), token=await house.token(Role.VIEWER))


async def _until_quiet(stream: AsyncIterator[Event | None]) -> list[DeployEvent]:
    """The events of one look."""
    found: list[DeployEvent] = []
    async for event in stream:
        if event is None:
            return found
        body = event[1]
        assert isinstance(body, DeployEvent)
        assert body.event == event[0]
        found.append(body)
    return found


async def test_a_deploy_that_has_ended_is_told_in_one_go(house: House) -> None:
    ids = await seed(house, START)
    async with await _open(house) as http:
        answer = await http.get(f"/api/v1/deploys/{ids['failed']}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [DeployEvent.model_validate_json(data) for _, data in _parsed(answer.text)]
    assert [event.event for event in events] == ["deploy", "log", "end"]
    assert events[1].step == "build"
    assert "next build" in events[1].text
    last = events[-1].deploy
    assert last is not None
    assert last.error is not None
    assert last.error.code == "build.command-failed"


async def _get(house: House, deploy_id: str) -> Deploy:
    async with house.database.transaction() as session:
        return await store.get(session, deploy_id)


async def test_a_running_deploy_is_followed_step_by_step(house: House) -> None:
    ids = await seed(house, START)
    stream = deploy_events.follow(house.services, Masks(house.services), ids["running"])
    first = await _until_quiet(stream)
    assert [event.step for event in first] == [None, "build", "test"]
    assert first[0].deploy is not None
    assert first[0].deploy.step == "test"
    assert await _until_quiet(stream) == [], "nothing but the time has passed"

    deploy = await _get(house, ids["running"])
    async with house.database.transaction() as session:
        build = await session.one("SELECT build FROM deploys WHERE id = %(id)s", {"id": deploy.id})
        assert build is not None
        house.machine.say(f"test-{build['build']}", "38 passed\n")
        await store.advance(
            session, deploy, Step.RELEASE, state=StepState.DONE, detail="38 tests", at=START
        )
    news = await _until_quiet(stream)
    # What the step printed last comes before the news that the next one began.
    assert [event.event for event in news] == ["log", "deploy"]
    assert news[0].text == "38 passed\n"

    deploy = await _get(house, ids["running"])
    async with house.database.transaction() as session:
        error = {"kind": "cancelled", "code": "deploy.cancelled", "message": "cancelled by ada"}
        await store.finish_failed(session, deploy, DeployState.CANCELLED, error, at=START)
    end = await _until_quiet(stream)
    assert [event.event for event in end] == ["deploy", "end"]
    assert [event async for event in stream] == []


async def test_a_stream_ends_when_the_platform_does(house: House) -> None:
    ids = await seed(house, START)
    stream = deploy_events.follow(house.services, Masks(house.services), ids["running"])
    await _until_quiet(stream)
    house.closing = True
    assert [event async for event in stream] == []


async def test_logs_come_with_every_known_secret_masked(house: House) -> None:
    await seed(house, START)
    instance = next(iter(house.machine.processes))
    house.machine.say(instance, "now value-of-session_secret\n")  # the variable as it is
    house.machine.say(instance, "then correct-horse-battery\n")  # as the release still has it
    house.machine.say(instance, "url postgres://u:service-password@h/d\n")  # a service's password
    async with await _open(house) as http:
        bodies = [LogBody.model_validate(each) for each in (await http.get(_LOGS)).json()]
        text = next(body.text for body in bodies if body.source == instance)
        assert text.count("[redacted]") == 3
        assert "GET / 200" in text
        only = await http.get(_LOGS, params={"instance": instance, "tail": "1"})
        assert [body["text"] for body in only.json()] == ["url postgres://u:[redacted]@h/d\n"]
        unknown = await http.get(_LOGS, params={"instance": "ins-none"})
        assert unknown.json()["error"]["code"] == "instance.unknown"


async def test_a_changed_variable_is_masked_from_the_next_look_on(house: House) -> None:
    await seed(house, START)
    instance = next(iter(house.machine.processes))
    masks = Masks(house.services)
    logs = EnvironmentLogs(house.services, masks, "smart-sign", "production", LogFilter(instance))
    await logs.tail(1)
    house.clock.advance(1)
    await house.variables.change(
        "smart-sign", "production", put={"NEW": "brand-new-secret"}, remove=(), by="ada"
    )
    house.machine.say(instance, "brand-new-secret\n")
    assert [body.text for body in await logs.tail(1)] == ["[redacted]\n"]


async def test_followed_logs_go_on_where_they_were(house: House) -> None:
    await seed(house, START)
    instance = next(iter(house.machine.processes))
    logs = EnvironmentLogs(
        house.services, Masks(house.services), "smart-sign", "production", LogFilter(instance)
    )
    stream = logs.follow(1)
    texts: list[str] = []
    async for event in stream:
        if event is None and len(texts) == 1:
            house.machine.say(instance, "one more\n")
        elif event is None:
            house.closing = True
        else:
            assert isinstance(event[1], LogBody)
            texts.append(event[1].text)
    assert texts == ["GET / 200 in 14ms\n", "one more\n"]


async def test_the_step_of_a_rollout_says_how_far_it_is(house: House) -> None:
    await crowd(house, START, projects=1, environments=1, deploys=1)
    async with house.database.transaction() as session:
        (row,) = await session.rows("SELECT deploy FROM rollouts")
    stream = deploy_events.follow(house.services, Masks(house.services), row["deploy"])
    (event, *_) = await _until_quiet(stream)
    assert event.deploy is not None
    (step,) = [step for step in event.deploy.steps if step.name == "rollout"]
    assert step.detail == "stage 1 of 1, 25 % of visitors: no measurements yet"


async def test_lines_are_looked_for_in_everything_that_is_kept(house: House) -> None:
    """By text, time, process and release; also of an instance that is gone."""
    await seed(house, START)
    live = next(iter(house.machine.processes))
    async with house.database.transaction() as session:
        numbers = {
            row["id"]: row["number"]
            for row in await session.rows("SELECT id, number FROM releases")
        }
    old = min(numbers, key=lambda release: numbers[release])
    labels = {
        "project": "smart-sign",
        "environment": "production",
        "release": old,
        "process": "web",
    }
    house.machine.spawn(ProcessSpec("ins-gone", ("program",), {}, "/", labels=labels), Script())
    other = {**labels, "environment": "staging"}
    house.machine.spawn(ProcessSpec("ins-other", ("program",), {}, "/", labels=other), Script())
    house.machine.say("ins-other", "Error of staging\n")
    house.machine.say("ins-gone", "an ERROR\nfine\n")
    await house.runtime.mark_logs()
    began = house.clock.now()
    house.clock.advance(60)
    house.machine.say(live, "another error\nfine too\n")
    await house.runtime.mark_logs()

    async def lines(**query: str | int) -> list[tuple[str, str]]:
        answer = await http.get(_LOGS, params=query)
        assert answer.status_code == 200, answer.text
        bodies = [LogBody.model_validate(body) for body in answer.json()]
        return [(body.source, line.text) for body in merged(bodies) for line in body.lines()]

    async with await _open(house) as http:
        found = await lines(grep="error")
        assert found == [("ins-gone", "an ERROR"), (live, "another error")]
        later = (began + timedelta(seconds=1)).isoformat()
        assert await lines(grep="error", since=later) == [(live, "another error")]
        assert await lines(grep="error", until=later) == [("ins-gone", "an ERROR")]
        assert await lines(release=numbers[old]) == [("ins-gone", "an ERROR"), ("ins-gone", "fine")]
        assert await lines(grep="fine", tail=1) == [("ins-gone", "fine"), (live, "fine too")]
        assert await lines(grep="error", process="worker.mail") == []
        shown = {source for source, _ in await lines()}
        assert "ins-gone" not in shown, "without looking for lines only what is there is shown"
        wrong = await http.get(_LOGS, params={"since": later, "until": began.isoformat()})
        assert wrong.json()["error"]["code"] == "logs.bad-range"
        naive = await http.get(_LOGS, params={"since": "2026-01-31T09:30:00"})
        assert naive.status_code == 400


async def test_lines_are_looked_for_by_how_urgent_they_are(house: House) -> None:
    await seed(house, START)
    live = next(iter(house.machine.processes))
    said = 'ready\n{"level":20,"msg":"why"}\n{"level":40,"msg":"slow"}\nTypeError: no\n    at f\nERROR too\n'
    house.machine.say(live, said)

    async def lines(**query: str | int) -> list[tuple[str, str | None]]:
        answer = await http.get(_LOGS, params={**query, "instance": live})
        assert answer.status_code == 200, answer.text
        bodies = [LogBody.model_validate(body) for body in answer.json()]
        return [(line.text, line.level) for body in bodies for line in body.lines()]

    errors = [("TypeError: no", "error"), ("    at f", "error"), ("ERROR too", "error")]
    async with await _open(house) as http:
        assert await lines(level="error") == errors
        assert await lines(level="warn") == [('{"level":40,"msg":"slow"}', "warn"), *errors]
        assert ("ready", None) in await lines(level="info")
        assert '{"level":20,"msg":"why"}' not in dict(await lines(level="info"))
        assert dict(await lines())['{"level":20,"msg":"why"}'] == "debug"
        assert await lines(level="error", grep="at f") == [("    at f", "error")]
        assert await lines(level="warn", tail=1) == [("ERROR too", "error")]
        assert await lines(level="fatal") == []
        wrong = await http.get(_LOGS, params={"level": "loud"})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "request.invalid")


async def test_what_is_followed_comes_in_the_order_of_time(house: House) -> None:
    await seed(house, START)
    first, second, *_ = [
        body.source
        for body in await EnvironmentLogs(
            house.services, Masks(house.services), "smart-sign", "production"
        ).tail(0)
    ]
    texts: list[tuple[str, str]] = []
    logs = EnvironmentLogs(
        house.services, Masks(house.services), "smart-sign", "production", LogFilter(text="n")
    )
    async for event in logs.follow(0):
        if event is None and not texts:
            for source, text in ((second, "one"), (first, "not two, nor shown"), (second, "none")):
                house.machine.say(source, f"{text}\n")
                await house.runtime.mark_logs()
                house.clock.advance(1)
        elif event is None:
            house.closing = True
        else:
            assert isinstance(event[1], LogBody)
            texts.append((event[1].source, event[1].text))
    assert texts == [(second, "one\n"), (first, "not two, nor shown\n"), (second, "none\n")]


async def test_following_over_http(house: House) -> None:
    await seed(house, START)
    house.closing = True
    async with await _open(house) as http:
        answer = await http.get(_LOGS, params={"follow": "true"})
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.content == KEEPALIVE_COMMENT


async def test_a_late_reader_gets_the_latest_lines_only(house: House) -> None:
    line = "x" * 99 + "\n"
    house.run("big")
    house.machine.say("big", line * 10_000)
    follower = Follower(house.services)
    with_nothing_to_hide = Redactor(())
    body = await follower.first("big", with_nothing_to_hide, lines=5_000)
    assert len(body.text) <= BACKLOG_BYTES + len(line)
    assert body.next_offset == 1_000_000
    assert (await follower.read("big", with_nothing_to_hide)).text == ""


async def test_heartbeats_keep_a_quiet_stream_open(house: House) -> None:
    clock = house.clock

    async def quiet() -> AsyncIterator[Event | None]:
        for _ in range(4):
            clock.advance(HEARTBEAT_INTERVAL_S / 2)
            yield None
        yield "health", HealthBody(status="ok", version="1", pid=1)

    written = [chunk async for chunk in event_stream(quiet(), house.services).body_iterator]
    assert written[:3] == [KEEPALIVE_COMMENT] * 3
    assert len(written) == 4
    last = written[3]
    assert isinstance(last, bytes)
    assert last.startswith(b"event: health\ndata: {")


def test_the_number_of_streams_is_bounded() -> None:
    streams = Streams(limit=2)
    streams.enter()
    streams.enter()
    with pytest.raises(TooManyError):
        streams.enter()
    streams.leave()
    streams.enter()


async def test_a_stream_gives_its_place_back(house: House) -> None:
    ids = await seed(house, START)
    app = create_app(house.services)
    app.state.streams = Streams(limit=1)
    async with client(app, token=await house.token(Role.VIEWER)) as http:
        for _ in range(3):
            answer = await http.get(f"/api/v1/deploys/{ids['failed']}/events")
            assert answer.status_code == 200
        assert app.state.streams.open == 0
        app.state.streams = Streams(limit=0)
        refused = await http.get(f"/api/v1/deploys/{ids['failed']}/events")
        assert refused.status_code == 429
        # Reading without following takes no place.
        assert (await http.get(_LOGS)).status_code == 200
        assert (await http.get(_LOGS, params={"follow": "true"})).status_code == 429


async def test_a_stream_of_what_was_destroyed_breaks_off(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await seed(house, START)
    logs = EnvironmentLogs(house.services, Masks(house.services), "smart-sign", "production")
    async with house.database.transaction() as session:
        await session.execute("DELETE FROM projects")
    stream = event_stream(logs.follow(1), house.services)
    assert [chunk async for chunk in stream.body_iterator] == [KEEPALIVE_COMMENT]
    assert "project.unknown" in caplog.text
