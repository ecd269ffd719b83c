"""Commands by hand on a machine of glass: who may run what, what is written down, and that nothing is left behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gantry.engines.runtime.protocol import ProcessState, Window
from gantry.features.accounts.model import Caller, Role
from gantry.features.audit import store as audit
from gantry.features.runs.bodies import (
    MAX_MESSAGE_BYTES,
    MAX_UNTAKEN_BYTES,
    FromHolder,
    RunBody,
    RunRequest,
    ToHolder,
)
from gantry.features.runs.rules import LEFT, MAX_OPEN_IN_ENVIRONMENT
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import ConflictError, NotFoundError, UserError
from gantry.web.app import create_app
from gantry.web.runs import IDLE_TIMEOUT_S
from tests.fakes.programs import Script
from tests.sim.platform import Platform
from tests.support.web import client

_RUNS = "/api/v1/projects/{project}/environments/{environment}/runs"
ROLES = {
    f"POST {_RUNS}": Role.DEVELOPER,
    f"GET {_RUNS}": Role.VIEWER,
    f"GET {_RUNS}/{{run}}": Role.VIEWER,
    f"POST {_RUNS}/{{run}}/stop": Role.DEVELOPER,
    f"GET {_RUNS}/{{run}}/logs": Role.DEVELOPER,
    f"GET {_RUNS}/{{run}}/events": Role.DEVELOPER,
}
AT = _RUNS.format(project="shop", environment="production")
SHOP = ("shop", "production")
DEADLINE_S = 20.0


async def begin(live: Platform, *command: str, **more: object) -> RunBody:
    request = RunRequest.model_validate({"command": command, **more})
    return await live.plane.runs.begin(*SHOP, request, by="ada", origin="192.0.2.7")


async def entries(live: Platform, count: int) -> list[tuple[str, str, object, object]]:
    async with live.database.transaction() as session:
        found = await audit.latest(session, limit=count)
    return [
        (entry.actor, entry.action, entry.details.get("command"), entry.details.get("exit_code"))
        for entry in reversed(found)
    ]


def scripted(live: Platform, script: Script) -> None:
    """What the commands of this test do."""
    live.machine.scripts = lambda spec: script if spec.id.startswith("run-") else Script()


async def test_a_command_is_run_beside_the_release_and_written_down(live: Platform) -> None:
    scripted(live, Script(exits_after_s=0.0, exit_code=3, output="hello\n"))
    body = await begin(live, "node", "seed.mjs", "--token", "abc")
    run, held = await live.plane.runs.hold(body.id, by="ada", window=Window(), term="")
    spec = live.machine.processes[run.process_id].spec
    assert spec.argv == ("node", "seed.mjs", "--token", "abc")
    assert (spec.cwd, spec.env["GANTRY_ENVIRONMENT"]) == ("/app", "production")
    assert spec.env["DATABASE_URL"].startswith("postgresql://")
    assert "TERM" not in spec.env
    assert [await held.read(), await held.read()] == [("out", b"hello\n"), None]
    ended = await live.plane.runs.finish(run)
    assert (ended.state, ended.exit_code, ended.detail) == ("failed", 3, "exited with 3")
    assert (ended.requested_by, ended.origin) == ("ada", "192.0.2.7")
    shown = "node seed.mjs --token [redacted]"
    assert await entries(live, 2) == [
        ("ada", "run.begin", shown, None),
        ("ada", "run.end", None, 3),
    ]
    # Once, whoever else comes to record it.
    live.plane.runs.let_go(run.id)
    await live.plane.run_keeper.once()
    assert len(await entries(live, 2)) == 2


async def test_a_detached_run_is_started_once_and_its_output_kept(live: Platform) -> None:
    scripted(live, Script(exits_after_s=0.0, output="done\n"))
    body = await begin(live, "npm run index", detach=True)
    await live.plane.run_keeper.once()
    await live.plane.run_keeper.once()
    run, ended = await live.plane.runs.get(*SHOP, body.id)
    assert (ended.state, ended.exit_code) == ("succeeded", 0)
    assert live.machine.spawned.count(run.process_id) == 1
    assert (await live.runtime.read_log(run.process_id)).text == "done\n"


async def test_a_crash_between_start_and_record_starts_nothing_twice(live: Platform) -> None:
    scripted(live, Script())
    body = await begin(live, "sleep 60", detach=True)
    run, _ = await live.plane.runs.get(*SHOP, body.id)
    spec = await live.plane.run_launcher.spec(run, ("sleep 60",))
    await live.runtime.start(spec)
    live.boot(live.database)
    await live.plane.run_keeper.once()
    _, now = await live.plane.runs.get(*SHOP, body.id)
    assert now.state == "running"
    assert live.machine.spawned.count(run.process_id) == 1


async def test_what_a_control_plane_held_ends_with_it(live: Platform) -> None:
    scripted(live, Script(stops_after_s=None))
    body = await begin(live, terminal=True)
    run, _ = await live.plane.runs.hold(body.id, by="ada", window=Window(), term="xterm")
    live.boot(live.database)
    for _ in range(3):
        await live.plane.run_keeper.once()
        live.machine.pass_time(6)
    await live.plane.run_keeper.once()
    _, ended = await live.plane.runs.get(*SHOP, body.id)
    assert (ended.state, ended.detail) == ("failed", LEFT)
    assert (await live.runtime.statuses())[run.process_id].state is ProcessState.EXITED


async def test_nobody_holds_what_is_another_s_or_runs_already(live: Platform) -> None:
    scripted(live, Script())
    body = await begin(live, terminal=True)
    hold = live.plane.runs.hold
    with pytest.raises(NotFoundError):
        await hold(body.id, by="ben", window=Window(), term="")
    await hold(body.id, by="ada", window=Window(), term="")
    with pytest.raises(ConflictError):
        await hold(body.id, by="ada", window=Window(), term="")
    assert live.plane.runs.held[body.id] is not None


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"detach": True}, "run.bad-request"),
        ({"command": ["ls"], "detach": True, "terminal": True}, "run.bad-request"),
        ({"command": ["a\0b"]}, "run.bad-request"),
        ({"command": [""]}, "run.bad-request"),
        ({"command": ["x" * 60_000, "y" * 60_000]}, "run.bad-request"),
        ({"command": ["ls"], "release": 9}, "release.unknown"),
        ({"program": "redis"}, "run.no-service"),
    ],
)
async def test_what_cannot_be_run_is_refused_at_once(
    live: Platform, request_: dict[str, object], code: str
) -> None:
    with pytest.raises(UserError) as refused:
        await live.plane.runs.begin(
            *SHOP, RunRequest.model_validate(request_), by="ada", origin="local"
        )
    assert refused.value.code == code
    assert await live.plane.runs.list(*SHOP, limit=5) == ()


async def test_only_so_many_at_once(live: Platform) -> None:
    body = await begin(live, "sleep 60", detach=True)
    for _ in range(MAX_OPEN_IN_ENVIRONMENT - 1):
        await begin(live, "sleep 60", detach=True)
    with pytest.raises(ConflictError):
        await begin(live, "sleep 60", detach=True)
    await live.plane.runs.stop(*SHOP, body.id, by="ben")
    await live.plane.run_keeper.once()
    await begin(live, "sleep 60", detach=True)


async def test_a_prompt_on_the_database_has_nothing_of_the_product(live: Platform) -> None:
    scripted(live, Script())
    body = await begin(live, "-c", "select 1", program="postgres", read_only=True)
    run, _ = await live.plane.runs.hold(body.id, by="ada", window=Window(), term="")
    spec = live.machine.processes[run.process_id].spec
    assert spec.argv == ("psql", "-c", "select 1")
    assert spec.env["PGOPTIONS"] == "read only"
    assert not {"DATABASE_URL", "GANTRY_RELEASE"} & spec.env.keys()
    assert spec.sandbox is not None
    assert not any(mount.target == "/app" for mount in spec.sandbox.mounts)
    assert body.command == "psql -c 'select 1'"


async def test_a_program_that_does_not_exist_is_named(live: Platform) -> None:
    scripted(live, Script(exists=False))
    body = await begin(live, "nothing", "here")
    with pytest.raises(UserError, match="release 1 has no program 'nothing'"):
        await live.plane.runs.hold(body.id, by="ada", window=Window(), term="")
    _, ended = await live.plane.runs.get(*SHOP, body.id)
    assert ended.state == "failed"
    assert live.plane.runs.held == {}


async def test_an_environment_that_is_destroyed_takes_its_commands_along(live: Platform) -> None:
    scripted(live, Script())
    body = await begin(live, "sleep 60", detach=True)
    await live.plane.run_keeper.once()
    run, _ = await live.plane.runs.get(*SHOP, body.id)
    await live.plane.removals.request(*SHOP, by="ada")
    for _ in range(60):
        await live.tick(1)
    assert (await live.runtime.statuses())[run.process_id].state is not ProcessState.RUNNING


# -- over the WebSocket


@dataclass
class Office:
    """A control plane that is served, and a token for it."""

    live: Platform
    socket: Path
    token: str

    @asynccontextmanager
    async def hold(
        self, run: str, *, token: str = "", query: str = ""
    ) -> AsyncIterator[ClientConnection]:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        uri = f"ws://gantry{AT}/{run}/hold{query}"
        async with unix_connect(str(self.socket), uri, additional_headers=headers) as line:
            yield line


class StandingClock(ManualClock):
    """A clock at which sleepers wait until somebody moves it: real clients come and go meanwhile."""

    async def sleep(self, seconds: float) -> None:
        until_s = self.monotonic_s() + seconds
        while self.monotonic_s() < until_s:
            await asyncio.sleep(0.005)


@pytest.fixture
async def office(live: Platform, tmp_path: Path) -> AsyncIterator[Office]:
    passed_s = live.machine.clock.monotonic_s()
    live.machine.clock = StandingClock(live.machine.clock.now() - timedelta(seconds=passed_s))
    live.machine.clock.advance(passed_s)
    live.boot(live.database)
    config = uvicorn.Config(
        create_app(live.plane.services),
        uds=str(tmp_path / "api.sock"),
        log_config=None,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE_BYTES,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(DEADLINE_S):
        while not server.started:
            await asyncio.sleep(0.01)
    token, _ = await live.plane.accounts.api_token(
        label="ada", role=Role.DEVELOPER, days=1, by=Caller("ada", Role.OWNER)
    )
    yield Office(live, tmp_path / "api.sock", token)
    server.should_exit = True
    await serving


async def told(line: ClientConnection) -> tuple[bytes, ToHolder]:
    """What is printed until something else is said, and that; acknowledgements are passed over."""
    printed = b""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            message = await line.recv()
            if isinstance(message, bytes):
                printed += message[1:]
            elif not (said := ToHolder.model_validate_json(message)).taken:
                return printed, said


async def state_of(live: Platform, run: str) -> RunBody:
    """A run once it has ended; the keeper looks again and again."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            await live.plane.run_keeper.once()
            _, body = await live.plane.runs.get(*SHOP, run)
            if body.finished_at is not None:
                return body
            live.machine.pass_time(1)
            await asyncio.sleep(0.01)


def say(**what: object) -> str:
    return FromHolder.model_validate(what).model_dump_json(exclude_defaults=True)


async def test_a_terminal_is_held_to_the_end(office: Office) -> None:
    live = office.live
    scripted(live, Script(echoes=True, output="$ "))
    body = await begin(live, terminal=True)
    async with office.hold(body.id, query="?rows=30&columns=99&term=xterm-256color") as line:
        await line.send(b"ls\r")
        await line.send(say(rows=20, columns=66))
        await line.send(say(end=True))
        printed, last = await told(line)
    assert printed == b"$ ls\r"
    assert last.ended is not None
    assert (last.ended.exit_code, last.ended.state) == (0, "succeeded")
    (held,) = live.plane.engines.runtime.held.values()  # type: ignore[attr-defined]
    assert held.windows == [Window(30, 99), Window(20, 66)]
    process = next(p for name, p in live.machine.processes.items() if name.startswith("run-"))
    assert process.spec.env["TERM"] == "xterm-256color"
    assert live.plane.runs.held == {}


async def test_who_leaves_ends_the_program(office: Office) -> None:
    scripted(office.live, Script(stops_after_s=0.0, reads=False))
    body = await begin(office.live, "sleep 600")
    async with office.hold(body.id) as line:
        # Also while its input is not read.
        await line.send(b"x" * 1000)
    ended = await state_of(office.live, body.id)
    assert (ended.state, ended.detail) == ("failed", LEFT)


async def test_a_client_that_asks_it_to_stop_learns_of_its_end(office: Office) -> None:
    scripted(office.live, Script(stops_after_s=0.0))
    body = await begin(office.live, "sleep 600")
    async with office.hold(body.id) as line:
        await line.send(say(stop=True))
        _, last = await told(line)
    assert last.ended is not None
    assert last.ended.detail == "stopped by ada"


async def test_an_idle_terminal_is_closed(office: Office) -> None:
    live = office.live
    scripted(live, Script(stops_after_s=0.0))
    body = await begin(live, terminal=True)
    async with office.hold(body.id) as line:
        while not live.plane.runs.held.get(body.id):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        live.machine.pass_time(IDLE_TIMEOUT_S + 1)
        _, last = await told(line)
    assert last.ended is not None
    assert last.ended.detail == "nothing was typed or printed for 30 min"


@pytest.mark.parametrize("messages", [["{}x"], ['{"unknown": 1}'], [b"x" * MAX_MESSAGE_BYTES] * 5])
async def test_a_client_that_does_not_keep_to_the_agreement_is_cut_off(
    office: Office, messages: list[str | bytes]
) -> None:
    assert MAX_MESSAGE_BYTES * 5 > MAX_UNTAKEN_BYTES
    scripted(office.live, Script(stops_after_s=0.0, reads=False))
    body = await begin(office.live, "sleep 600")
    async with office.hold(body.id) as line:
        with suppress(ConnectionClosed):
            for message in messages:
                await line.send(message)
        with pytest.raises(ConnectionClosed):
            await told(line)
    assert (await state_of(office.live, body.id)).detail == LEFT


async def test_a_socket_asks_for_the_role_and_for_a_token(office: Office) -> None:
    live = office.live
    body = await begin(live, "ls")
    viewer, _ = await live.plane.accounts.api_token(
        label="v", role=Role.VIEWER, days=1, by=Caller("ada", Role.OWNER)
    )
    session, _ = await live.plane.accounts.login_link(by=Caller("ada", Role.OWNER))
    for token, status in ((viewer, 403), ("nobody", 401), (session, 401)):
        with pytest.raises(InvalidStatus) as refused:
            async with office.hold(body.id, token=token):
                pass
        assert refused.value.response.status_code == status
        assert b'"code":"access.' in (refused.value.response.body or b"")
    with pytest.raises(InvalidStatus) as unknown:
        async with office.hold("run-unknown"):
            pass
    assert unknown.value.response.status_code == 404


async def test_the_api_begins_lists_and_stops(office: Office) -> None:
    live = office.live
    scripted(live, Script(output="line\n"))
    async with client(create_app(live.plane.services), token=office.token) as http:
        answer = await http.post(AT, json={"command": ["sleep 60"], "detach": True})
        assert answer.status_code == 202
        run = answer.json()["id"]
        await live.plane.run_keeper.once()
        assert (await http.get(f"{AT}/{run}/logs")).json()["text"] == "line\n"
        assert [item["id"] for item in (await http.get(AT)).json()] == [run]
        assert (await http.post(f"{AT}/{run}/stop")).status_code == 200
        await state_of(live, run)
        async with http.stream("GET", f"{AT}/{run}/events") as stream:
            text = (await stream.aread()).decode()
        assert "event: log" in text
        assert "event: end" in text
        assert "stopped by ada" in (await http.get(f"{AT}/{run}")).text
        await _page(http)


async def _page(http: httpx.AsyncClient) -> None:
    page = await http.get("/projects/shop/production/runs")
    assert page.status_code == 200
    assert "sleep 60" in page.text
    assert "stopped by ada" in page.text
