"""Commands that people run by hand: begun, held over a WebSocket, listed and stopped."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, NoReturn

from fastapi import Path, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import ValidationError

from gantry.engines.runtime.protocol import Attachment, Output, Window
from gantry.features.accounts.model import Role
from gantry.features.instances.bodies import LogBody
from gantry.features.runs.bodies import (
    MAX_ROWS,
    MAX_UNTAKEN_BYTES,
    FromHolder,
    RunBody,
    RunEvent,
    RunRequest,
    ToHolder,
)
from gantry.features.runs.model import Run
from gantry.kernel.bodies import ErrorBody
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError
from gantry.kernel.units import format_duration
from gantry.web.access import Developer, Viewer, address_of, caller_of_socket
from gantry.web.environments import read_environment
from gantry.web.errors import answer
from gantry.web.frame import EnvironmentCard, Page, frame_of
from gantry.web.noun import Mark, Noun
from gantry.web.openapi import ENVIRONMENT, KnownEnvironment, KnownProject
from gantry.web.render import render
from gantry.web.services import Has, Services
from gantry.web.streams import (
    INTERVAL_S,
    Event,
    Follower,
    HasMasks,
    Masks,
    StreamSlot,
    documented,
    event_stream,
)

noun = Noun(
    "runs",
    "Commands that people run by hand.",
    marks={
        "waiting": Mark("Waiting", "quiet", "clock"),
        "running": Mark("Running", "busy", "loader-circle"),
        "succeeded": Mark("Succeeded", "good", "circle-check"),
        "failed": Mark("Failed", "bad", "circle-x"),
    },
)

_RUNS = f"{ENVIRONMENT}/runs"
# A terminal at which nobody types and nothing is printed.
IDLE_TIMEOUT_S = 1_800.0
MAX_LOG_LINES = 5_000
# What a program wrote, as the first byte of a message.
_MARKS = {Output.OUT: b"\x01", Output.ERR: b"\x02"}
_TOO_BIG, _BAD_MESSAGE, _DONE = 1009, 1008, 1000

Tail = Annotated[int, Query(ge=0, le=MAX_LOG_LINES, description="Last lines.")]
RunId = Annotated[str, Path(max_length=40, description="Identity of the run, `run-...`.")]


@noun.api.post(_RUNS, status_code=202, summary="Run a command")
async def begin_run(
    request: Request,
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    wanted: RunRequest,
) -> RunBody:
    """In the sandbox of a release, with its variables and services. A detached run starts by itself; of any other one the
    caller opens the WebSocket `/runs/{run}/hold` within 30 s, which starts it.

    Messages of that WebSocket: binary ones are what is typed or piped in (at most 64 KiB each, and 256 KiB that were not
    acknowledged by `taken`), and what the program prints, behind a byte that is 1 for output and 2 for errors; text ones
    are JSON: `FromHolder` and `ToHolder`, the last of which has `ended` or `error`. Leaving ends the program.
    """
    return await services.runs.begin(
        project, environment, wanted, by=caller.account, origin=address_of(request)
    )


@noun.api.get(_RUNS, summary="List runs")
async def list_runs(
    services: Has,
    _caller: Viewer,
    project: KnownProject,
    environment: KnownEnvironment,
    limit: Annotated[int, Query(ge=1, le=200, description="At most this many.")] = 50,
) -> tuple[RunBody, ...]:
    """An environment's runs, newest first. The newest 200 are kept."""
    return await services.runs.list(project, environment, limit=limit)


@noun.api.get(f"{_RUNS}/{{run}}", summary="One run")
async def get_run(
    services: Has, _caller: Viewer, project: KnownProject, environment: KnownEnvironment, run: RunId
) -> RunBody:
    """How it goes, or how it ended."""
    return (await services.runs.get(project, environment, run))[1]


@noun.api.post(f"{_RUNS}/{{run}}/stop", summary="Stop a run")
async def stop_run(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    run: RunId,
) -> RunBody:
    """SIGTERM, and SIGKILL 5 s later. One that has ended stays as it is."""
    return await services.runs.stop(project, environment, run, by=caller.account)


@noun.api.get(f"{_RUNS}/{{run}}/logs", summary="Read the output of a run")
async def read_run_log(
    services: Has,
    _caller: Developer,
    masks: HasMasks,
    project: KnownProject,
    environment: KnownEnvironment,
    run: RunId,
    tail: Tail = 1_000,
) -> LogBody:
    """What a detached run has printed, with secrets masked. Of what other runs print nothing is kept."""
    found, _ = await services.runs.get(project, environment, run)
    return await _LogReader(services, masks, project, environment, found).tail(tail)


@noun.api.get(
    f"{_RUNS}/{{run}}/events",
    summary="Follow a run",
    response_class=StreamingResponse,
    responses=documented(RunEvent, "log", "end"),
)
async def follow_run(
    services: Has,
    _caller: Developer,
    masks: HasMasks,
    _slot: StreamSlot,
    project: KnownProject,
    environment: KnownEnvironment,
    run: RunId,
    tail: Tail = 1_000,
) -> StreamingResponse:
    """`log`: lines of a detached run as it prints them, first the last ones; `end`: how it ended."""
    found, _ = await services.runs.get(project, environment, run)
    reader = _LogReader(services, masks, project, environment, found)
    return event_stream(reader.follow(tail), services)


@dataclass(frozen=True, slots=True)
class _LogReader:
    services: Services
    masks: Masks
    project: str
    environment: str
    run: Run

    async def tail(self, lines: int) -> LogBody:
        """The last lines."""
        async with self.services.database.transaction() as session:
            redact = await self.masks.of(session, self.run.environment, (self.run.release,))
        body = await Follower(self.services).first(self.run.process_id, redact, lines=lines)
        return body.model_copy(update={"source": self.run.id})

    async def follow(self, lines: int) -> AsyncIterator[Event | None]:
        """The last lines, then new ones until the run has ended."""
        async with self.services.database.transaction() as session:
            redact = await self.masks.of(session, self.run.environment, (self.run.release,))
        follower, name = Follower(self.services), self.run.process_id
        body = await follower.first(name, redact, lines=lines)
        while not self.services.closing():
            _, ended = await self.services.runs.get(self.project, self.environment, self.run.id)
            if body.text:
                yield "log", RunEvent(text=body.text)
            body = await follower.read(name, redact)
            if ended.finished_at is not None and not body.text:
                yield "end", RunEvent(run=ended)
                return
            if not body.text:
                yield None
                await self.services.clock.sleep(INTERVAL_S)


@noun.api.websocket(f"{_RUNS}/{{run}}/hold")
async def hold_run(
    socket: WebSocket,
    services: Has,
    project: KnownProject,
    environment: KnownEnvironment,
    run: RunId,
    *,
    rows: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 24,
    columns: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 80,
    term: Annotated[str, Query(max_length=40, pattern=r"^[A-Za-z0-9._+-]*$")] = "",
) -> None:
    """Start a run of the caller's and hold it until it ends, or until either side leaves."""
    try:
        caller = await caller_of_socket(socket, services, Role.DEVELOPER)
        await services.runs.get(project, environment, run)
    except GantryError as error:
        await socket.send_denial_response(answer(error))
        return
    await socket.accept()
    try:
        found, held = await services.runs.hold(
            run, by=caller.account, window=Window(rows, columns), term=term
        )
    except GantryError as error:
        await _finish(socket, ToHolder(error=ErrorBody.model_validate(error.as_dict())))
        return
    try:
        await _Holder(socket, services, found, held).serve()
    finally:
        services.runs.let_go(run)


@dataclass(slots=True)
class _Holder:
    """Passes on what both sides say, until one of them ends."""

    socket: WebSocket
    services: Services
    run: Run
    held: Attachment
    _typed: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    _untaken_bytes: int = 0
    _input_ended: bool = False
    _active_s: float = 0.0

    async def serve(self) -> None:
        """Until the program ends or the client leaves."""
        self._active_s = self._clock.monotonic_s()
        try:
            async with asyncio.TaskGroup() as group:
                works = (self._listen(), self._type(), self._watch_idle())
                others = [group.create_task(work) for work in works]
                await self._print()
                for task in others:
                    task.cancel()
        except* WebSocketDisconnect:
            pass
        else:
            ended = await self.services.runs.finish(self.run)
            await _finish(self.socket, ToHolder(ended=ended))

    @property
    def _clock(self) -> Clock:
        return self.services.clock

    async def _print(self) -> None:
        while (piece := await self.held.read()) is not None:
            self._active_s = self._clock.monotonic_s()
            output, data = piece
            await _send(self.socket, _MARKS[output] + data)

    async def _listen(self) -> None:
        """Take messages as they come, so that a client that leaves is noticed, also when its input is not read."""
        while True:
            message = await self.socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", _DONE))
            self._active_s = self._clock.monotonic_s()
            data = message.get("bytes")
            if data is None:
                await self._obey(message.get("text") or "")
                continue
            self._untaken_bytes += len(data)
            if self._untaken_bytes > MAX_UNTAKEN_BYTES:
                await _refuse(self.socket, _TOO_BIG)
            self._typed.put_nowait(data)

    async def _obey(self, text: str) -> None:
        try:
            told = FromHolder.model_validate_json(text)
        except ValidationError:
            await _refuse(self.socket, _BAD_MESSAGE)
        if told.rows is not None and told.columns is not None:
            self.held.resize(Window(told.rows, told.columns))
        if told.end and not self._input_ended:
            self._input_ended = True
            self._typed.put_nowait(None)
        if told.stop:
            await self.services.runs.give_up(self.run, f"stopped by {self.run.requested_by}")

    async def _type(self) -> None:
        while True:
            data = await self._typed.get()
            if data is None:
                self.held.end_input()
                continue
            await self.held.write(data)
            self._untaken_bytes -= len(data)
            await _send(self.socket, _words(ToHolder(taken=len(data))))

    async def _watch_idle(self) -> None:
        """A terminal that was left open is not open for ever; a command in pipes may take its time."""
        if not self.run.terminal:
            return
        while (left_s := self._active_s + IDLE_TIMEOUT_S - self._clock.monotonic_s()) > 0:
            await self._clock.sleep(left_s)
        reason = f"nothing was typed or printed for {format_duration(IDLE_TIMEOUT_S)}"
        await self.services.runs.give_up(self.run, reason)


def _words(message: ToHolder) -> str:
    return message.model_dump_json(exclude_defaults=True)


async def _send(socket: WebSocket, message: bytes | str) -> None:
    """Send; a client that has left is always told of in the same way.

    Raises:
        WebSocketDisconnect
    """
    try:
        if isinstance(message, bytes):
            await socket.send_bytes(message)
        else:
            await socket.send_text(message)
    except RuntimeError as error:
        raise WebSocketDisconnect(_DONE) from error


async def _finish(socket: WebSocket, message: ToHolder) -> None:
    """Say the last word."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await _send(socket, _words(message))
        await socket.close(_DONE)


async def _refuse(socket: WebSocket, code: int) -> NoReturn:
    """Cut a client off that does not keep to what was agreed."""
    with contextlib.suppress(RuntimeError):
        await socket.close(code)
    raise WebSocketDisconnect(code)


@dataclass(frozen=True, slots=True)
class RunsPage(Page):
    """What people ran by hand in an environment."""

    template: ClassVar[str] = "runs"

    card: EnvironmentCard
    runs: tuple[RunBody, ...]


@noun.console.get("/projects/{project}/{environment}/runs")
async def runs_page(
    request: Request,
    services: Has,
    caller: Viewer,
    project: KnownProject,
    environment: KnownEnvironment,
) -> HTMLResponse:
    """The newest runs of an environment."""
    body = await read_environment(services, project, environment)
    found = await services.runs.list(project, environment, limit=100)
    page = RunsPage(EnvironmentCard.of(body), found)
    return render(request, page, frame_of(services, caller, here="overview"))
